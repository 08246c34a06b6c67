"""The live counts of one tier, or of a venue over all its tiers."""

from __future__ import annotations

import msgspec


class Pool(msgspec.Struct, gc=False):
    """Places by category; the categories never overlap and, with `available`, add up to `capacity`."""

    capacity: int
    held: int = 0
    in_checkout: int = 0
    sold: int = 0
    comped: int = 0
    withheld: int = 0

    @property
    def committed(self) -> int:
        """Places that are not free: the lowest capacity this pool may be given."""
        return self.held + self.in_checkout + self.sold + self.comped + self.withheld

    @property
    def available(self) -> int:
        return self.capacity - self.held - self.in_checkout - self.sold - self.comped - self.withheld

    def check(self) -> None:
        """Raises AssertionError when a count is below zero or the pool is over its capacity."""
        assert min(self.held, self.in_checkout, self.sold, self.comped, self.withheld) >= 0, self
        assert self.available >= 0, self
