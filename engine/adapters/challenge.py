"""A puzzle for a crowded address: ALTCHA's proof of work, made and checked without keeping anything.

Why: behind one address may be a campus. Whoever spends a second of computing gets a limit of their own.
Source: ALTCHA's server integration, algorithm SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Any

import msgspec

_NUMBER_MAX = 50_000
_LIVE_SECONDS = 600
_HEADER_CHARS = 2_000


class _Solution(msgspec.Struct):
    algorithm: str
    challenge: str
    number: int
    salt: str
    signature: str


_decode = msgspec.json.Decoder(_Solution).decode


def make(key: bytes, now_seconds: int) -> dict[str, Any]:
    """ALTCHA's challenge."""
    salt = f"{secrets.token_hex(12)}?expires={now_seconds + _LIVE_SECONDS}"
    digest = _digest(salt, secrets.randbelow(_NUMBER_MAX + 1))
    return {
        "algorithm": "SHA-256",
        "challenge": digest,
        "maxnumber": _NUMBER_MAX,
        "salt": salt,
        "signature": _sign(key, digest),
    }


def solved(key: bytes, header: str | None, now_seconds: int) -> str | None:
    """The salt of a right and fresh solution, to count by; None for anything else."""
    if header is None or len(header) > _HEADER_CHARS:
        return None
    try:
        found = _decode(base64.b64decode(header, validate=True))
        expires = int(found.salt.rpartition("?expires=")[2])
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        return None
    right = (
        found.algorithm == "SHA-256"
        and expires >= now_seconds
        and hmac.compare_digest(found.challenge.encode(), _digest(found.salt, found.number).encode())
        and hmac.compare_digest(found.signature.encode(), _sign(key, found.challenge).encode())
    )
    return found.salt if right else None


def _digest(salt: str, number: int) -> str:
    return hashlib.sha256(f"{salt}{number}".encode()).hexdigest()


def _sign(key: bytes, digest: str) -> str:
    return hmac.new(key, digest.encode(), hashlib.sha256).hexdigest()
