"""Charts as answers to requests, for the console and the portal. numpy is loaded at the first of them, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, request

from hub.usage.seatdays import few
from hub.web import csvs

if TYPE_CHECKING:
    from hub.drawing import Drawer
    from hub.usage.figures import Need
    from hub.usage.portfolio import Entitled

SVG = "image/svg+xml"
MONTH_NAMES = ("month", "licensed", "p95 peak", "days over", "denials", "users a day", "known days", "business days")


def chart(drawer: Drawer, one: Entitled, title: str, *, own: bool) -> Response:
    """The history as SVG, as ?theme= and ?size= ask; `own`: the customer's version."""
    return drawn(drawer, one, title, theme(), narrow=request.args.get("size") == "narrow", own=own)


def drawn(drawer: Drawer, one: Entitled, title: str, theme: str, *, narrow: bool, own: bool = False) -> Response:
    """The history as SVG."""
    from hub.usage.chart import NARROW, WIDE, history_chart  # noqa: PLC0415

    judgement = None if own else one.judgement
    spec = history_chart(one.history, judgement, theme=theme, size=NARROW if narrow else WIDE)
    return Response(drawer.svg(spec, title), content_type=SVG)


def bars(drawer: Drawer, needs: list[Need], title: str) -> Response:
    """The bars of days that needed more, as SVG."""
    from hub.usage.chart import need_chart  # noqa: PLC0415

    return Response(drawer.svg(need_chart(needs, theme=theme()), title), content_type=SVG)


def theme() -> str:
    """Light or dark, as asked."""
    return "dark" if request.args.get("theme") == "dark" else "light"


def needs(one: Entitled, *, own: bool) -> list[Need]:
    """The options of the bars: what is licensed, and the tiers to talk about; the customer sees no advice."""
    from hub.usage.figures import needs as count  # noqa: PLC0415

    standing = one.standing
    suggested = None if own else standing.recommended_seats
    advice = [("suggested", suggested)] if suggested is not None and suggested != standing.seats else []
    above = [tier for tier in sorted(one.tiers) if tier > max(standing.seats, suggested or 0)]
    tiers = list(zip(("next tier", "tier after"), above, strict=False))
    return count(one.history, [("licensed", standing.seats), *advice, *tiers][:3])


def months_csv(one: Entitled, name: str) -> Response:
    """The monthly table as a file."""
    from hub.usage.figures import months  # noqa: PLC0415

    rows = [
        (
            m.month,
            m.seats,
            m.p95_peak,
            m.over,
            m.denials,
            few(m.users) or None,
            m.known_business,
            m.business,
        )
        for m in months(one.history)
    ]
    return as_file(csvs.table(MONTH_NAMES, rows), name)


def as_file(text: str, name: str) -> Response:
    """CSV to be saved as `name`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, content_type="text/csv; charset=utf-8", headers=headers)
