"""The Account page as the shipped layout shows it, out of an emulated org's records: what a renewals manager sees.

`python -m sandbox.account_page` pushes a sample to an org of its own and writes var/demo/account.html.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol

import click
import requests
from jinja2 import Environment

from connectors.emulation import serving
from connectors.salesforce import Settings, connect, metadata
from connectors.salesforce.emulator import SalesforceEmulator
from connectors.salesforce.fields import ACCOUNT, MONTH, OPPORTUNITY, SUMMARY, TASK
from hub.domain import UsageMonth, UsageSummary
from hub.ports import Deps
from hub.rollup import accounts

TEMPLATE = Path(__file__).with_name("account_page.html")
LAYOUT = "Account-Account with License Usage"
WIDTH, HEIGHT = 720, 220
NS = f"{{{metadata.NAMESPACE}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One item of a layout's section. chart: the report chart's place, instead of a field."""

    label: str = ""
    value: str = ""
    help: str = ""
    signal: str = ""
    chart: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section with its columns."""

    title: str
    columns: tuple[tuple[Cell, ...], ...]


class Rows(Protocol):
    """An org's records."""

    def rows(self, name: str) -> list[dict[str, Any]]:
        """All records of an object."""


@dataclass(frozen=True, slots=True)
class Org:
    """The records of an emulated org in another process, by its state."""

    url: str

    def rows(self, name: str) -> list[dict[str, Any]]:
        """All records of an object."""
        answer = requests.get(f"{self.url}/_sandbox/state", timeout=30)
        answer.raise_for_status()
        return list(answer.json()[name])


def render(org: Rows, account_id: str) -> str:
    """The page of this Account as HTML of its own: sections of the layout, chart, related rows, tasks, files."""
    (account,) = [row for row in org.rows(ACCOUNT) if row["Id"] == account_id]
    owners = {row["Id"]: row["Name"] for row in org.rows("User")}
    account |= {"OwnerId": owners.get(account["OwnerId"], account["OwnerId"])}
    renewals = {row["Id"]: row for row in org.rows(OPPORTUNITY) if row["AccountId"] == account_id}
    months = [row for row in org.rows(MONTH) if row["Account__c"] == account_id]
    places = {account_id, *renewals}
    linked = {row["ContentDocumentId"] for row in org.rows("ContentDocumentLink") if row["LinkedEntityId"] in places}
    files = [row for row in org.rows("ContentVersion") if row["IsLatest"] and row["ContentDocumentId"] in linked]
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE.read_text("utf-8"))
    return page.render(
        account=account,
        sections=list(_sections(account)),
        chart=_chart(months),
        usage=[row for row in org.rows(SUMMARY) if row["Account__c"] == account_id],
        renewals=list(renewals.values()),
        tasks=[row for row in org.rows(TASK) if row["WhatId"] in places],
        pictures=[(row["Title"], row["VersionData"]) for row in files if row["PathOnClient"].endswith(".png")],
    )


def _sections(account: dict[str, Any]) -> Iterator[Section]:
    ours = metadata.objects()[ACCOUNT]
    root = metadata.parse((metadata.SOURCE / "layouts" / f"{LAYOUT}.layout-meta.xml").read_bytes())
    for section in root.iterfind(f"{NS}layoutSections"):
        columns = tuple(
            tuple(_cell(item, account, ours) for item in column.iterfind(f"{NS}layoutItems"))
            for column in section.iterfind(f"{NS}layoutColumns")
        )
        yield Section(title=metadata.said(section, "label"), columns=columns)


def _cell(item: Any, account: dict[str, Any], ours: dict[str, metadata.Field]) -> Cell:  # noqa: ANN401
    name = metadata.said(item, "field")
    if not name:
        return Cell(chart=True)
    field, value = ours.get(name), account.get(name)
    shown = "" if value is None else str(value)
    if field is not None and isinstance(value, float):
        shown = f"{value:.{field.scale}f}" + (" %" if field.type == "Percent" else "")
    signal = shown if name == "License_Signal__c" else ""
    return Cell(
        label=field.label if field else name.removesuffix("Id"),
        value=shown.replace("_", " ").capitalize() if signal else shown,
        help=field.help if field else "",
        signal=signal,
    )


def _chart(months: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Points of the report's two lines, summed by month as the report does; {} without months."""
    sums: dict[str, list[float]] = {}
    for row in months:
        at = sums.setdefault(row["Month__c"], [0.0, 0.0])
        at[0] += row["P95_Peak__c"] or 0
        at[1] += row["Seats_Licensed__c"] or 0
    if len(sums) < 2:  # no line has one point
        return {}
    top = max(max(pair) for pair in sums.values()) * 1.15 or 1
    step = WIDTH / (len(sums) - 1)
    ordered = sorted(sums.items())
    lines = [
        " ".join(f"{n * step:.1f},{HEIGHT - pair[which] / top * HEIGHT:.1f}" for n, (_, pair) in enumerate(ordered))
        for which in (0, 1)
    ]
    table = [(month[:7], f"{used:g}", f"{licensed:g}") for month, (used, licensed) in ordered]
    return {
        "used": lines[0],
        "licensed": lines[1],
        "table": table,
        "top": f"{top:.0f}",
        "width": WIDTH,
        "height": HEIGHT,
    }


class _Free:
    """A limiter and a token cache for one process and no record."""

    token: str | None = None

    def acquire(self) -> None:
        """Lets everything pass."""

    def hold(self, seconds: float) -> None:
        """Waits for nobody."""

    def get(self) -> str | None:
        """The token, while there is one."""
        return self.token

    def put(self, token: str, lifetime_s: float) -> None:  # noqa: ARG002
        """Keeps it."""
        self.token = token

    def drop(self) -> None:
        """Forgets it."""
        self.token = None


def sample(account_ref: str, as_of: date, chart: bytes = b"") -> UsageSummary:
    """A year of waning use, two months before its renewal."""
    first = as_of.replace(day=1)
    peaks = [97, 96, 98, 95, 97, 94, 90, 84, 78, 72, 66, 61]
    months = []
    for peak in reversed(peaks):
        first = (first - timedelta(days=1)).replace(day=1)
        p95 = peak - 2 + math.sin(peak)
        months.append(UsageMonth(month=first, seats_licensed=100, peak=peak, p95_peak=round(p95, 1), known_share=0.98))
    return UsageSummary(
        entitlement_id="ent_demo",
        account_ref=account_ref,
        as_of=as_of,
        signal="at_risk",
        confidence="high",
        sku="PRO-100",
        signal_since=as_of - timedelta(days=21),
        renewal=as_of + timedelta(days=62),
        seats_licensed=100,
        p95_peak_28d=61,
        utilization_90d=0.68,
        drop=0.37,
        trend_30d=-0.07,
        forecast_peak=48,
        forecast_low=41,
        forecast_high=56,
        recommended_seats=60,
        sentence=(
            "Use fell from 97 to 61 of 100 seats (business-day peak) over six months, 7 % a month, still falling."
            " At this pace 48 (41 to 56) at renewal. 60 seats would cover it."
        ),
        months=tuple(months),
        chart=chart,
    )


@click.command()
@click.option("--file", default="var/demo/account.html", type=click.Path(path_type=Path), show_default=True)
@click.option("--chart", type=click.Path(exists=True, path_type=Path), help="A PNG to attach to the renewal.")
def main(file: Path, chart: Path | None) -> None:
    """Push a sample to an emulated org, and write its Account page."""
    org = SalesforceEmulator()
    account = org.add("Account", Name="Northwind Robotics", Website="https://northwind.example")["Id"]
    today = org.clock.now().date()
    close = (today + timedelta(days=60)).isoformat()
    known = {"Name": "Northwind renewal", "StageName": "Negotiation", "Type": "Renewal", "Amount": 42_000.0}
    org.add("Opportunity", AccountId=account, CloseDate=close, **known)
    with serving(org) as url:
        settings = Settings.model_validate(
            {"base_url": url, "consumer_key": "sandbox-consumer", "consumer_secret": "sandbox-secret"}
        )
        crm = connect("salesforce", settings, Deps(limiter=_Free(), tokens=_Free())).crm
        if crm is None:
            raise click.ClickException("this connection has no CRM")
        records, _ = crm.records(accounts([sample(account, today, chart.read_bytes() if chart else b"")]))
        done = list(crm.push(records))
        crm.close()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(org, account), encoding="utf-8")
    click.echo(f"{file}: {len(done)} records pushed")


if __name__ == "__main__":
    main()
