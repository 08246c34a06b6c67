"""Core decides: plain synchronous rules over plain values.

Must not know: clocks, randomness, storage, trio, HTTP. `now` is always an argument (microseconds since 1970, UTC).
limits: every number that bounds something. model: commands, changes, holds. outcomes: every healthy "no".
pool: places of a tier or venue. inventory: one event's state. reserving, paying, catalog: its decisions.
"""
