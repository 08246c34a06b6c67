"""The engine's figures in Prometheus' text format: outcomes and times of shards, queues, what is waiting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry


class _Collector:
    def __init__(self, shards: dict[int, Any], limits_local: bool, inbox_lag_seconds: float) -> None:
        self._shards, self._limits_local, self._lag = shards, limits_local, inbox_lag_seconds

    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("fm_mailbox_commands", "Commands waiting", labels=["shard"])
        seconds = HistogramMetricFamily("fm_commit_seconds", "Time of a batch's commit", labels=["shard"])
        sizes = HistogramMetricFamily("fm_batch_commands", "Commands answered by a batch", labels=["shard"])
        busy = CounterMetricFamily("fm_busy", "Commands refused by a full mailbox", labels=["shard"])
        rebuilds = CounterMetricFamily("fm_shard_rebuilds", "Times memory was built again", labels=["shard"])
        holds = GaugeMetricFamily(
            "fm_holds_open", "Holds that take places and are not sold", labels=["shard"]
        )
        oversold = GaugeMetricFamily(
            "fm_oversold_places", "Places beyond capacity: always 0", labels=["shard"]
        )
        for number, shard in self._shards.items():
            label = [str(number)]
            depth.add_metric(label, shard.depth)
            busy.add_metric(label, shard.metrics.busy)
            rebuilds.add_metric(label, shard.metrics.rebuilds)
            pools = [inventory.venue for inventory in shard.inventories.values()]
            pools += [
                tier.pool for inventory in shard.inventories.values() for tier in inventory.tiers.values()
            ]
            holds.add_metric(label, sum(_open(inventory) for inventory in shard.inventories.values()))
            oversold.add_metric(label, sum(max(0, pool.committed - pool.capacity) for pool in pools))
            _add(seconds, label, shard.metrics.commit_seconds)
            _add(sizes, label, shard.metrics.batch_size)
        yield from (depth, seconds, sizes, busy, rebuilds, holds, oversold)
        limits = GaugeMetricFamily("fm_limits_local", "1 while rate limits run without Redis")
        limits.add_metric([], float(self._limits_local))
        yield limits
        lag = GaugeMetricFamily("fm_inbox_lag_seconds", "Age of the oldest notice not applied yet")
        lag.add_metric([], self._lag)
        yield lag


def _open(inventory: Any) -> int:
    return sum(hold.state <= 2 for hold in inventory.holds.values())


def _add(family: HistogramMetricFamily, label: list[str], histogram: Any) -> None:
    total = 0
    buckets = []
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        total += count
        buckets.append((bound, total))
    family.add_metric(label, buckets, histogram.total)


def render(shards: dict[int, Any], limits_local: bool, inbox_lag_seconds: float) -> bytes:
    """The text for /metrics. `shards` by number, with `depth`, `metrics` and `inventories`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(shards, limits_local, inbox_lag_seconds))
    return generate_latest(registry)
