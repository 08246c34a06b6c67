"""The data folder: who has it, where sockets lie, and the few secrets kept outside the databases.

Promises: one engine at a time per folder, by a lock that the kernel takes back when its holder dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path
from typing import IO, Any

import msgspec

# A Unix socket's path has at most 107 bytes; Postgres adds a file name of 20.
_SOCKET_FOLDER_CHARS = 80


class FolderTaken(Exception):
    """Another `fm up` has the folder. Stop that one, or give another folder by --data."""


class LocalSecrets(msgspec.Struct, frozen=True):
    """Made at the first start, kept in `DIR/secret` (0600). The local Stripe's keys derive from it and lie nowhere."""

    secret_key: str

    @property
    def stripe_secret_key(self) -> str:
        return "sk_test_" + self._derived("secret key")

    @property
    def stripe_publishable_key(self) -> str:
        return "pk_test_" + self._derived("publishable key")

    @property
    def stripe_webhook_secret(self) -> str:
        return "whsec_" + self._derived("webhook secret")

    def _derived(self, purpose: str) -> str:
        name = f"force-majeure local stripe {purpose}".encode()
        return hmac.new(self.secret_key.encode(), name, hashlib.sha256).hexdigest()[:48]


class DataFolder:
    """Opened and locked; `close` gives it back."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log.mkdir(mode=0o700, exist_ok=True)
        self._lock = _lock(self.path / "lock")
        self.run_file.unlink(missing_ok=True)

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def run_file(self) -> Path:
        return self.path / "run.json"

    def sockets(self) -> Path:
        """A private folder with a path short enough for sockets."""
        folder = self.path / "sockets"
        if len(str(folder)) > _SOCKET_FOLDER_CHARS:
            name = hashlib.sha256(str(self.path).encode()).hexdigest()[:12]
            folder = Path(tempfile.gettempdir()) / f"fm-{os.getuid()}-{name}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(f"{folder} is not ours alone; remove it")
        return folder

    def secrets(self) -> LocalSecrets:
        file = self.path / "secret"
        if not file.exists():
            write_private(file, msgspec.json.encode(LocalSecrets(secrets.token_hex(32))))
        return msgspec.json.decode(file.read_bytes(), type=LocalSecrets)

    def write_run_file(self, document: dict[str, Any]) -> None:
        """What a program outside needs to reach us; readable by its owner alone, complete or absent."""
        write_private(self.run_file, msgspec.json.format(msgspec.json.encode(document)))

    def close(self) -> None:
        self.run_file.unlink(missing_ok=True)
        self._lock.close()


def _lock(path: Path) -> IO[str]:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise FolderTaken(
            f"{path.parent} is in use by process {holder}; stop it, or give another folder with --data"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    os.set_inheritable(file.fileno(), False)
    return file


def write_private(path: Path, data: bytes) -> None:
    """Written whole or not at all, readable by its owner alone."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
