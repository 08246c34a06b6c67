"""One shard: the trio task that owns some events, decides their commands in turns and commits them in groups.

Promises: no answer leaves before the batch it belongs to is durable; after any failure of storage, memory is dropped
and built again from storage, the same way as at start.
Why two tasks: while one batch commits, commands that arrive are decided into the next.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import structlog
import trio
from outcome import Value

from engine.core import limits
from engine.core.deciding import decide
from engine.core.inventory import Inventory
from engine.core.model import Amend, Checkout, Command, Confirm, Look, Release, Reserve, Settle
from engine.core.outcomes import Code, Outcome
from engine.core.reserving import expire
from engine.core.stores import BadData, Deposed, Reply, ShardStore, StoreDown
from engine.runtime.batch import Batch
from engine.runtime.journaling import Journaler
from engine.runtime.mailbox import Letter, Mailbox, Ring
from engine.runtime.metrics import ShardMetrics
from engine.runtime.recovery import recover, to_hold

log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
_UNAVAILABLE = Outcome(Code.UNAVAILABLE)
_BUSY = Outcome(Code.BUSY)
_OF_A_HOLD = (Look, Amend, Release, Checkout, Confirm, Settle)


class Clock:
    """Storage's clock at take-over, monotonic afterwards. Microseconds."""

    def __init__(self, now: int) -> None:
        self._anchor = now
        self._start = trio.current_time()

    def now(self) -> int:
        return self._anchor + int((trio.current_time() - self._start) * limits.SECOND)

    def until(self, instant: int) -> float:
        """The trio time of an instant, a microsecond later so that `now` has reached it."""
        return self._start + (instant - self._anchor + 1) / limits.SECOND


class Shard:
    """`run` it in a nursery; `ask` it from any task of the same trio run."""

    def __init__(self, number: int, owner: str, store: ShardStore, journaler: Journaler | None) -> None:
        self.number = number
        self.inventories: dict[int, Inventory] = {}
        self.metrics = ShardMetrics()
        self.ready = trio.Event()
        self.clock: Clock | None = None
        self.deposed = False
        self._owner = owner
        self._store = store
        self._journaler = journaler
        self._epoch = 0
        self._seq = 0
        self._ring = Ring()
        self._desks: dict[int, Mailbox] = {}
        self._tier_mailboxes: dict[str, Mailbox] = {}
        # The wheel of expiries over all events: (when, event); `_scheduled` is each event's earliest entry in it.
        self._due: list[tuple[int, int]] = []
        self._scheduled: dict[int, int] = {}
        self._pending = Batch()
        self._letters_came = trio.Event()
        self._batch_came = trio.Event()
        self._batch_taken = trio.Event()
        self._suspects: list[Letter] = []
        self.on_loaded: Callable[[Shard], None] = lambda _shard: None

    # --- asking -------------------------------------------------------------------------------------------

    async def ask(self, command: Command) -> Outcome:
        """The outcome, once it is durable. Cancelling the caller leaves the command in its place: it will happen."""
        task = trio.lowlevel.current_task()
        waiting = True

        def reply(outcome: Outcome) -> None:
            if waiting:
                trio.lowlevel.reschedule(task, Value(outcome))

        if self.deposed:
            return _UNAVAILABLE
        if not self.post(command, reply):
            return _BUSY

        def abort(_: object) -> trio.lowlevel.Abort:
            nonlocal waiting
            waiting = False
            return trio.lowlevel.Abort.SUCCEEDED

        result: Outcome = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def post(self, command: Command, reply: Reply) -> bool:
        """Put a command into its mailbox; `reply(outcome)` is called in the shard's task. False when it is full."""
        mailbox = self._mailbox_of(command)
        if not mailbox.post((command, reply)):
            self.metrics.busy += 1
            return False
        self._ring.ready(mailbox)
        self._letters_came.set()
        return True

    def _mailbox_of(self, command: Command) -> Mailbox:
        if type(command) is Reserve:
            tier = command.lines[0][0]
            mailbox = self._tier_mailboxes.get(tier)
            if mailbox is None:
                mailbox = self._tier_mailboxes[tier] = Mailbox()
            return mailbox
        mailbox = self._desks.get(command.event)
        if mailbox is None:
            mailbox = self._desks[command.event] = Mailbox()
        return mailbox

    @property
    def depth(self) -> int:
        return self._ring.depth()

    # --- running ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Own the shard until cancelled or deposed. Storage failing is retried for ever, with a growing pause."""
        pause = _FIRST_PAUSE_SECONDS
        while not self.deposed:
            try:
                await self._recover()
                await self._retry_suspects()
                pause = _FIRST_PAUSE_SECONDS
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._commit_loop)
                    nursery.start_soon(self._renew_loop)
                    await self._decide_loop()
            except* Deposed:
                log.warning("shard.deposed", shard=self.number, epoch=self._epoch)
                self.deposed = True
            except* BadData:
                # The suspects are tried one by one after the rebuild.
                pass
            except* Exception as errors:
                # Storage failed, or we were wrong: then the memory that led here is not to be trusted either.
                self._log_rebuild(errors)
                self._drop()
                await trio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            self.metrics.rebuilds += 1
        self._drop()

    def _log_rebuild(self, errors: BaseExceptionGroup[Exception]) -> None:
        """Storage that is away is said in a word, for it is said again and again; a mistake of ours with all we know."""
        down, ours = errors.split(StoreDown)
        if ours is None:
            log.warning("shard.store_down", shard=self.number, reason=repr(down))
        else:
            log.error("shard.rebuild", shard=self.number, exc_info=ours)

    async def _recover(self) -> None:
        taken = await self._store.take(self.number, self._owner)
        self._epoch, self._seq = taken.epoch, taken.last_seq
        self.clock = Clock(taken.now)
        self._pending = Batch()
        self._batch_came, self._batch_taken = trio.Event(), trio.Event()
        self.inventories = await recover(
            self._store, self._journaler.journal if self._journaler else None, self.number, taken.last_seq
        )
        self._due = []
        self._scheduled = {}
        for event, inventory in self.inventories.items():
            self._schedule(event, inventory)
        if self._journaler is not None:
            self._journaler.start_over(self.number, self._epoch, self._seq, self.inventories)
        self.on_loaded(self)
        self.ready.set()
        self._letters_came.set()

    def _drop(self) -> None:
        """Answer everyone who waits, and forget."""
        letters = self._suspects + self._pending.letters
        self._suspects = []
        self._pending = Batch()
        while self._ring:
            letters.extend(self._ring.take(limits.BATCH_COMMANDS))
        self._refuse(letters)

    def _refuse(self, letters: list[Letter]) -> None:
        """Unavailable to all of them; not ready from before the first of them hears it until memory is rebuilt."""
        if self.ready.is_set():
            self.ready = trio.Event()
        for _command, reply in letters:
            reply(_UNAVAILABLE)

    async def adopt(self, number: int) -> Inventory | None:
        """Take an event that an action has written since we loaded into memory; None if storage does not know it."""
        known = self.inventories.get(number)
        if known is not None:
            return known
        inventory = await self._store.load_event(number)
        if inventory is not None and number not in self.inventories:
            self.inventories[number] = inventory
            self.on_loaded(self)
        return self.inventories.get(number)

    # --- deciding -----------------------------------------------------------------------------------------

    async def _decide_loop(self) -> None:
        assert self.clock is not None
        while True:
            with trio.move_on_at(self._next_wake()):
                await self._letters_came.wait()
            self._letters_came = trio.Event()
            room = limits.BATCH_COMMANDS - len(self._pending.letters)
            letters = self._ring.take(room)
            if self._ring:
                self._letters_came.set()
            await self._prefetch(letters)
            now = self.clock.now()
            try:
                self._expire(now)
                self._decide(letters, now)
            except BaseException:
                answered = {id(letter[1]) for letter in self._pending.letters}
                self._refuse([letter for letter in letters if id(letter[1]) not in answered])
                raise
            if self._pending.letters or self._pending.writes:
                self._batch_came.set()
            if len(self._pending.letters) >= limits.BATCH_COMMANDS:
                await self._batch_taken.wait()

    def _next_wake(self) -> float:
        if not self._due or self.clock is None:
            return float("inf")
        return self.clock.until(self._due[0][0])

    def _schedule(self, event: int, inventory: Inventory) -> None:
        due = inventory.next_due()
        if due is not None and self._scheduled.get(event) != due:
            self._scheduled[event] = due
            heapq.heappush(self._due, (due, event))

    def _expire(self, now: int) -> None:
        while self._due and self._due[0][0] <= now:
            _, event = heapq.heappop(self._due)
            self._scheduled.pop(event, None)
            inventory = self.inventories[event]
            for change in expire(inventory, now):
                inventory.apply(change)
                self._pending.add(inventory, change)
            self._schedule(event, inventory)

    def _decide(self, letters: list[Letter], now: int) -> None:
        batch = self._pending
        inventories = self.inventories
        for command, reply in letters:
            inventory = inventories.get(command.event)
            if inventory is None:
                batch.answer(command, reply, Outcome(Code.UNKNOWN_EVENT))
                continue
            outcome, changes, records = decide(inventory, command, now)
            for change in changes:
                inventory.apply(change)
                batch.add(inventory, change)
            if changes:
                self._schedule(command.event, inventory)
            if records:
                batch.add_records(records)
            batch.answer(command, reply, outcome)

    async def _prefetch(self, letters: list[Letter]) -> None:
        """What a command names and memory may not know: a new event; holds long finished, in one look-up for the turn."""
        for number in {command.event for command, _ in letters if command.event not in self.inventories}:
            try:
                await self.adopt(number)
            except BaseException:
                self._refuse(letters)
                raise
        ids: list[int] = []
        keys: list[int] = []
        for command, _reply in letters:
            inventory = self.inventories.get(command.event)
            if inventory is None or inventory.complete:
                continue
            if type(command) is Reserve:
                if command.key is not None and command.key not in inventory.keys:
                    keys.append(command.key)
            elif isinstance(command, _OF_A_HOLD) and command.hold not in inventory.holds:
                ids.append(command.hold)
        if ids or keys:
            try:
                rows = await self._store.find_holds(ids, keys)
            except BaseException:
                self._refuse(letters)
                raise
            for row in rows:
                inventory = self.inventories.get(row.event)
                if inventory is not None and row.id not in inventory.holds:
                    inventory.load(to_hold(inventory, row))

    # --- committing ---------------------------------------------------------------------------------------

    async def _commit_loop(self) -> None:
        while True:
            await self._batch_came.wait()
            self._batch_came = trio.Event()
            batch, self._pending = self._pending, Batch()
            self._batch_taken.set()
            self._batch_taken = trio.Event()
            await self._commit(batch)

    async def _commit(self, batch: Batch) -> None:
        if batch.writes:
            rows = batch.cut(self.number, self._epoch, self._seq + 1)
            snapshot = self._journaler.cut(self.number, self.inventories) if self._journaler else None
            started = trio.current_time()
            try:
                await self._store.write(rows)
            except BadData as error:
                log.error("shard.bad_data", shard=self.number, reason=str(error))
                self._suspects = batch.letters + self._pending.letters
                self._pending = Batch()
                raise
            except BaseException:  # a failure, or being cancelled by one elsewhere in the shard
                self._refuse(batch.letters)
                raise
            self._seq = rows.seq
            self.metrics.committed(len(batch.letters), trio.current_time() - started)
            if self._journaler is not None:
                self._journaler.wrote(rows, snapshot)
        for (_command, reply), outcome in zip(batch.letters, batch.outcomes, strict=True):
            reply(outcome)

    async def _retry_suspects(self) -> None:
        """After a rebuild: the commands of a refused batch one by one, the culprit to the operator, the rest served."""
        while self._suspects:
            letter = self._suspects.pop(0)
            assert self.clock is not None
            await self._prefetch([letter])
            self._decide([letter], self.clock.now())
            batch, self._pending = self._pending, Batch()
            rest = self._suspects
            try:
                await self._commit(batch)
            except BadData as error:
                self._suspects = rest
                await self._store.park(self.number, letter[0], str(error))
                self._refuse([letter])
                raise

    async def _renew_loop(self) -> None:
        while True:
            await trio.sleep(limits.LEASE_RENEW_SECONDS)
            await self._store.renew(self.number, self._epoch)
