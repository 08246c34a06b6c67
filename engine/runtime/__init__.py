"""Runtime queues: trio tasks that carry commands to the one place that may decide them, and back.

mailbox: bounded queue of one tier (or of an event's desk). batch: what one commit writes. shard: the loop.
stores: what storage must be able to do, and how it fails. recovery: memory from storage. directory: who owns what.
Must not know: SQL, Redis, HTTP. Storage arrives as a Protocol.
"""
