"""A bounded queue of commands for one tier, or for an event's desk (everything that is not a reservation).

Why bounded: overload is answered BUSY at once, it never grows.
Why two kinds: a tier full of buyers must not keep payments from being confirmed.
"""

from __future__ import annotations

from collections import deque

from engine.core import limits
from engine.core.model import Command
from engine.core.stores import Reply

Letter = tuple[Command, Reply]


class Mailbox:
    """First come, first served."""

    __slots__ = ("letters", "waiting")

    def __init__(self) -> None:
        self.letters: deque[Letter] = deque()
        self.waiting = False  # in the shard's ring

    def post(self, letter: Letter) -> bool:
        """False when full."""
        if len(self.letters) >= limits.MAILBOX_COMMANDS:
            return False
        self.letters.append(letter)
        return True


class Ring:
    """Mailboxes with letters, asked in turn so that one hot event cannot starve its neighbours."""

    def __init__(self) -> None:
        self._ring: deque[Mailbox] = deque()

    def __bool__(self) -> bool:
        return bool(self._ring)

    def ready(self, mailbox: Mailbox) -> None:
        if not mailbox.waiting:
            mailbox.waiting = True
            self._ring.append(mailbox)

    def take(self, room: int) -> list[Letter]:
        """Up to `room` letters, at most TURN_COMMANDS of one mailbox before its neighbours had theirs."""
        taken: list[Letter] = []
        while self._ring and room > 0:
            mailbox = self._ring.popleft()
            letters = mailbox.letters
            count = min(len(letters), room, limits.TURN_COMMANDS)
            if count == len(letters):
                taken.extend(letters)
                letters.clear()
                mailbox.waiting = False
            else:
                taken.extend(letters.popleft() for _ in range(count))
                self._ring.append(mailbox)
            room -= count
        return taken

    def depth(self) -> int:
        return sum(len(mailbox.letters) for mailbox in self._ring)
