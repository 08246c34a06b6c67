"""`python -m engine.embedded.stripe --port N --port-file PATH`: serve until a signal. Settings: `LOCAL_STRIPE_…`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from hypercorn.asyncio import serve
from hypercorn.config import Config

from engine.embedded.stripe.app import LocalStripe
from engine.embedded.stripe.settings import BadSettings, read_settings

_DRAIN_SECONDS = 1.0


async def _run(server: LocalStripe, listener: socket.socket, port_file: Path | None) -> None:
    port = listener.getsockname()[1]
    server.base_url = f"http://127.0.0.1:{port}"
    await server.open()
    # From here on a connection waits for us instead of being refused: only then may the port be told.
    listener.listen(1024)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.accesslog = None
    config.graceful_timeout = _DRAIN_SECONDS
    config.shutdown_timeout = _DRAIN_SECONDS
    tasks = [asyncio.create_task(server.run_jobs()), asyncio.create_task(server.deliverer.run())]
    if port_file is not None:
        temporary = port_file.with_name(port_file.name + ".new")
        temporary.write_text(str(port))
        temporary.replace(port_file)
    try:
        await serve(server.app, config, shutdown_trigger=stop.wait)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.pool.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(prog="local-stripe")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", type=Path)
    given = parser.parse_args()
    try:
        server = LocalStripe(read_settings(os.environ))
    except BadSettings as error:
        sys.exit(f"local-stripe: {error}")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", given.port))
    asyncio.run(_run(server, listener, given.port_file))


if __name__ == "__main__":
    main()
