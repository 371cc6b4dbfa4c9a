"""The Account page that is made out of an org's records after a push."""

from __future__ import annotations

import re
from datetime import date

from connectors.salesforce.crm import SalesforceCrm
from connectors.salesforce.emulator import SalesforceEmulator
from hub.rollup import accounts
from sandbox.account_page import render, sample

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_page_shows_what_the_layout_says_and_the_push_wrote(org: SalesforceEmulator, crm: SalesforceCrm) -> None:
    account = org.add("Account", Name="North & <b>wind")["Id"]
    org.add("Opportunity", AccountId=account, Name="Renewal", StageName="Open", CloseDate="2027-08-30", Type="Renewal")
    usage = sample(account, date(2027, 7, 1), PNG)
    assert all(one.outcome.is_done for one in crm.push(crm.records(accounts([usage]))[0]))
    page = render(org, account)
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles[:3] == ["Account Information", "License usage", "Why"]
    assert titles[3:] == ["License Usage (1)", "Opportunities (1)", "Open activities (1)", "License usage 2027-09-01"]
    assert usage.sentence in page
    assert page.count("<polyline") == 2
    assert "Usage waning: PRO-100" in page
    assert "data:image/png;base64,iVBORw0KGgo=" in page
    assert "North &amp; &lt;b&gt;wind" in page


def test_an_account_before_its_first_push_has_a_page_too(org: SalesforceEmulator) -> None:
    page = render(org, org.add("Account", Name="Acme")["Id"])
    assert "stands here once there are two months" in page
