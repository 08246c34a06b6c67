"""The spelling of ticket codes: `FM1:` and base32 of a 20-byte payload and its 64-byte signature; 139 characters.

Promises: one code has one spelling. Whatever does not re-encode to itself is not read, and reading never raises.
Must not know: keys. Whether a signature is genuine is for `engine.adapters.signing` and the door's phones.
Why base32: upper case and digits are a QR's alphanumeric mode, which makes it version 6 and quick to scan.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Final, NamedTuple

PREFIX: Final = "FM1:"
VERSION: Final = 1
PAYLOAD_BYTES: Final = 20
SIGNATURE_BYTES: Final = 64
CODE_CHARS: Final = 139

# Big-endian: version, key id, event number, ticket number, tier number, serial.
_LAYOUT: Final = struct.Struct(">BBIQHI")
# 84 bytes are 135 characters of base32; a decoder wants them filled up to a multiple of 8.
_PADDING: Final = "="


class TicketCode(NamedTuple):
    """What a code says. Numbers count per event; a reissue changes the serial."""

    key_id: int
    event: int
    number: int
    tier: int
    serial: int


def payload(code: TicketCode) -> bytes:
    """The 20 bytes to sign. Raises ValueError for a number that does not fit its field."""
    try:
        return _LAYOUT.pack(VERSION, code.key_id, code.event, code.number, code.tier, code.serial)
    except struct.error as error:
        raise ValueError(f"a ticket code cannot carry {code}: {error}") from None


def spell(payload: bytes, signature: bytes) -> str:
    """The code of a payload (20 bytes) and its signature (64 bytes). Raises ValueError for other lengths."""
    if len(payload) != PAYLOAD_BYTES or len(signature) != SIGNATURE_BYTES:
        raise ValueError(f"{len(payload)} and {len(signature)} bytes are not a payload and its signature")
    return PREFIX + base64.b32encode(payload + signature).decode("ascii").rstrip(_PADDING)


def read(text: object) -> tuple[TicketCode, bytes, bytes] | None:
    """(what it says, payload, signature), or None for whatever `spell` did not write. The signature is not checked."""
    if not isinstance(text, str) or len(text) != CODE_CHARS or not text.startswith(PREFIX):
        return None
    try:
        raw = base64.b32decode(text[len(PREFIX) :] + _PADDING)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != PAYLOAD_BYTES + SIGNATURE_BYTES or raw[0] != VERSION:
        return None
    signed, signature = raw[:PAYLOAD_BYTES], raw[PAYLOAD_BYTES:]
    # A decoder drops the last character's unused bits: 32 spellings of one code, of which one is ours.
    if spell(signed, signature) != text:
        return None
    return TicketCode(*_LAYOUT.unpack(signed)[1:]), signed, signature
