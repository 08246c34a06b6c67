"""The worker: mail that orders owe their buyers, rendered and sent from the outbox, each once.

Why apart from the engine: rendering a PDF holds a core for milliseconds that an on-sale needs.
"""

from __future__ import annotations

from typing import Any

import structlog
import trio

from engine import queries
from engine.actions import idempotency
from engine.actions.context import Context
from engine.adapters import calendar, mail, outbox, records, ticket_pdf
from engine.core import limits
from engine.core.model import Record

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_TIDY_SECONDS = 600
_SENDING = trio.CapacityLimiter(4)


async def drain(context: Context) -> None:
    """Send what is due, until cancelled."""
    tidy_at = 0.0
    while True:
        try:
            if trio.current_time() >= tidy_at:
                await context.pool.run(idempotency.forget_old)
                tidy_at = trio.current_time() + _TIDY_SECONDS
            rows = await context.pool.run(outbox.claim, ["mail"], None, limits.OUTBOX_BATCH)
        except Exception as error:
            log.warning("outbox.unreadable", reason=repr(error))
            await trio.sleep(_LOOK_SECONDS)
            continue
        async with trio.open_nursery() as nursery:
            for row in rows:
                nursery.start_soon(_send_one, context, row)
        if len(rows) < limits.OUTBOX_BATCH:
            await trio.sleep(_LOOK_SECONDS)


async def _send_one(context: Context, row: Any) -> None:
    try:
        await send(context, row["payload"]["order"], row["payload"]["template"], row["key"])
        await context.pool.run(outbox.done, row["id"])
    except mail.MailRefused:
        # This address takes no mail, now or ever: the order page has the tickets, and somebody should look.
        log.warning("mail.refused", row=row["id"])
        await context.pool.transaction(_give_up, row)
    except Exception as error:
        # Whatever is wrong with this mail, the others go out; it is tried again with a growing pause.
        log.warning("mail.failed", row=row["id"], reason=type(error).__name__)
        try:
            await context.pool.run(outbox.later, row["id"], row["attempts"], type(error).__name__)
        except Exception:
            log.warning("outbox.unwritten", row=row["id"])


async def _give_up(conn: Any, row: Any) -> None:
    task = {
        "kind": "mail_refused",
        "subject": f"outbox {row['id']}",
        "detail": {"template": row["payload"]["template"]},
        "created_at": row["created_at"].isoformat(),
    }
    await records.write(conn, [Record("insert operator_tasks", task)])
    await outbox.done(conn, row["id"])


async def send(context: Context, order_id: str, template: str, key: str) -> None:
    """Render and send one mail. Raises what the mail server's refusal or absence raises."""
    document = await queries.order_document(context, order_id)
    if document is None:
        return
    settings = context.settings

    def render_and_send() -> None:
        tickets = bool(document.tickets) and template == "paid"
        message = mail.compose(
            document,
            template,
            settings.mail_from,
            ticket_pdf.render(document) if tickets else None,
            calendar.render(document) if tickets else None,
            context.secrets.for_log(key),
        )
        mail.send(settings.smtp_url, message)

    await trio.to_thread.run_sync(render_and_send, limiter=_SENDING)
