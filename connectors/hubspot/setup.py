"""`install` and `doctor`: what the portal needs before a push (hub.ports.CrmSetup)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.hubspot import fields as f
from connectors.hubspot.client import Client, mend_of
from connectors.hubspot.crm import lacking
from connectors.hubspot.settings import Settings
from hub.errors import PermanentError, RetryableError
from hub.ports import Finding, PushResult

MISSING = "the property is missing"
SCHEMAS = "give the private app the scopes crm.schemas.companies.write and crm.schemas.deals.write"


class HubspotSetup:
    """Makes our properties and says what is missing. Both repeatable."""

    def __init__(self, name: str, settings: Settings, client: Client) -> None:
        self._name, self._settings, self._client = name, settings, client

    def install(self, *, check_only: bool) -> Sequence[Finding]:
        """Makes the properties that are missing, or only says which would come. What is there is never changed."""
        try:
            lacks = self._lacks()
            count = sum(len(self._make(kind, lacks, check_only=check_only)) for kind in f.OURS)
        except PermanentError as error:
            return [self._finding("error", f"the portal takes no properties from this app: {error}", SCHEMAS)]
        except RetryableError as error:
            return [self._unreached(error)]
        word = "would come" if check_only else "were made"
        wrong = [
            self._finding("error", f"{one.about}: {one.reason}", one.mend) for one in lacks if one.reason != MISSING
        ]
        return [self._finding("ok", f"{count} properties {word}, the others are there"), *wrong]

    def doctor(self) -> Sequence[Finding]:
        """A finding for each missing property, scope and setting, with its mend."""
        try:
            return list(self._findings())
        except PermanentError as error:
            return [self._finding("error", str(error), mend_of(str(error)))]
        except RetryableError as error:
            return [self._unreached(error)]

    def page(self) -> str:
        """The companies, in HubSpot; "" where the portal does not say who it is."""
        try:
            told = self._client.details()
        except (PermanentError, RetryableError):
            return ""
        return f"https://{told.get('uiDomain', 'app.hubspot.com')}/contacts/{told.get('portalId', '')}/objects/0-2"

    def _lacks(self) -> list[PushResult]:
        return list(lacking({kind: self._client.properties(kind) for kind in f.OURS}))

    def _make(self, kind: str, lacks: Sequence[PushResult], *, check_only: bool) -> list[str]:
        names = [one.key for one in lacks if one.object == kind and one.reason == MISSING]
        if names and not check_only:
            self._client.add_group(kind, f.GROUP, "License usage")
            self._client.add_properties(kind, [f.OURS[kind][name].body(name) for name in names])
        return names

    def _findings(self) -> Iterator[Finding]:
        lacks = self._lacks()
        yield from (self._finding("error", f"{one.about}: {one.reason}", one.mend) for one in lacks)
        name = self._settings.company_field
        if name not in self._client.properties(f.COMPANY):
            said = f"company property {name}, by which customers are matched, is not there"
            yield self._finding("error", said, "correct company_field in hub.toml, or make the property")
        try:
            self._client.owners()
        except PermanentError as error:
            said = f"owners can't be read, so the board shows none: {error}"
            yield self._finding("warning", said, "give the private app the scope crm.objects.owners.read")
        spent = self._client.spent()
        if spent:
            yield self._finding("warning", spent, "wait, lower the load of others, or raise api_share in hub.toml")
        if not lacks:
            yield self._finding("ok", "every property of ours is there and may be written")

    def _unreached(self, error: RetryableError) -> Finding:
        mend = mend_of(str(error)) if "INVALID_AUTHENTICATION" in str(error) else "try again; look at the network"
        return self._finding("error", str(error), mend)

    def _finding(self, level: str, problem: str, mend: str = "") -> Finding:
        return Finding(level=level, about=f"connections.{self._name}", problem=problem, mend=mend)
