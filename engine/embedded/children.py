"""Programs started beside the engine: each dies with us, writes to its own log, and is started again when it dies alone.

Promises: a child ends when this process does, even by kill -9 (Linux: PDEATHSIG); `stop` waits for it.
Why Popen on the main thread: PDEATHSIG follows the thread that started the child, and trio's worker threads retire.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog
import trio

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.2
_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_STOP_SECONDS = 8.0


class ChildFailed(Exception):
    """A program beside the engine did not come up. Whoever started us must act; its log says why."""


def dies_with_us(stop_signal: signal.Signals) -> list[str]:
    """The command prefix that ends a program with its parent; empty where the system has no such tool."""
    tool = shutil.which("setpriv") if sys.platform == "linux" else None
    return [tool, "--pdeathsig", stop_signal.name.removeprefix("SIG")] if tool else []


class Child:
    """One program. `start` and `stop` block; `watch` is for a nursery."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_file: Path,
        *,
        environ: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._log_file = log_file
        self._environ = dict(environ) if environ is not None else None
        self._stop_signal = stop_signal
        self._prepare = prepare
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin; what says that it is ready is the caller's to know."""
        self._prepare()
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environ,
                cwd="/",
                # A Ctrl-C at the terminal is for the engine alone: it stops its children in order.
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises ChildFailed when it has ended."""
        if self._process is None or self._process.poll() is not None:
            code = None if self._process is None else self._process.returncode
            raise ChildFailed(f"{self.name} ended with exit code {code}; see {self._log_file}")

    def stop(self) -> None:
        """Ask it to stop, wait, and kill it if it does not."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(self._stop_signal)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("child.killed", child=self.name)
            process.kill()
            process.wait()

    async def watch(self) -> None:
        """Start it again whenever it dies, with a growing pause. Cancellation leaves it running."""
        pause = _PAUSE_SECONDS
        while True:
            started = trio.current_time()
            while self._process is not None and self._process.poll() is None:  # noqa: ASYNC110 (Popen has no event)
                await trio.sleep(_LOOK_SECONDS)
            code = None if self._process is None else self._process.returncode
            log.error("child.died", child=self.name, exit_code=code)
            if trio.current_time() - started > 60:
                pause = _PAUSE_SECONDS
            await trio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            try:
                self.start()
            except (OSError, ChildFailed) as error:
                log.error("child.not_started", child=self.name, reason=str(error))


def python_module(module: str) -> list[str]:
    """The command that runs one of our programs with this very Python."""
    return [*dies_with_us(signal.SIGTERM), sys.executable, "-m", module]


def inherited(**more: str) -> dict[str, str]:
    """Our environment without our settings, and `more`: a child is told only what it needs."""
    return {key: value for key, value in os.environ.items() if not key.startswith("FM_")} | more
