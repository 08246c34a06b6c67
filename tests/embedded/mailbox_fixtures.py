"""A throwaway Postgres for the mailbox's tests, from the same binaries the engine brings."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from engine.embedded.children import dies_with_us
from engine.embedded.postgres import find_binaries


@pytest.fixture(scope="session")
def mailbox_database() -> Iterator[str]:
    """The URL of an empty database over a private socket. The folder is short: a socket's path may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="fmm"))
    binaries = find_binaries()
    wrap = ["unshare", "--user", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []
    data = folder / "pg"
    subprocess.run(
        [*wrap, binaries / "initdb", "-D", data, "-U", "fm", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*wrap, *dies_with_us(signal.SIGINT), binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses="],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not (folder / ".s.PGSQL.5432").exists():
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)
        yield f"postgresql://fm@/postgres?host={quote(str(folder), safe='')}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)
