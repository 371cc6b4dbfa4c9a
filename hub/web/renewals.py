"""The console's pages of seat use: renewals board, accounts, portfolio, their pictures and files. Thin: read, render.

They ask the hub's `Portfolio` and never the record. numpy is loaded where a history is shown; the board needs none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import NotFound

from hub import money
from hub.errors import RetryableError
from hub.usage.seatdays import few
from hub.usage.spark import sparkline
from hub.web import auth, board, console, csvs, pictures

if TYPE_CHECKING:
    from hub.usage.portfolio import Account, Entitled, Level, Standing
    from hub.wiring import Hub

FACTS = {  # evidence -> what people call it, and its unit; in the order shown
    "rule": ("Rule that fired", ""),
    "drop_pct": ("Down from its best nine weeks", " %"),
    "pace_pct_30d": ("Change in 30 days", " %"),
    "growth_90d_pct": ("Change in 90 days", " %"),
    "year_ago_pct": ("Of the same weeks last year", " %"),
    "utilization_90d_pct": ("Used of the licensed seats, 90 days", " %"),
    "p95_peak_28d": ("Busy day, 28 days", " seats"),
    "p95_peak_90d": ("Busy day, 90 days", " seats"),
    "overdraft_days_60d": ("Business days over, of 60 days", ""),
    "overdraft_max": ("Most over", " seats"),
    "pinned_days_60d": ("Days at the limit, of 60", ""),
    "denials_28d": ("Denied in 28 days", ""),
    "days_since_use": ("Since last use", " days"),
    "known_business_days": ("Business days known", ""),
    "known_share_90d": ("Share of days known, 90 days", ""),
    "first_judgement": ("First judgement", ""),
    "method": ("Method", ""),
    "as_of": ("As of", ""),
}
CHOICES = (("keep", "Keep as is"), ("recommended", "Suggested"), ("next", "Next tier"))


def blueprint(hub: Hub) -> Blueprint:
    """The routes; `auth.install` guards them."""
    usage = Blueprint("usage", __name__)
    _frame(usage, hub)
    _board(usage, hub)
    _accounts(usage, hub)
    _pictures(usage, hub)
    return usage


def _frame(usage: Blueprint, hub: Hub) -> None:
    @usage.record_once
    def _filters(state: Any) -> None:  # noqa: ANN401  (Flask's BlueprintSetupState)
        plain = (money.money, board.week, board.share, board.word, spark)
        filters = {function.__name__: function for function in plain} | {"few": few, "signal_badge": _badge}
        state.app.jinja_env.filters.update(filters)

    @usage.context_processor
    def _always() -> dict[str, object]:
        return console.around(hub) | {"signals": board.SIGNALS}

    @usage.app_errorhandler(RetryableError)
    def _no_picture(error: RetryableError) -> Response:
        return Response(f"{error}\n", 503, {"Retry-After": "5", "Content-Type": "text/plain; charset=utf-8"})


def spark(one: Standing, weeks: Mapping[str, Sequence[Level]]) -> Markup:
    """The row's sparkline with a name that says what it shows."""
    used = "no data" if one.used is None else f"{one.used:,.0f} in use"
    return Markup(sparkline(weeks.get(one.entitlement_id, ()), f"12 months: {used}, {one.seats:,} licensed"))  # noqa: S704  (numbers only)


def _badge(signal: str) -> tuple[str, str, str]:
    """Badge class, symbol and word."""
    return board.SIGNALS[signal][:3]


# -- board and portfolio


def _board(usage: Blueprint, hub: Hub) -> None:
    @usage.get("/renewals")
    def renewals() -> str:
        asked = _asked()
        made = board.board(hub.portfolio.page(board.asked_of(asked)), asked)
        facts = {
            "headline": board.headline(made.due),
            "as_of": hub.portfolio.as_of(),
            "args": _args(made.query),
            "weeks": hub.portfolio.weeks([one.entitlement_id for group in made.groups for one in group.rows]),
        }
        return render_template(
            "renewals.html", page="renewals", board=made, filters=board.FILTERS, shown=board.SHOWN, **facts
        )

    @usage.get("/renewals.csv")
    def renewals_csv() -> Response:
        asked = _asked()
        rows = [board.csv_row(one) for one in hub.portfolio.page(board.asked_of(asked, None)).rows]
        return pictures.as_file(csvs.table(board.CSV_NAMES, rows), "renewals.csv")

    @usage.get("/portfolio")
    def portfolio() -> str:
        found = board.overview(hub.portfolio.whole(board.MOVED))
        return render_template("portfolio.html", page="portfolio", all=found)


def _asked() -> board.Query:
    names = ("show", "owner", "q", "sort", "after")
    return board.query(*(request.args.get(name, "").strip()[:200] for name in names))


def _args(asked: board.Query) -> dict[str, str]:
    """The query as an address has it, defaults left out."""
    told = {"show": asked.show, "owner": asked.owner, "q": asked.words, "sort": asked.sort}
    return {name: value for name, value in told.items() if value not in {"", "all", "renews"}}


# -- an account


def _accounts(usage: Blueprint, hub: Hub) -> None:
    @usage.get("/accounts/<path:id_>")
    def account(id_: str) -> Response:
        found = _account(hub, id_)
        chosen = _chosen(found, request.args.get("entitlement", ""))
        page = render_template("account.html", page="renewals", account=found, one=chosen, **_facts(chosen))
        return Response(page, headers={"Content-Security-Policy": f"{auth.POLICY}; connect-src 'self'"})

    @usage.get("/charts/months.csv")
    def months() -> Response:
        account, one = _named(hub)
        return pictures.months_csv(one, f"seats-{_plain(account.id)}-{_plain(one.standing.entitlement_id)}.csv")


def _facts(one: Entitled) -> dict[str, object]:
    from hub.usage import chart, figures  # noqa: PLC0415  (numpy)

    needs = pictures.needs(one, own=False)
    return {
        "months": figures.months(one.history),
        "need_words": chart.need_words(needs),
        "needs": needs,
        "choices": _choices(one.judgement.evidence.get("choices")),
        "why": _why(one.judgement.evidence),
        "votes": _votes(one.judgement.evidence.get("votes")),
    }


def _choices(told: object) -> list[tuple[str, str, Mapping[str, object]]]:
    """(key, words, {seats, idle_seats, short_days}) of the options that the evidence has."""
    if not isinstance(told, Mapping):
        return []
    found = [(key, words, told[key]) for key, words in CHOICES if isinstance(told.get(key), Mapping)]
    suggested = next((choice["seats"] for key, _, choice in found if key == "recommended"), 0)
    below = {"next": "Next lower tier"}
    return [
        (key, below.get(key, words) if choice["seats"] < suggested else words, choice) for key, words, choice in found
    ]


def _why(evidence: Mapping[str, object]) -> list[tuple[str, str]]:
    """(name, value) of the numbers that the sentence was made from."""
    return [
        (words, f"{evidence[key]}{unit}".replace("-", "−") if unit else str(evidence[key]))
        for key, (words, unit) in FACTS.items()
        if evidence.get(key) is not None
    ]


def _votes(told: object) -> list[tuple[str, float]]:
    """(signal, share) of what the re-runs said, the most first."""
    if not isinstance(told, Mapping):
        return []
    shares = [(str(signal), float(share)) for signal, share in told.items() if share and signal in board.SIGNALS]
    return sorted(shares, key=lambda one: -one[1])


def _account(hub: Hub, id_: str) -> Account:
    found = hub.portfolio.account(id_)
    if found is None or not found.entitled:
        raise NotFound(f"No account {id_} was judged yet. The Renewals page lists those that were.")
    return found


def _chosen(account: Account, entitlement: str) -> Entitled:
    """The entitlement of this id, or the first where none is named."""
    if not entitlement:
        return account.entitled[0]
    for one in account.entitled:
        if one.standing.entitlement_id == entitlement:
            return one
    raise NotFound(f"{account.name} has no entitlement {entitlement}.")


# -- pictures


def _pictures(usage: Blueprint, hub: Hub) -> None:
    @usage.get("/charts/seats.svg")
    def seats() -> Response:
        account, one = _named(hub)
        return pictures.chart(hub.drawer, one, _title(account, one), own=False)

    @usage.get("/charts/needs.svg")
    def needs() -> Response:
        account, one = _named(hub)
        return pictures.bars(hub.drawer, pictures.needs(one, own=False), _title(account, one))

    @usage.get("/charts/seats.json")
    def spec() -> dict[str, Any]:
        from hub.usage.chart import NARROW, WIDE, history_chart  # noqa: PLC0415  (numpy)

        size = NARROW if request.args.get("size") == "narrow" else WIDE
        one = _named(hub)[1]
        return history_chart(one.history, one.judgement, theme=pictures.theme(), size=size, interactive=True)

    @usage.get("/charts/vega.js")
    def script() -> Response:
        kept = {"Cache-Control": "private, max-age=86400"}
        return Response(hub.drawer.script(), content_type="text/javascript; charset=utf-8", headers=kept)


def _named(hub: Hub) -> tuple[Account, Entitled]:
    account = _account(hub, request.args.get("account", ""))
    return account, _chosen(account, request.args.get("entitlement", ""))


def _title(account: Account, one: Entitled) -> str:
    return f"{account.name}, {one.standing.offering}: seats used over 12 months"


def _plain(text: str) -> str:
    """`text` as part of a file's name."""
    return "".join(char if char.isalnum() and char.isascii() else "-" for char in text)[:60]
