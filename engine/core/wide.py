"""MessagePack with 128-bit numbers: ids and keyed hashes travel as a 16-byte extension type.

Why: MessagePack's own integers end at 64 bits.
"""

from __future__ import annotations

from typing import Any

import msgspec

_NUMBER = 1
_MAX = 2**63


def pack(number: int) -> msgspec.msgpack.Ext:
    """A 128-bit number as it travels."""
    return msgspec.msgpack.Ext(_NUMBER, number.to_bytes(16, "big"))


def unpack(code: int, data: memoryview) -> int:
    """The `ext_hook` of a decoder."""
    if code != _NUMBER or len(data) != 16:
        raise ValueError(f"no such extension type: {code}")
    return int.from_bytes(data, "big")


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ext_hook=unpack).decode


def encode(value: Any) -> bytes:
    """Any value made of Structs and builtins."""
    return _encode(_widen(msgspec.to_builtins(value)))


def decode(blob: bytes, shape: Any) -> Any:
    """The value as `shape`. Raises msgspec.MsgspecError, ValueError."""
    return msgspec.convert(_decode(blob), shape)


def _widen(value: Any) -> Any:
    if isinstance(value, int):
        return value if -_MAX <= value < _MAX else pack(value)
    if isinstance(value, dict):
        return {name: _widen(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_widen(one) for one in value]
    return value
