"""The minute an on-sale opens: two thousand buyers at one instant, over real sockets."""

from __future__ import annotations

import json
import resource
from urllib.parse import urlsplit

import trio

from tests.system.conftest import Product


def _allow_sockets(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (min(count, hard) if hard != resource.RLIM_INFINITY else count, hard)
        )


async def test_two_thousand_at_once_for_a_hundred(product: Product) -> None:
    _allow_sockets(4096)
    event = product.make_event(capacity=100, tiers=(100,))
    lane = urlsplit(product.run["lane_url"])
    body = json.dumps({"lines": [{"tier": product.tiers(event)[0], "quantity": 1}]})
    request = (
        f"POST /api/events/{event}/holds HTTP/1.1\r\nHost: {lane.netloc}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    statuses: list[bytes] = []

    async def buyer() -> None:
        async with await trio.open_tcp_stream("127.0.0.1", lane.port or 0) as stream:
            await stream.send_all(request)
            answer = b""
            async for chunk in stream:
                answer += chunk
            statuses.append(answer[9:12])

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(2000):
                nursery.start_soon(buyer)
    assert {status: statuses.count(status) for status in set(statuses)} == {b"201": 100, b"409": 1900}
    assert product.pools(event)["held"] == 100
    text = product.web("GET", "/metrics").text
    assert 'fm_oversold_places{shard="0"} 0.0' in text and "fm_commit_seconds_bucket" in text


async def test_one_venue_place_wanted_by_two_tiers(product: Product) -> None:
    event = product.make_event(capacity=1, tiers=(1, 1))
    tiers = product.tiers(event)
    answers: list[int] = []

    async def buyer(tier: str) -> None:
        lines = {"lines": [{"tier": tier, "quantity": 1}]}
        answer = await trio.to_thread.run_sync(product.lane, "POST", f"/api/events/{event}/holds", lines)
        answers.append(answer.status_code)

    async with trio.open_nursery() as nursery:
        for tier in tiers * 4:
            nursery.start_soon(buyer, tier)
    assert sorted(answers) == [201] + [409] * 7
