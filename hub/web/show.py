"""How values look on pages: times, days, counts, JSON. Pure; escaping is the templates' (Jinja escapes all of it)."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

LONGEST = 40_000
TEN_MONTHS_S = 300 * 86400
SOON_S = 30 * 86400
FIELD_NAMES = {
    "offering": "Offering",
    "seats": "Seats",
    "overdraft": "Overdraft",
    "expires_at": "Expires",
    "enabled": "Status",
}
COUNT_TO = 10_000
STATES = {  # state -> badge class, symbol, word
    "idle": ("badge-good", "i-check", "Idle"),
    "due": ("", "i-clock", "Due"),
    "parked": ("badge-warn", "i-park", "Parked"),
    "held": ("badge-warn", "i-hold", "Held"),
    "dead": ("badge-bad", "i-dead", "Dead"),
}
OUTCOMES = {
    "accepted": ("badge-good", "i-check", "Accepted"),
    "ignored": ("", "i-same", "Ignored"),
    "quarantined": ("badge-warn", "i-warn", "Quarantined"),
    "dead": ("badge-bad", "i-dead", "Dead"),
    "conflict": ("badge-bad", "i-diff", "Conflict"),
}


def moment(at: float | None, form: str = "full") -> Markup | str:
    """Epoch seconds as a <time> in UTC; hub.js shows it in the reader's zone.

    form: full, minute (no seconds) or clock (no day). A day of the last ten months goes without its year.
    """
    if at is None:
        return "never"
    when = datetime.fromtimestamp(at, UTC)
    clock = f"{when:%H:%M}" if form == "minute" else f"{when:%H:%M:%S}"
    date = f"{when.day} {when:%b}" if abs(time.time() - at) < TEN_MONTHS_S else _day(when)
    return Markup('<time datetime="{}" title="{}" data-form="{}">{}</time>').format(
        f"{when:%Y-%m-%dT%H:%M:%SZ}",
        f"{when:%Y-%m-%d %H:%M:%S} UTC",
        form,
        clock if form == "clock" else f"{date}, {clock}",
    )


def breakable(text: str) -> Markup:
    """An id or type that may break after its dots, slashes and underscores."""
    return Markup(re.sub(r"([./_:])", r"\1<wbr>", str(escape(text))))  # noqa: S704  (escaped just before)


def day(text: str | None) -> str:
    """ISO 8601 text as a day in UTC: 7 Oct 2026. A day without a time is itself."""
    if not text:
        return "no date"
    when = datetime.fromisoformat(text)
    return _day(when.astimezone(UTC) if when.tzinfo else when)


def ends_badge(expires_at: str | None, now: float) -> tuple[str, str, str] | None:
    """Badge class, symbol and word for a license that is on and over, or over within SOON_S; else None.

    `expires_at`: ISO 8601. `now`: epoch seconds of business time.
    """
    if not expires_at:
        return None
    left = datetime.fromisoformat(expires_at).timestamp() - now
    if left <= 0:
        return ("badge-warn", "i-warn", f"Expired {span(-left)} ago")
    return ("", "i-clock", f"Expires in {span(left)}") if left < SOON_S else None


def span(seconds: float) -> str:
    """A length of time, roughly: 41 s, 12 min, 3 h, 2 days."""
    for unit, size, below in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if abs(seconds) < below:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def count(number: int) -> str:
    """A count with thousands apart; one that was stopped counting says so."""
    return f"{number:,}" + ("+" if number >= COUNT_TO else "")


def seats(number: int) -> str:
    """3 seats, 1 seat."""
    return f"{number:,} seat" + ("" if number == 1 else "s")


def field_name(name: str) -> str:
    """A field as people call it."""
    return FIELD_NAMES.get(name, name.replace("_", " ").capitalize())


def pretty(value: Any) -> str:  # noqa: ANN401  (JSON)
    """JSON as indented text."""
    return _cut(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def payload(body: bytes | None) -> str:
    """A raw body as text: indented where it is JSON, else as it came."""
    if body is None:
        return "no longer kept"
    text = bytes(body).decode("utf-8", errors="replace")
    try:
        return pretty(json.loads(text))
    except (ValueError, RecursionError):
        return _cut(text)


def size(body: bytes | None) -> str:
    """3.1 KB."""
    length = len(body or b"")
    return f"{length} bytes" if length < 1000 else f"{length / 1000:.1f} KB"  # noqa: PLR2004


def sentence(text: str) -> str:
    """`text` beginning with a capital."""
    return text[:1].upper() + text[1:]


def subject_badge(row: Any) -> tuple[str, str, str]:  # noqa: ANN401  (a row)
    """Badge class, symbol and word for a subject's state."""
    if row.state == "due" and row.cause == "window":
        return ("badge-warn", "i-clock", "In doubt")
    if row.state == "due" and row.cause in {"retry", "refused"}:
        return ("badge-warn", "i-clock", "Retrying")
    if row.state == "due" and row.cause in {"second look", "verify"}:
        return ("badge-good", "i-check", "Looked at")
    if row.state == "due" and row.next_look is not None and row.next_look > row.now:
        return ("", "i-clock", "Waiting")
    return STATES.get(row.state, ("", "i-same", row.state))


def next_look(state: str) -> str:
    """When a subject that is not due is looked at again."""
    return {
        "held": "when approved or released",
        "parked": "when mapped or asked",
        "dead": "with the next event, or when asked",
    }.get(state, "with the next event")


def receipt_badge(row: Any) -> tuple[str, str, str]:  # noqa: ANN401  (a row)
    """Badge class, symbol and word for what came of a receipt."""
    if row.outcome != "accepted":
        return OUTCOMES.get(row.outcome, ("", "i-same", row.outcome))
    if row.state in {"parked", "held", "dead"}:
        return STATES[row.state]
    if row.looked_at is not None and row.looked_at >= row.received_at:
        return ("badge-good", "i-check", "Applied")
    return ("", "i-clock", "Waiting") if row.state == "due" else OUTCOMES["accepted"]


def receipt_because(row: Any) -> str:  # noqa: ANN401  (a row)
    """Why a receipt came to what it did."""
    if row.outcome != "accepted":
        return row.outcome_reason or ""
    return (row.summary if row.state == "idle" else row.reason) or ""


def _day(when: datetime) -> str:
    return f"{when.day} {when:%b %Y}"


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return text[:LONGEST] + f"\n… cut here: {len(text) - LONGEST:,} more characters"
