"""Runs the mailbox: SMTP and HTTP on loopback in one asyncio loop, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import asyncpg
import hypercorn.asyncio
from aiosmtpd.smtp import SMTP, Envelope, Session
from hypercorn.config import Config

from engine.embedded.mailbox import messages
from engine.embedded.mailbox.pages import make_app

_START_SECONDS = 60.0
_MESSAGE_BYTES_MAX = 32 * 1024 * 1024


class Keeper:
    """aiosmtpd's handler: answers 250 after the commit, and a temporary failure when there is none."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        try:
            number = await messages.keep(self._pool, envelope.mail_from or "", envelope.rcpt_tos, raw)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            print(f"not kept: {type(error).__name__}", file=sys.stderr, flush=True)
            return "451 4.3.0 not kept, try again"
        return f"250 2.0.0 kept as {number}"


async def connect(url: str) -> asyncpg.Pool:
    """A pool on a database with our table in it. Raises what the database says if it does not answer within a minute."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_SECONDS
    while True:
        try:
            pool = await asyncpg.create_pool(url, min_size=1, max_size=4, timeout=5, command_timeout=15)
            await messages.make_schema(pool)
            return pool
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
            if loop.time() > deadline:
                raise
            await asyncio.sleep(0.1)


async def run(options: argparse.Namespace, url: str) -> None:
    """Serve until SIGTERM or SIGINT. What is being received then is either kept and answered, or neither."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(connect(url))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        return
    pool = starting.result()
    keeper = Keeper(pool)
    smtp = await loop.create_server(
        lambda: SMTP(
            keeper,
            loop=loop,
            hostname="localhost",
            ident="mailbox",
            enable_SMTPUTF8=True,
            data_size_limit=_MESSAGE_BYTES_MAX,
        ),
        "127.0.0.1",
        options.smtp_port,
    )
    listener = _listen(options.port)
    config = Config()
    ports = {"http": listener.getsockname()[1], "smtp": smtp.sockets[0].getsockname()[1]}
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = 0.5
    config.accesslog = None
    serving = asyncio.create_task(hypercorn.asyncio.serve(make_app(pool), config, shutdown_trigger=stop.wait))
    if options.port_file:
        write_aside(Path(options.port_file), json.dumps(ports))
    print(f"mailbox on http://127.0.0.1:{ports['http']}, SMTP on {ports['smtp']}", flush=True)
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    smtp.close()
    await asyncio.wait([serving], timeout=1.2)
    pool.terminate()
    if serving.done():
        serving.result()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def write_aside(path: Path, text: str) -> None:
    """Whole or not at all: readers poll for this file."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    temporary.write_text(text)
    temporary.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m engine.embedded.mailbox", description="A mailbox to try things out."
    )
    parser.add_argument("--port", type=int, default=0, help="HTTP; 0 picks a free one")
    parser.add_argument("--smtp-port", type=int, default=0, help="SMTP; 0 picks a free one")
    parser.add_argument("--port-file", help="where to write the ports, as JSON, once both listen")
    options = parser.parse_args()
    url = os.environ.get("LOCAL_MAILBOX_DATABASE_URL")
    if not url:
        print(
            "LOCAL_MAILBOX_DATABASE_URL is not set: it names the database that keeps the mail",
            file=sys.stderr,
        )
        return 2
    asyncio.run(run(options, url))
    return 0


if __name__ == "__main__":
    sys.exit(main())
