"""Counters a shard keeps about itself, as plain numbers; adapters turn them into Prometheus' format."""

from __future__ import annotations

from bisect import bisect_left

SIZE_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096)
SECONDS_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Histogram:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class ShardMetrics:
    def __init__(self) -> None:
        self.batch_size = Histogram(SIZE_BUCKETS)
        self.commit_seconds = Histogram(SECONDS_BUCKETS)
        self.busy = 0
        self.rebuilds = 0

    def committed(self, commands: int, seconds: float) -> None:
        self.batch_size.observe(commands)
        self.commit_seconds.observe(seconds)
