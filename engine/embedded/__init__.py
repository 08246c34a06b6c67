"""What a newcomer has not got: Postgres, Valkey, a local Stripe, a mailbox, and who keeps them running.

The local Stripe and the mailbox are programs of their own and import nothing of ours.
"""
