"""The command line of Force Majeure.

Exit codes: 0 done, 1 failed, 2 a setting or argument is wrong, 3 the data folder is in use, 4 a check found something.
The only module of the engine that knows the faces: somebody has to put them together.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
import msgspec
import trio
from cyclopts import Parameter

import migrations
from engine import running
from engine.actions import catalog
from engine.actions.catalog import Actor
from engine.adapters import logs
from engine.bootstrap import open_engine
from engine.config import BadSettings, Settings, read_settings
from engine.embedded.children import ChildFailed
from engine.embedded.folder import FolderTaken

app = cyclopts.App(
    name="fm", help="Force Majeure: ticketing that holds when an on-sale opens.", version_flags=[]
)
keys = cyclopts.App(name="keys", help="API keys.")
app.command(keys)

Port = Annotated[int | None, Parameter(help="0 picks a free one")]


@app.command
def up(
    *,
    demo: Annotated[
        bool, Parameter(negative="", help="make an organizer and an event to click through")
    ] = False,
    data: Annotated[Path, Parameter(help="where everything is kept")] = Path(".data"),
    web_port: Port = None,
    admin_port: Port = None,
    lane_port: Port = None,
    stripe_port: Port = None,
    mail_port: Port = None,
) -> None:
    """Start the engine with both apps in one process, and embedded servers beside it."""
    ports = running.Ports(web_port, admin_port, lane_port, stripe_port, mail_port)
    running.up(data, ports, demo, os.environ)


@app.command
def serve(
    face: Literal["web", "admin", "worker"],
    *,
    web_port: Port = None,
    admin_port: Port = None,
    lane_port: Port = None,
    data: Annotated[Path | None, Parameter(help="write run.json here")] = None,
) -> None:
    """One process of the Procfile, with servers given by URL."""
    logs.configure()
    settings = running.complete(read_settings(os.environ))
    ports = running.Ports(web_port, admin_port, lane_port, None, None)
    trio.run(running.serve, face, settings, ports, data)


@app.command
def migrate() -> None:
    """Bring the database to this version's schema, as its owner (FM_MIGRATION_DATABASE_URL, else FM_DATABASE_URL)."""
    settings = read_settings(os.environ)
    url = settings.migration_database_url or settings.database_url
    if not url:
        raise BadSettings("FM_DATABASE_URL is not set: which database shall be migrated?")
    done = asyncio.run(migrations.migrate(url))
    print("\n".join(f"applied {name}" for name in done) or "nothing to apply")


@keys.command
def create(
    *,
    organizer: Annotated[str | None, Parameter(help="whose key; without it, the operator's")] = None,
    name: str = "",
    data: Annotated[Path, Parameter(help="the folder of a running `fm up`")] = Path(".data"),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Mint an API key and print its secret, once."""
    settings = running.settings_of(data, os.environ)

    async def mint() -> str:
        async with open_engine(settings, owns_shards=False) as engine:
            return await catalog.mint_key(engine.context, Actor("cli", None, "local"), organizer, name)

    secret = trio.run(mint)
    print(msgspec.json.encode({"secret": secret}).decode() if json else secret)


@app.command
def doctor(
    *,
    data: Annotated[Path, Parameter(help="the folder of a running `fm up`")] = Path(".data"),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Look for what must never be: counts that do not add up, paid orders without tickets, work that is stuck."""
    settings: Settings = running.settings_of(data, os.environ)
    findings = trio.run(running.findings, settings)
    if json:
        print(msgspec.json.encode({"data": findings}).decode())
    else:
        for finding in findings:
            print(f"{finding['check']}: {finding['detail']}")
        print("nothing found" if not findings else f"{len(findings)} findings")
    if findings:
        sys.exit(4)


@app.command
def recover(
    *,
    data: Annotated[Path, Parameter(help="the folder of a running `fm up`")] = Path(".data"),
) -> None:
    """Forget the recovery journal: at their next start all shards are built from Postgres alone."""
    settings = running.settings_of(data, os.environ)
    count = trio.run(running.forget_journal, settings)
    print(f"forgot the journal of {count} shards; restart the engine to rebuild from Postgres")


def main() -> None:
    """`fm …`"""
    try:
        app()
    except BadSettings as error:
        sys.exit(_say(2, error))
    except FolderTaken as error:
        sys.exit(_say(3, error))
    except (ChildFailed, OSError, migrations.MigrationChanged) as error:
        sys.exit(_say(1, error))


def _say(code: int, error: Exception) -> int:
    print(f"fm: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
