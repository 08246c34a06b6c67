"""The keys that sign ticket codes: made once, private halves stored encrypted."""

from __future__ import annotations

from typing import Any

from engine.adapters.secrets import Secrets
from engine.adapters.signing import Signer, generate


async def load(conn: Any, secrets: Secrets) -> tuple[dict[int, Signer], dict[int, bytes]]:
    """Signers and public keys by key id; the first key is made when there is none. Two processes agree on one."""
    private, public = generate()
    await conn.execute(
        "INSERT INTO ticket_keys (id, private_key, public_key) VALUES (1, $1, $2) ON CONFLICT DO NOTHING",
        secrets.seal(private),
        public,
    )
    rows: list[Any] = await conn.fetch("SELECT id, private_key, public_key FROM ticket_keys")
    signers = {row["id"]: Signer(row["id"], secrets.open(row["private_key"])) for row in rows}
    return signers, {row["id"]: row["public_key"] for row in rows}
