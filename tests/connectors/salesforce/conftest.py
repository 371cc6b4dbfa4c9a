"""An emulated org, and our parts on it, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from connectors.emulation import serving
from connectors.salesforce.client import Client
from connectors.salesforce.crm import SalesforceCrm
from connectors.salesforce.emulator import SalesforceEmulator
from connectors.salesforce.settings import Settings
from connectors.salesforce.setup import SalesforceSetup
from hub.domain import UsageMonth, UsageSummary
from hub.ports import Outcome, PushResult
from tests.conformance import deps
from tests.rsa import rsa_key


def pem(name: str = "salesforce") -> str:
    encoding, shape = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return rsa_key(name).private_bytes(encoding, shape, serialization.NoEncryption()).decode()


def public_pem(name: str = "salesforce") -> str:
    shape = serialization.PublicFormat.SubjectPublicKeyInfo
    return rsa_key(name).public_key().public_bytes(serialization.Encoding.PEM, shape).decode()


@pytest.fixture
def org() -> SalesforceEmulator:
    """An org that has our metadata, with our permission set given to the user."""
    made = SalesforceEmulator()
    made.oauth.public_keys[made.oauth.consumer_key] = public_pem()
    return made


@pytest.fixture
def url(org: SalesforceEmulator) -> Iterator[str]:
    with serving(org) as address:
        yield address


@pytest.fixture
def settings(url: str) -> Callable[..., Settings]:
    """Settings on the org, by JWT bearer."""

    def make(**values: Any) -> Settings:
        known = {"base_url": url, "consumer_key": "sandbox-consumer", "username": "hub@sandbox.example.com"}
        return Settings(**(known | {"private_key": pem()} | values))

    return make


@pytest.fixture
def client(settings: Callable[..., Settings]) -> Iterator[Client]:
    made = Client(settings(), deps())
    yield made
    made.close()


@pytest.fixture
def crm_with(settings: Callable[..., Settings]) -> Iterator[Callable[..., SalesforceCrm]]:
    """A Crm on the org, with settings of one's own."""
    made: list[SalesforceCrm] = []

    def make(**values: Any) -> SalesforceCrm:
        one = settings(**values)
        made.append(SalesforceCrm(one, partial(Client, one, deps()), poll_s=0.01))
        return made[-1]

    yield make
    for crm in made:
        crm.close()


@pytest.fixture
def crm(crm_with: Callable[..., SalesforceCrm]) -> SalesforceCrm:
    return crm_with()


@pytest.fixture
def setup(settings: Callable[..., Settings], client: Client) -> SalesforceSetup:
    return SalesforceSetup("sf", settings(), lambda: client, poll_s=0.01)


def a_summary(account_ref: str, entitlement: str = "ent_1", **values: Any) -> UsageSummary:
    """An entitlement whose use is waning, two months before its renewal."""
    known: dict[str, Any] = {
        "as_of": date(2027, 7, 1),
        "signal": "at_risk",
        "confidence": "high",
        "sku": "PRO-100",
        "signal_since": date(2027, 6, 14),
        "renewal": date(2027, 9, 30),
        "seats_licensed": 100,
        "p95_peak_28d": 61.0,
        "utilization_90d": 0.68,
        "drop": 0.37,
        "trend_30d": -0.07,
        "trend_low": -0.09,
        "trend_high": -0.05,
        "change_date": date(2027, 5, 12),
        "overdraft_days_60d": 0,
        "denials_28d": 0,
        "days_since_use": 1,
        "known_share_90d": 0.97,
        "forecast_peak": 48.0,
        "forecast_low": 41.0,
        "forecast_high": 56.0,
        "recommended_seats": 60,
        "recommended_tier": "60 seats",
        "sentence": "Use fell from 97 to 61 of 100 seats since about 12 May.",
        "months": tuple(UsageMonth(month=date(2027, m, 1), seats_licensed=100, peak=100 - 6 * m) for m in (4, 5, 6)),
    }
    return UsageSummary(entitlement_id=entitlement, account_ref=account_ref, **(known | values))


def by_outcome(results: list[PushResult]) -> dict[Outcome, list[PushResult]]:
    found: dict[Outcome, list[PushResult]] = {}
    for one in results:
        found.setdefault(one.outcome, []).append(one)
    return found
