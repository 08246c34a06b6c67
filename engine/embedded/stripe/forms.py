"""Form bodies with nested brackets, and typed reading of their fields. Everything wrong is Stripe's 400 with `param`."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from engine.embedded.stripe.errors import bad_parameter

Params = dict[str, Any]

_FIELDS_MAX = 1000
_DEPTH_MAX = 8
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_CARD_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){11,18}")
_SECRET = frozenset({"key", "client_secret"})
_CARD = frozenset({"card", "payment_method_data", "source"})
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_METADATA_KEYS_MAX = 50
_METADATA_KEY_CHARS = 40
_METADATA_VALUE_CHARS = 500


def parse(text: bytes) -> Params:
    """`a[b][c]=1&d[]=2` as `{"a": {"b": {"c": "1"}}, "d": ["2"]}`. All leaves are text."""
    try:
        pairs = parse_qsl(text.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict")
    except ValueError:
        raise bad_parameter("Invalid form-encoded body.") from None
    found: Params = {}
    for name, value in pairs:
        match = _KEY.fullmatch(name)
        if match is None or "\0" in name + value:
            raise bad_parameter(f"Invalid parameter name: {name[:80]!r}")
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        if len(path) > _DEPTH_MAX:
            raise bad_parameter(f"Too deeply nested: {match[1]}")
        _put(found, path, value)
    return found


def _put(target: Params, path: list[str], value: str) -> None:
    head, *rest = path
    if not rest:
        target[head] = value
    elif rest == [""]:
        kept = target.setdefault(head, [])
        if not isinstance(kept, list):
            raise bad_parameter(f"Invalid array: {head}", head)
        kept.append(value)
    else:
        inner = target.setdefault(head, {})
        if not isinstance(inner, dict):
            raise bad_parameter(f"Invalid object: {head}", head)
        _put(inner, rest, value)


def shown(params: Params) -> Params:
    """What may be kept of parameters: no keys, no client secrets, no cards, nor what looks like a card's number."""
    return {
        name: "…" if name in _CARD else _shown_value(value)
        for name, value in params.items()
        if name not in _SECRET
    }


def _shown_value(value: Any) -> Any:
    if isinstance(value, dict):
        return shown(value)
    if isinstance(value, list):
        return [_shown_value(one) for one in value]
    return _CARD_NUMBER.sub("…", value)


def allow(params: Params, names: Collection[str]) -> None:
    """Refuse what the endpoint does not know, as Stripe does."""
    for name in params:
        if name not in names and name not in ("expand", "key"):
            raise bad_parameter(f"Received unknown parameter: {name}", name, "parameter_unknown")


def text(params: Params, name: str, max_chars: int = 5000) -> str | None:
    """The text, or None when not given. Empty is refused."""
    value = params.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise bad_parameter(f"Invalid string: {name}", name)
    if not value:
        raise bad_parameter(
            f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{name}' cannot be unset.",
            name,
            "parameter_invalid_empty",
        )
    if len(value) > max_chars:
        raise bad_parameter(f"Invalid string: {name} is too long", name, "parameter_invalid_string")
    return value


def needed_text(params: Params, name: str) -> str:
    value = text(params, name)
    if value is None:
        raise bad_parameter(f"Missing required param: {name}.", name, "parameter_missing")
    return value


def integer(params: Params, name: str) -> int | None:
    value = text(params, name)
    if value is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise bad_parameter(f"Invalid integer: {value[:40]}", name, "parameter_invalid_integer")
    return int(value)


def boolean(params: Params, name: str) -> bool:
    value = text(params, name)
    if value not in (None, "true", "false"):
        raise bad_parameter(f"Invalid boolean: {name}", name)
    return value == "true"


def choice(params: Params, name: str, allowed: Collection[str]) -> str | None:
    value = text(params, name)
    if value is not None and value not in allowed:
        raise bad_parameter(f"Invalid {name}: must be one of {', '.join(allowed)}", name)
    return value


def nested(params: Params, name: str) -> Params:
    value = params.get(name, {})
    if not isinstance(value, dict):
        raise bad_parameter(f"Invalid object: {name}", name)
    return value


def texts(params: Params, name: str) -> list[str]:
    """A list given as `name[]=…` or `name[0]=…`."""
    value = params.get(name, [])
    if isinstance(value, dict) and all(key.isdecimal() for key in value):
        value = [value[key] for key in sorted(value, key=int)]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise bad_parameter(f"Invalid array: {name}", name)
    return value


def email(params: Params, name: str) -> str | None:
    """An address; empty unsets it."""
    if params.get(name) in (None, ""):
        return None
    value = text(params, name, 800)
    if value is None or not _EMAIL.fullmatch(value):
        raise bad_parameter(f"Invalid email address: {str(value)[:80]}", name, "email_invalid")
    return value


def metadata(params: Params, before: dict[str, str]) -> dict[str, str]:
    """`before` with the given keys set; an empty value removes a key, an empty `metadata` all of them."""
    if params.get("metadata") == "":
        return {}
    merged = dict(before)
    for key, value in nested(params, "metadata").items():
        if not isinstance(value, str) or len(value) > _METADATA_VALUE_CHARS:
            raise bad_parameter(
                f"Metadata values can have up to {_METADATA_VALUE_CHARS} characters.", f"metadata[{key}]"
            )
        if len(key) > _METADATA_KEY_CHARS:
            raise bad_parameter(
                f"Metadata keys can have up to {_METADATA_KEY_CHARS} characters.", f"metadata[{key}]"
            )
        if value:
            merged[key] = value
        else:
            merged.pop(key, None)
    if len(merged) > _METADATA_KEYS_MAX:
        raise bad_parameter(f"Metadata can have up to {_METADATA_KEYS_MAX} keys.", "metadata")
    return merged
