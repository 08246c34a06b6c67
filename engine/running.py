"""Processes: `fm up` (everything), `fm serve …` (one of the Procfile's), with their listeners, signals and stopping.

Promises: SIGTERM drains and ends within ten seconds; run.json exists only while everything it names answers.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_asgi

from engine.actions import demo, mails
from engine.adapters import catalog, doctor, logs
from engine.adapters.secrets import Secrets, hash_api_key
from engine.bootstrap import Engine, open_engine
from engine.config import BadSettings, Settings, read_settings
from engine.embedded.folder import DataFolder, write_private
from engine.embedded.stack import Stack, free_port

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 4.0
_BACKLOG = 4096
_DEFAULT_PORTS = {"web": 8000, "admin": 8001, "lane": 8002, "stripe": 8003, "mail": 8004}


class Ports(msgspec.Struct, frozen=True):
    """As asked: None is the default one, or a free one where that is taken; 0 a free one."""

    web: int | None
    admin: int | None
    lane: int | None
    stripe: int | None
    mail: int | None

    def listen(self, name: str) -> socket.socket:
        """A bound socket. Raises OSError when a port that was asked for is taken."""
        asked: int | None = getattr(self, name)
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(("127.0.0.1", _DEFAULT_PORTS[name] if asked is None else asked))
        except OSError as error:
            if asked is not None:
                found.close()
                raise OSError(f"port {asked} for --{name}-port: {error.strerror}") from None
            found.bind(("127.0.0.1", 0))
        return found

    def number(self, name: str) -> int:
        """A port for a program that binds it itself."""
        asked: int | None = getattr(self, name)
        if asked:
            return asked
        if asked is None:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", _DEFAULT_PORTS[name]))
                    return _DEFAULT_PORTS[name]
                except OSError:
                    pass
        return free_port()


def url_of(bound: socket.socket) -> str:
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


def complete(settings: Settings) -> Settings:
    """Raises BadSettings when a process of the Procfile lacks what it cannot run without."""
    for name in ("database_url", "redis_url", "stripe_api_key", "secret_key"):
        if not getattr(settings, name):
            raise BadSettings(f"FM_{name.upper()} is not set; `fm up` brings its own, `fm serve` needs yours")
    return settings


# --- fm up --------------------------------------------------------------------------------------------------------


def up(data: Path, ports: Ports, with_demo: bool, environ: Mapping[str, str]) -> None:
    """Start everything, serve until a signal, stop everything."""
    given = read_settings(environ)
    folder = DataFolder(data)
    logs.configure(folder.log)
    _raise_file_limit()
    stack = Stack(folder)
    try:
        bound = {name: ports.listen(name) for name in ("web", "admin", "lane")}
        web_url = url_of(bound["web"])
        public_url = given.public_url or web_url
        overrides = stack.start_servers(given)
        overrides |= stack.start_stripe(given, ports.number("stripe"), f"{web_url}/webhooks/stripe")
        overrides |= stack.start_mailbox(given, ports.number("mail"))
        secret_key = given.secret_key or folder.secrets().secret_key
        settings = read_settings(
            environ, **overrides, secret_key=secret_key, public_url=public_url.rstrip("/")
        )
        stack.start_worker(settings)
        trio.run(_up, settings, folder, stack, bound, with_demo)
    finally:
        folder.run_file.unlink(missing_ok=True)
        stack.stop()
        folder.close()


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < want:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))


async def _up(
    settings: Settings, folder: DataFolder, stack: Stack, bound: dict[str, socket.socket], with_demo: bool
) -> None:
    async with open_engine(settings, owns_shards=True) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(stack.watch)
        await engine.wait_ready()
        operator_key = await _operator_key(engine)
        demo_event = await demo.ensure(engine.context) if with_demo else None
        urls = {f"{name}_url": url_of(one) for name, one in bound.items()}
        await _run_faces(engine, bound, nursery)
        document = {
            "pid": os.getpid(),
            **urls,
            "stripe_url": stack.stripe_url,
            "mail_url": stack.mail_url,
            "database_url": settings.database_url,
            "redis_url": settings.redis_url,
            "operator_api_key": operator_key,
            "stripe_publishable_key": settings.stripe_publishable_key,
            "stripe_secret_key": settings.stripe_api_key,
            "stripe_webhook_secret": settings.webhook_secrets[0] if settings.webhook_secrets else "",
        }
        if demo_event is not None:
            document["demo"] = {"event": demo_event}
        folder.write_run_file(document)
        _greet(document)
        await _until_signal()
        folder.run_file.unlink(missing_ok=True)
        await _drain(engine)
        nursery.cancel_scope.cancel()


def _greet(document: dict[str, Any]) -> None:
    print(
        f"Force Majeure is ready.\n  buyers     {document['web_url']}\n  organizers {document['admin_url']} (API)"
    )
    print(f"  mail       {document['mail_url']}\n  Stripe     {document['stripe_url']}")
    if "demo" in document:
        print(f"  try        {document['web_url']}/events/{document['demo']['event']}")
    sys.stdout.flush()


async def _operator_key(engine: Engine) -> str:
    """The same key at every start, made from the installation's secret; stored hashed like any other."""
    context = engine.context
    secret = f"fm_test_{Secrets(context.settings.secret_key).operator_key}"
    digest = hash_api_key(secret)
    await context.pool.run(catalog.insert_key, f"key_{digest.hex()[:32]}", None, digest, "operator", None)
    return secret


async def _run_faces(engine: Engine, bound: dict[str, socket.socket], nursery: trio.Nursery) -> None:
    # The faces are put together here and nowhere else; the engine does not know them.
    from admin.app import create_app as create_admin
    from web.app import create_app as create_web
    from web.lane import Lane

    stop = trio.Event()
    engine.stop = stop
    if "web" in bound:
        await nursery.start(_serve_app, create_web(engine), bound["web"], stop)
    if "admin" in bound:
        await nursery.start(_serve_app, create_admin(engine), bound["admin"], stop)
    if "lane" in bound:
        lane = Lane(engine.context)
        engine.lane = lane
        bound["lane"].listen(_BACKLOG)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(bound["lane"]))
        nursery.start_soon(lane.serve, [listener])


async def _serve_app(app: Any, bound: socket.socket, stop: trio.Event, task_status: Any = None) -> None:
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.backlog = _BACKLOG
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.graceful_timeout = _DRAIN_SECONDS
    config.shutdown_timeout = _DRAIN_SECONDS
    config.h11_max_incomplete_size = 64 * 1024
    config.include_server_header = False
    await serve_asgi(app, config, shutdown_trigger=stop.wait, task_status=task_status)


async def _until_signal() -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("signal", number=int(number))
            return


async def _drain(engine: Engine) -> None:
    """Not ready any more; running requests end; then everything stops."""
    engine.draining = True
    if engine.lane is not None:
        engine.lane.draining = True
    if engine.stop is not None:
        engine.stop.set()
    await trio.sleep(0.2)


# --- fm serve -----------------------------------------------------------------------------------------------------


async def serve(face: str, settings: Settings, ports: Ports, data: Path | None) -> None:
    """One process of the Procfile until a signal."""
    async with open_engine(settings, owns_shards=face == "web") as engine, trio.open_nursery() as nursery:
        if face == "worker":
            nursery.start_soon(mails.drain, engine.context)
        else:
            await engine.wait_ready()
            names = ("web", "lane") if face == "web" else ("admin",)
            bound = {name: ports.listen(name) for name in names}
            urls = {f"{name}_url": url_of(one) for name, one in bound.items()}
            await _run_faces(engine, bound, nursery)
            if data is not None:
                data.mkdir(mode=0o700, parents=True, exist_ok=True)
                document = {"pid": os.getpid(), **urls, "database_url": settings.database_url}
                write_private(data / "run.json", msgspec.json.encode(document))
        log.info("serving", face=face)
        await _until_signal()
        await _drain(engine)
        nursery.cancel_scope.cancel()


# --- operations ---------------------------------------------------------------------------------------------------


def settings_of(data: Path, environ: Mapping[str, str]) -> Settings:
    """Settings from the environment, or from a running `fm up`'s folder."""
    given = read_settings(environ)
    run_file = data / "run.json"
    if given.database_url or not run_file.exists():
        return complete(given)
    run = msgspec.json.decode(run_file.read_bytes())
    secrets = msgspec.json.decode((data / "secret").read_bytes())
    return read_settings(
        environ,
        database_url=run["database_url"],
        redis_url=run["redis_url"],
        stripe_api_key=run["stripe_secret_key"],
        stripe_api_base=run["stripe_url"],
        secret_key=given.secret_key or secrets["secret_key"],
    )


async def forget_journal(settings: Settings) -> int:
    """How many shards had one."""
    async with open_engine(settings, owns_shards=False) as engine:
        return await engine.forget_journal()


async def findings(settings: Settings) -> list[dict[str, Any]]:
    """What `fm doctor` finds."""
    async with open_engine(settings, owns_shards=False) as engine:
        return await engine.context.pool.run(doctor.look)
