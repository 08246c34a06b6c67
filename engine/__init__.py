"""The headless engine: core decides, runtime queues, actions do, adapters store and call.

core: pure rules. runtime: trio tasks around them. actions: one verb per function, what the faces call.
adapters: the only files that import a driver or client. embedded: what a newcomer has not got.
"""
