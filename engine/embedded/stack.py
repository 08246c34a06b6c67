"""What `fm up` starts beside the engine: Postgres, Valkey, the local Stripe, the mailbox, the worker.

Each only where no URL was given for it. Started before `trio.run`, in order; stopped in the opposite one.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import trio

import migrations
from engine.config import Settings
from engine.embedded.children import Child, ChildFailed, inherited, python_module
from engine.embedded.folder import DataFolder
from engine.embedded.postgres import APPLICATION, LOCAL, OWNER, Postgres
from engine.embedded.valkey import Valkey

_START_SECONDS = 20.0


class Stack:
    """`start_*` block and answer what settings they give; `watch` keeps them alive; `stop` ends them."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._children: list[Child] = []
        self._postgres: Postgres | None = None
        self.stripe_url = ""
        self.mail_url = ""

    def start_servers(self, given: Settings) -> dict[str, str]:
        """Postgres with our schema and Valkey; with a URL given, the schema there."""
        found: dict[str, str] = {}
        sockets, log = self._folder.sockets(), self._folder.log
        owner_url = given.migration_database_url or given.database_url
        if not given.database_url:
            self._postgres = Postgres(self._folder.path / "postgres", sockets, log)
            self._children.append(self._postgres.child)
            self._postgres.start()
            found["database_url"] = self._postgres.url(APPLICATION)
            owner_url = self._postgres.url(OWNER)
        if not given.redis_url:
            valkey = Valkey(self._folder.path / "valkey", sockets, log)
            self._children.append(valkey.child)
            valkey.start()
            found["redis_url"] = valkey.url
        asyncio.run(migrations.migrate(owner_url))
        return found

    def start_stripe(self, given: Settings, port: int, webhook_url: str) -> dict[str, str]:
        """The local Stripe, unless a base or a real key says where Stripe is."""
        if given.stripe_api_base or given.stripe_api_key:
            self.stripe_url = given.stripe_api_base or "https://api.stripe.com"
            return {}
        own = self._folder.secrets()
        self.stripe_url = f"http://127.0.0.1:{port}"
        secret = given.stripe_webhook_secret.partition(",")[0] or own.stripe_webhook_secret
        self._start_program(
            "stripe",
            [*python_module("engine.embedded.stripe"), "--port", str(port)],
            f"{self.stripe_url}/healthz",
            LOCAL_STRIPE_DATABASE_URL=self._local_database(given),
            LOCAL_STRIPE_SECRET_KEY=own.stripe_secret_key,
            LOCAL_STRIPE_PUBLISHABLE_KEY=own.stripe_publishable_key,
            LOCAL_STRIPE_WEBHOOK_SECRET=secret,
            LOCAL_STRIPE_WEBHOOK_URL=webhook_url,
        )
        return {
            "stripe_api_base": self.stripe_url,
            "stripe_api_key": own.stripe_secret_key,
            "stripe_publishable_key": own.stripe_publishable_key,
            "stripe_webhook_secret": given.stripe_webhook_secret or own.stripe_webhook_secret,
        }

    def start_mailbox(self, given: Settings, port: int) -> dict[str, str]:
        """The local mailbox, unless mail has somewhere to go."""
        if given.smtp_url:
            return {}
        smtp_port = free_port()
        self.mail_url = f"http://127.0.0.1:{port}"
        self._start_program(
            "mailbox",
            [*python_module("engine.embedded.mailbox"), "--port", str(port), "--smtp-port", str(smtp_port)],
            f"{self.mail_url}/healthz",
            LOCAL_MAILBOX_DATABASE_URL=self._local_database(given),
        )
        return {"smtp_url": f"smtp://127.0.0.1:{smtp_port}"}

    def start_worker(self, settings: Settings) -> None:
        """The worker as the Procfile runs it, told everything by its environment."""
        environ = {
            f"FM_{name.upper()}": _spell(getattr(settings, name))
            for name in settings.__struct_fields__
            if getattr(settings, name) != ""
        }
        child = Child(
            "worker",
            [*python_module("engine"), "serve", "worker"],
            self._folder.log / "worker.log",
            environ=inherited(**environ),
        )
        self._children.append(child)
        child.start()

    def _start_program(self, name: str, command: list[str], health: str, **environ: str) -> None:
        port_file = str(self._folder.path / f"{name}.port")
        child = Child(
            name,
            [*command, "--port-file", port_file],
            self._folder.log / f"{name}.log",
            environ=inherited(**environ, PYTHONPATH=_import_path()),
        )
        self._children.append(child)
        child.start()
        _wait_for(lambda: _answers(health), child)

    def _local_database(self, given: Settings) -> str:
        if self._postgres is not None:
            return self._postgres.url(LOCAL, LOCAL)
        return given.database_url

    async def watch(self) -> None:
        """Start again what dies, until cancelled."""
        async with trio.open_nursery() as nursery:
            for child in self._children:
                nursery.start_soon(child.watch)

    def stop(self) -> None:
        for child in reversed(self._children):
            child.stop()
        self._children.clear()


def _spell(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _import_path() -> str:
    """So that a child started from another folder finds us too, installed or not."""
    return str(Path(sys.modules["engine"].__path__[0]).parent)


def _wait_for(ready: Callable[[], bool], child: Child) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        child.check()
        if time.monotonic() > deadline:
            raise ChildFailed(f"{child.name} does not answer; see its log")
        time.sleep(0.03)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
