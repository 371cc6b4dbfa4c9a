"""What the emulated org sends of its own: Outbound Messages and callouts, over real HTTP.

A message shows the newest values when it goes out, holds up to 100 notifications, and comes again until it reads a
strict acknowledgement; a callout goes out once. Changes that the hub's own user made are not told.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any

from connectors.emulation_sending import Delivery, Sender
from connectors.salesforce.emulator_records import Record, Records

MOST = 100
# The next try waits longer each time, up to two hours, for 24 hours (Salesforce help, "Outbound Messages").
TRIES = 20
ACK = re.compile(rb"<(?:\w+:)?Ack>\s*true\s*</(?:\w+:)?Ack>")


@dataclass
class Outbound:
    """Rules of the org: which objects are told where. `quiet`: whoever changes now has no Send Outbound Messages."""

    records: Records
    org_id: str
    deliveries: Sender = field(default_factory=lambda: Sender(tries=TRIES, backoff_s=0.05))
    rules: list[tuple[str, str]] = field(default_factory=list)  # object, URL
    callouts: list[tuple[str, str, str]] = field(default_factory=list)  # object, URL, secret
    quiet: bool = False
    _gathered: list[tuple[str, str, str]] | None = None  # URL, object, record

    def noted(self, name: str, record: Record, before: Record | None) -> None:
        """A record of this object was made or changed."""
        if self.quiet:
            return
        for object_name, url in self.rules:
            if object_name == name:
                self._tell(url, name, record["Id"])
        for object_name, url, secret in self.callouts:
            if object_name == name:
                self._call(url, secret, name, record["Id"])

    @contextmanager
    def together(self) -> Iterator[None]:
        """What one transaction changes goes out in messages of up to a hundred."""
        self._gathered = []
        try:
            yield
        finally:
            gathered, self._gathered = self._gathered, None
            for url, name in dict.fromkeys((url, name) for url, name, _ in gathered):
                ids = [id_ for to, of, id_ in gathered if (to, of) == (url, name)]
                for start in range(0, len(ids), MOST):
                    self._send(url, name, ids[start : start + MOST])

    def _tell(self, url: str, name: str, id_: str) -> None:
        if self._gathered is not None:
            self._gathered.append((url, name, id_))
        else:
            self._send(url, name, [id_])

    def _send(self, url: str, name: str, ids: list[str]) -> None:
        noted = [(self.records.new_id("04l"), id_) for id_ in ids]
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}

        def request(_attempt: int) -> tuple[bytes, dict[str, str]]:
            rows = [(id_, self.records.tables[name][record[:15]]) for id_, record in noted]
            return envelope(self.org_id, name, rows), headers

        self._post(url, noted[0][0], name, request, taken=lambda status, body: status == 200 and bool(ACK.search(body)))

    def _call(self, url: str, secret: str, name: str, id_: str) -> None:
        told = {"event_id": self.records.new_id("0cl"), "org_id": self.org_id, "object": name, "id": id_}
        stamp = self.records.tables.get(name, {}).get(id_[:15], {}).get("SystemModstamp")
        body = json.dumps(told | {"occurred_at": stamp}).encode()
        self._post(url, str(told["event_id"]), name, partial(signed, body, secret), tries=1)

    def _post(
        self,
        url: str,
        event: str,
        name: str,
        request: Callable[[int], tuple[bytes, dict[str, str]]],
        **more: Any,  # noqa: ANN401
    ) -> None:
        self.deliveries.send(Delivery(event=event, type=name, endpoint=url, url=url, request=request, **more))


def signed(body: bytes, secret: str, _attempt: int = 1) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a callout, as salesforce/callout/ makes them."""
    at = int(time.time())
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {"Content-Type": "application/json", "X-Hub-Signature": f"t={at},v1={mac}"}


def envelope(org_id: str, name: str, rows: list[tuple[str, Record]]) -> bytes:
    """A message as Salesforce writes it: SessionId nil, fields that are empty left out."""
    each = "".join(_notification(id_, name, row) for id_, row in rows)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/'
        'envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/'
        'XMLSchema-instance"><soapenv:Body><notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        f'<OrganizationId>{org_id}</OrganizationId><ActionId>04k000000000001AAA</ActionId><SessionId xsi:nil="true"/>'
        "<EnterpriseUrl>https://example.my.salesforce.com/services/Soap/c/64.0</EnterpriseUrl>"
        "<PartnerUrl>https://example.my.salesforce.com/services/Soap/u/64.0</PartnerUrl>"
        f"{each}</notifications></soapenv:Body></soapenv:Envelope>"
    ).encode()


def _notification(id_: str, name: str, row: Record) -> str:
    shown = {field: row[field] for field in ("Id", "StageName", "SystemModstamp") if row.get(field)}
    fields = "".join(f"<sf:{field}>{escape(str(value))}</sf:{field}>" for field, value in shown.items())
    return (
        f"<Notification><Id>{id_}</Id>"
        f'<sObject xsi:type="sf:{name}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">{fields}</sObject>'
        "</Notification>"
    )
