"""Signs ticket codes with Ed25519 and tells genuine ones from all others.

Promises: the same ticket always signs to the same code; `genuine` never raises, whatever was scanned.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from engine.core import codes
from engine.core.codes import TicketCode


def generate() -> tuple[bytes, bytes]:
    """A new (private key, public key), 32 raw bytes each. The private one is a secret."""
    private = Ed25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


class Signer:
    """Writes codes under one key. Raises ValueError for a key that is not 32 bytes."""

    def __init__(self, key_id: int, private_bytes: bytes) -> None:
        self._key_id = key_id
        self._private = Ed25519PrivateKey.from_private_bytes(private_bytes)

    def __repr__(self) -> str:
        return f"Signer({self._key_id})"

    def code(self, event: int, number: int, tier: int, serial: int) -> str:
        """The code of a ticket, 139 characters. Raises ValueError for a number that does not fit."""
        signed = codes.payload(TicketCode(self._key_id, event, number, tier, serial))
        return codes.spell(signed, self._private.sign(signed))


class Verifier:
    """Knows public keys by key id. Raises ValueError for a key that is not 32 bytes."""

    def __init__(self, public_keys: Mapping[int, bytes]) -> None:
        self._keys = {
            key_id: Ed25519PublicKey.from_public_bytes(public) for key_id, public in public_keys.items()
        }

    def genuine(self, text: object) -> TicketCode | None:
        """What the code says if one of our keys signed it; None for anything else."""
        found = codes.read(text)
        if found is None:
            return None
        code, signed, signature = found
        key = self._keys.get(code.key_id)
        if key is None:
            return None
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            return None
        return code
