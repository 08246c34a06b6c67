"""What the program is told: by the environment, because command lines are public."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

API_VERSION = "2026-10-28.endive"
ACCOUNT = "acct_local"
_CURRENCIES = "usd,eur,gbp,chf"


class BadSettings(Exception):
    """A variable that is missing or cannot be used. Whoever started the program must act."""


@dataclass(frozen=True)
class Settings:
    """`webhook_url` may be empty: then there are no deliveries.

    `currencies`: what balances are held in; a charge in another one is converted into the first.
    """

    database_url: str
    secret_key: str
    publishable_key: str
    webhook_secret: str
    webhook_url: str
    currencies: tuple[str, ...]

    @property
    def currency(self) -> str:
        return self.currencies[0]

    def held_in(self, currency: str) -> str:
        """Where money of a currency ends up."""
        return currency if currency in self.currencies else self.currency


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from `LOCAL_STRIPE_…`. Raises BadSettings."""

    def needed(name: str, prefix: str) -> str:
        value = environ.get(f"LOCAL_STRIPE_{name}", "")
        if not value.startswith(prefix) or len(value) == len(prefix):
            raise BadSettings(f"LOCAL_STRIPE_{name} must begin with {prefix!r}")
        return value

    return Settings(
        database_url=needed("DATABASE_URL", "postgres"),
        secret_key=needed("SECRET_KEY", "sk_test_"),
        publishable_key=needed("PUBLISHABLE_KEY", "pk_test_"),
        webhook_secret=needed("WEBHOOK_SECRET", "whsec_"),
        webhook_url=environ.get("LOCAL_STRIPE_WEBHOOK_URL", ""),
        currencies=tuple((environ.get("LOCAL_STRIPE_CURRENCY", "") or _CURRENCIES).split(",")),
    )
