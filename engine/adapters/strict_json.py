"""One strict JSON document in, or a definite no: what JSON libraries let pass and two readers could read differently.

Refused: duplicate keys, NaN and infinities, NUL and lone surrogates in strings, anything not UTF-8, too deep, empty.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from engine.core import limits


class BadJson(Exception):
    """Not one strict JSON document; the text says why."""


def decode(body: bytes) -> Any:
    """The document. Raises BadJson."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadJson("the body is not UTF-8") from None
    if _depth(text) > limits.JSON_DEPTH:
        raise BadJson(f"the body is nested deeper than {limits.JSON_DEPTH} levels")
    try:
        document = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise BadJson(f"{error.msg} at character {error.pos}") from None
    if "\\u" in text or "\0" in text:
        _check_strings(document)
    return document


def _depth(text: str) -> int:
    """Deepest nesting, brackets inside strings included: an upper bound is enough."""
    if text.count("{") + text.count("[") <= limits.JSON_DEPTH:
        return 0
    depth = deepest = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "}]":
            depth -= 1
    return deepest


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("a key stands twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > 400:
        raise BadJson("a number has too many digits")
    return int(digits)


def _check_strings(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise BadJson("a string holds a NUL")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise BadJson("a string holds a lone surrogate") from None
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_strings(key)
            _check_strings(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_strings(inner)
