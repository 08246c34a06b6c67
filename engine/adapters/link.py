"""The link: how a process that owns no shard asks one that does, over Redis lists.

Promises: at least once, with a command id and a deadline; the owner answers a repeat from memory, so nothing happens
twice while it lives. Commands carry their own ids besides, so a repeat to the next owner changes nothing either.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import redis.asyncio
import redis.exceptions
import structlog
import trio

from engine.adapters.bridge import call
from engine.core import wide
from engine.core.ids import shard_number
from engine.core.model import (
    Amend,
    ChangeEvent,
    Checkout,
    Command,
    Comp,
    Confirm,
    Hold,
    Look,
    PutPromo,
    PutTier,
    Release,
    Reserve,
    ReturnPlaces,
    Settle,
)
from engine.core.outcomes import Code, Outcome

log = structlog.get_logger(__name__)

_AnyCommand = (
    Amend
    | ChangeEvent
    | Checkout
    | Comp
    | Confirm
    | Look
    | PutPromo
    | PutTier
    | Release
    | Reserve
    | ReturnPlaces
    | Settle
)


class _Letter(msgspec.Struct, array_like=True):
    id: str
    deadline: float
    command: _AnyCommand


class _Answer(msgspec.Struct, array_like=True):
    code: Code
    hold: Hold | None
    detail: dict[str, Any] | None
    replayed: bool


_DEADLINE_SECONDS = 8.0
_ASK_AGAIN_SECONDS = 2.5
_ANSWERS_KEPT = 10_000
_WAIT_SECONDS = 1
_UNAVAILABLE = Outcome(Code.UNAVAILABLE)


def _mailbox(shard: int) -> str:
    return f"fm:link:{shard}"


class Link:
    """The asking side. Implements `engine.runtime.directory.Asker`."""

    def __init__(self, client: redis.asyncio.Redis, shard_count: int) -> None:
        self._redis: Any = client
        self._shard_count = shard_count

    async def ask(self, command: Command) -> Outcome:
        """The owner's outcome (`value` only for holds); UNAVAILABLE when none comes before the deadline."""
        letter = _Letter(secrets.token_hex(16), time.time() + _DEADLINE_SECONDS, command)  # type: ignore[arg-type]
        shard = shard_number(command.event, self._shard_count)
        try:
            with trio.move_on_after(_DEADLINE_SECONDS):
                while True:
                    blob = await call(self._send, shard, letter)
                    if blob is not None:
                        answer = wide.decode(blob, _Answer)
                        return Outcome(answer.code, answer.hold, answer.detail, answer.replayed)
        except (redis.exceptions.RedisError, OSError) as error:
            log.warning("link.down", reason=repr(error))
        return _UNAVAILABLE

    async def _send(self, shard: int, letter: _Letter) -> bytes | None:
        reply = f"fm:reply:{letter.id}"
        await self._redis.rpush(_mailbox(shard), wide.encode(letter))
        found = await self._redis.blpop([reply], timeout=_ASK_AGAIN_SECONDS)
        return found[1] if found else None


class LinkServer:
    """The owner's side. `run` it in a nursery."""

    def __init__(
        self, client: redis.asyncio.Redis, shards: list[int], ask: Callable[[Command], Awaitable[Outcome]]
    ) -> None:
        self._redis: Any = client
        self._boxes = [_mailbox(shard) for shard in shards]
        self._ask = ask
        self._answered: OrderedDict[str, bytes | None] = OrderedDict()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    found = await call(self._redis.blpop, self._boxes, timeout=_WAIT_SECONDS)
                except (redis.exceptions.RedisError, OSError):
                    await trio.sleep(_WAIT_SECONDS)
                    continue
                if found is not None:
                    nursery.start_soon(self._serve, found[1])

    async def _serve(self, blob: bytes) -> None:
        try:
            letter = wide.decode(blob, _Letter)
        except (msgspec.MsgspecError, ValueError):
            log.error("link.unreadable")
            return
        if letter.id in self._answered:
            answer = self._answered[letter.id]
            if answer is None:
                return
        elif time.time() > letter.deadline:
            return
        else:
            self._answered[letter.id] = None
            outcome = await self._ask(letter.command)
            hold = outcome.value if isinstance(outcome.value, Hold) else None
            answer = wide.encode(_Answer(outcome.code, hold, outcome.detail, outcome.replayed))
            self._answered[letter.id] = answer
            while len(self._answered) > _ANSWERS_KEPT:
                self._answered.popitem(last=False)
        try:
            await call(self._reply, letter.id, answer)
        except (redis.exceptions.RedisError, OSError) as error:
            log.warning("link.unanswered", reason=repr(error))

    async def _reply(self, letter_id: str, answer: bytes) -> None:
        reply = f"fm:reply:{letter_id}"
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.rpush(reply, answer)
            pipe.pexpire(reply, int(_DEADLINE_SECONDS * 1000))
            await pipe.execute()
