"""The only reader of the environment: every setting, checked once, frozen.

Errors: `BadSettings` names the variable and what would be right; the command line turns it into exit code 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

_PREFIX = "FM_"

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]


class BadSettings(Exception):
    """A setting that cannot be used. Whoever started the process must act."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All durations in seconds. Empty strings mean: not given."""

    database_url: str = ""
    migration_database_url: str = ""
    redis_url: str = ""
    stripe_api_key: str = ""
    stripe_api_base: str = ""
    stripe_webhook_secret: str = ""
    stripe_publishable_key: str = ""
    smtp_url: str = ""
    mail_from: str = "tickets@force-majeure.invalid"
    secret_key: str = ""
    public_url: str = ""
    hold_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 600
    hold_hard_seconds: NotNegative = 300
    reconcile_seconds: Positive = 60
    rate_limits: bool = True
    trusted_proxies: NotNegative = 0
    lane_trusted_proxies: NotNegative = 0
    stripe_rate: NotNegative = 25
    platform_country: Annotated[str, Meta(pattern="^[A-Z]{2}$")] = "US"

    @property
    def stripe_is_local(self) -> bool:
        """The stand-in for Stripe.js is served only if the API is on loopback and the key is a test key."""
        host = urlsplit(self.stripe_api_base).hostname or ""
        return host in ("127.0.0.1", "::1", "localhost") and self.stripe_api_key.startswith("sk_test_")

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.stripe_webhook_secret.split(",") if part.strip())


def read_settings(environ: Mapping[str, str], **overrides: object) -> Settings:
    """Settings from `FM_…` variables; `overrides` (the command line, the embedded servers) win. Raises BadSettings."""
    known = {field.name for field in msgspec.structs.fields(Settings)}
    found: dict[str, object] = {}
    for name, text in environ.items():
        if not name.startswith(_PREFIX):
            continue
        field = name.removeprefix(_PREFIX).lower()
        if field not in known:
            raise BadSettings(f"{name} is not a setting; .env.example lists them all")
        if field == "rate_limits":
            if text not in ("on", "off"):
                raise BadSettings(f"{name} must be 'on' or 'off', not {text!r}")
            found[field] = text == "on"
        else:
            found[field] = text
    found.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return msgspec.convert(found, Settings, strict=False)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`")
        raise BadSettings(f"{_PREFIX}{field.upper()}: {words}") from None
