"""The monthly digest of renewals: one e-mail with its pictures inside, for whatever sends mail. Pure but for drawing.

Mail programs show no SVG and load nothing from outside, so pictures are PNG at twice their size, parts of the message
with a content id, and every one has its sentence as alternative text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from html import escape

from hub.usage.chart import history_chart, when
from hub.usage.portfolio import Account, Entitled, Portfolio, Standing
from hub.usage.render import png
from hub.usage.signal import CALM, Signal

DRAWN = 8  # pictures in one message
HORIZON = 180
SIZE = (600, 300)
WORDS = {
    Signal.DORMANT: "○ Dormant",
    Signal.AT_RISK: "↘ At risk",
    Signal.CONTRACTION: "↓ Contraction",
    Signal.OVERDRAFT: "▲ Overdraft",
    Signal.EXPANSION: "↗ Expansion",
    Signal.NEW_GROWTH: "↗ New growth",
    Signal.STEADY: "— Steady",
    Signal.INSUFFICIENT_DATA: "? Not enough data",
}
_PAGE = "font-family:Arial,Helvetica,sans-serif;font-size:14px;line-height:1.45;color:#1a1d23"
_CELL = "padding:6px 10px 6px 0;border-bottom:1px solid #e3e6ea;text-align:left;font-size:13px"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG and what stands in its place where it is not shown."""

    name: str
    words: str
    data: bytes

    @property
    def cid(self) -> str:
        """The id by which the message's HTML calls for it."""
        return f"{self.name.removesuffix('.png')}@licensing-hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The message in parts."""

    subject: str
    html: str
    text: str
    pictures: tuple[Picture, ...]


def digest(portfolio: Portfolio) -> Digest | None:
    """The digest of what renews in 180 days; None where nothing was judged yet."""
    due = sorted(filter(_due, portfolio.standings(HORIZON)), key=_urgency)
    if not due:
        return None
    drawn = [(one, picture) for one in due if _moves(one) and (picture := _picture(portfolio, one))][:DRAWN]
    subject = _subject(due)
    return Digest(
        subject=subject,
        html=_html(subject, due, drawn),
        text="\n\n".join([subject, *(f"{_head(one)}\n{one.sentence}" for one in due)]) + "\n",
        pictures=tuple(picture for _, picture in drawn),
    )


def message(made: Digest) -> EmailMessage:
    """The digest as multipart/related; sender, receiver and date are left to whoever sends it."""
    mail = EmailMessage()
    mail["Subject"] = made.subject
    mail.set_content(made.text)
    mail.add_alternative(made.html, subtype="html")
    html = mail.get_body(("html",)) or mail
    for one in made.pictures:
        where = {"cid": f"<{one.cid}>", "filename": one.name, "disposition": "inline"}
        html.add_related(one.data, maintype="image", subtype="png", **where)  # type: ignore[arg-type]  # all are texts
    return mail


def _due(one: Standing) -> bool:
    left = one.days_left
    return left is not None and 0 <= left <= HORIZON


def _moves(one: Standing) -> bool:
    return one.signal not in CALM


def _urgency(one: Standing) -> tuple[bool, int, str]:
    return (not _moves(one), one.days_left or 0, one.account)


def _subject(due: Sequence[Standing]) -> str:
    moving = sum(map(_moves, due))
    many = "" if len(due) == 1 else "s"
    return f"{len(due)} renewal{many} in {HORIZON} days, {moving} to talk about"


def _picture(portfolio: Portfolio, one: Standing) -> Picture | None:
    account = portfolio.account(one.account_id)
    found = _of(account, one.entitlement_id) if account else None
    if found is None:
        return None
    drawn = png(history_chart(found.history, found.judgement, size=SIZE))
    safe = "".join(char if char.isalnum() and char.isascii() else "-" for char in one.entitlement_id)
    return Picture(name=f"seats-{safe}.png", words=one.sentence, data=drawn)


def _of(account: Account, entitlement: str) -> Entitled | None:
    return next((one for one in account.entitled if one.standing.entitlement_id == entitlement), None)


def _head(one: Standing) -> str:
    renews = f"renews {when(one.renewal, year=True)}, {one.days_left} days" if one.renewal else "never renews"
    return f"{WORDS[one.signal]}: {one.account}, {one.offering}, {renews}"


def _html(subject: str, due: Sequence[Standing], drawn: Sequence[tuple[Standing, Picture]]) -> str:
    parts = "".join(_section(one, picture) for one, picture in drawn)
    rows = "".join(_row(one) for one in due)
    names = "".join(f'<th style="{_CELL}">{name}</th>' for name in ("Customer", "Signal", "Seats", "Renews"))
    as_of = when(max(one.as_of for one in due), year=True)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(subject)}</title></head>'
        f'<body style="margin:0;padding:24px;background:#ffffff;{_PAGE}"><div style="max-width:600px">'
        f'<h1 style="font-size:20px;margin:0 0 4px">{escape(subject)}</h1>'
        f'<p style="margin:0 0 20px;color:#4f5765">From seat use up to {as_of}.</p>{parts}'
        f'<h2 style="font-size:16px;margin:24px 0 4px">All of them</h2>'
        f'<table style="border-collapse:collapse;width:100%"><thead><tr>{names}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        f"</div></body></html>\n"
    )


def _section(one: Standing, picture: Picture) -> str:
    words = escape(picture.words, quote=True)
    return (
        f'<h2 style="font-size:16px;margin:24px 0 4px">{escape(_head(one))}</h2>'
        f'<p style="margin:0 0 8px">{escape(one.sentence)}</p>'
        f'<img src="cid:{picture.cid}" width="{SIZE[0]}" height="{SIZE[1]}" alt="{words}" '
        f'style="display:block;width:100%;max-width:{SIZE[0]}px;height:auto;border:0">'
    )


def _row(one: Standing) -> str:
    used = "no data" if one.used is None else f"{one.used:,.0f}"
    renews = f"{when(one.renewal, year=True)}" if one.renewal else "never"
    cells = (f"{one.account}, {one.offering}", WORDS[one.signal], f"{used} of {one.seats:,}", renews)
    return "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in cells) + "</tr>"
