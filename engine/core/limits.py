"""Every limit of the engine, with the asserts that relate them."""

from __future__ import annotations

from typing import Final

CAPACITY_MAX: Final = 2**31 - 1
LINES_MAX: Final = 20
MAX_PER_ORDER_MAX: Final = 500

MAILBOX_COMMANDS: Final = 4_096
BATCH_COMMANDS: Final = 2_048
# How many commands one mailbox may put into a turn before its neighbours are asked: fairness inside a shard.
TURN_COMMANDS: Final = 256

# Distinct baskets whose price is remembered per event.
PRICED_BASKETS: Final = 4_096
# Terminal holds kept in memory per event, so that repeats and late reads need no storage.
FINISHED_HOLDS: Final = 50_000

BODY_BYTES: Final = 256 * 1024
JSON_DEPTH: Final = 32
IDEMPOTENCY_KEY_CHARS: Final = 255

WEBHOOK_AGE_SECONDS: Final = 300
OUTBOX_BATCH: Final = 50
INBOX_BATCH: Final = 500

JOURNAL_QUEUE: Final = 10_000
SNAPSHOT_EVERY_BATCHES: Final = 20_000
SNAPSHOT_AGAIN_BATCHES: Final = 500

# A shard is renewed three times within its lease.
LEASE_SECONDS: Final = 15
LEASE_RENEW_SECONDS: Final = 5

MICROSECOND: Final = 1
SECOND: Final = 1_000_000

assert TURN_COMMANDS <= BATCH_COMMANDS <= MAILBOX_COMMANDS

# A sale in another currency than the organizer is paid in needs a rate not older than this.
RATE_FRESH_SECONDS = 4 * 86_400

# Idempotency keys tried for one effect, each after a stored failure of the one before.
STRIPE_KEYS = 40
