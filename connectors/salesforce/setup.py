"""`install` and `doctor`: what the org needs before a push (hub.ports.CrmSetup)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from connectors.salesforce.client import Client, soql
from connectors.salesforce.columns import ASSIGN, INSTALL, Columns
from connectors.salesforce.fields import ACCOUNT, INTEGRATION, OPPORTUNITY, SUMMARY, TASK
from connectors.salesforce.settings import Settings
from connectors.salesforce.shapes import Reading
from connectors.salesforce.source import check_org
from hub.errors import PermanentError, RetryableError
from hub.ports import Finding, Outcome

VENDORS_OBJECT = "Software_Entitlement__c"
BY_HAND = (
    "give the hub's user the permission Modify Metadata Through Metadata API Functions while it installs; or an"
    " administrator deploys the zip of `make sf-package` (SELLS_BY=Contract, say) with `sf project deploy start"
    " --metadata-dir`"
)


class SalesforceSetup:
    """Brings our metadata and says what is missing. Both repeatable. `make` makes the client when it is needed."""

    def __init__(self, name: str, settings: Settings, make: Callable[[], Client], *, poll_s: float = 1) -> None:
        self._name, self._settings, self._make, self._poll_s = name, settings, make, poll_s

    @cached_property
    def client(self) -> Client:
        """The client, made when it is first needed."""
        return self._make()

    def install(self, *, check_only: bool) -> Sequence[Finding]:
        """Deploys the zip and takes the permission set, or only asks whether the zip would go."""
        from connectors.salesforce import metadata  # noqa: PLC0415  (lxml is needed for this alone)

        try:
            done = self.client.deploy(
                metadata.package(sells_by=self._sold()), check_only=check_only, poll_s=self._poll_s
            )
        except PermanentError as error:
            return [self._finding("error", f"the org takes no metadata from this user: {error}", BY_HAND)]
        if done.failures:
            return [
                self._finding("error", f"{name}: {said}", "see the text; nothing was changed")
                for name, said in done.failures
            ]
        word = "would come" if check_only else "are there"
        findings = [self._finding("ok", f"{done.done} components {word}")]
        return findings if check_only else [*findings, *self._assign()]

    def doctor(self) -> Sequence[Finding]:
        """A finding for each missing object, field and permission, with its mend."""
        try:
            return list(self._findings())
        except PermanentError as error:
            return [self._finding("error", str(error), error.hint)]
        except RetryableError as error:
            return [self._finding("error", str(error), "try again; look at base_url and the network")]

    def page(self) -> str:
        """The list of all rows, in Lightning."""
        return f"{self._settings.base_url.rstrip('/')}/lightning/o/{SUMMARY}/list?filterName=All_License_Usage"

    def _findings(self) -> Iterator[Finding]:
        columns, before = Columns(self.client), 0
        lacking = list(columns.lacking())
        mend = self._mend()
        for one in lacking:
            level = "error" if one.outcome is Outcome.REFUSED else "warning"
            yield self._finding(level, f"{one.about}: {one.reason}", mend)
            before += 1
        yield from self._rights(columns)
        yield from self._matching(columns)
        if self._settings.organization_id:
            for lack in self._selling(columns):
                yield lack
                before += lack.level != "ok"
        if spent := self.client.spent():
            yield self._finding("warning", spent, "wait, lower the load of others, or raise api_share in hub.toml")
            before += 1
        if columns.of(VENDORS_OBJECT) is not None:
            said = "the licensing vendor's own package is installed; the hub writes to none of its objects"
            yield self._finding("ok", said)
        if not before:
            usage = self.client.usage
            left = f"; {usage.used} of {usage.total} API requests of the day are used" if usage else ""
            yield self._finding("ok", f"every field of ours is there and may be written{left}")

    def _rights(self, columns: Columns) -> Iterator[Finding]:
        """Standard fields that tasks and made opportunities need."""
        wanted = [
            (TASK, self._settings.tasks, "tasks"),
            (OPPORTUNITY, self._settings.create_renewals, "create_renewals"),
        ]
        for object_name, asked, setting in wanted:
            if asked and columns.of(object_name) is not None and (unmade := columns.unmade(object_name)):
                said = f"{object_name}: the hub's user may not write {', '.join(unmade)}"
                yield self._finding("error", said, f"permit it, or set {setting} = false in hub.toml")

    def _matching(self, columns: Columns) -> Iterator[Finding]:
        name = self._settings.account_field
        if columns.of(ACCOUNT) is not None and name not in (columns.of(ACCOUNT) or {}):
            said = f"{ACCOUNT}.{name}, by which customers are matched, is not there or not to be seen"
            yield self._finding("error", said, "correct account_field in hub.toml, or permit the field")

    def _selling(self, columns: Columns) -> Iterator[Finding]:
        """What reading sales and telling their lines needs."""
        settings, reading = self._settings, Reading(self._settings)
        shape = reading.shape
        try:
            check_org(self.client, settings)
        except PermanentError as error:
            yield self._finding("error", str(error), error.hint)
        for name, wanted in ((shape.object, reading.head_fields), (shape.line_object, reading.line_fields)):
            yield from self._unseen(columns, name, wanted)
        told = (settings.entitlement_field, settings.code_field, settings.status_field, settings.error_field)
        line = shape.line_object or shape.object
        unwritten = [name for name in told if name and not columns.may_write(line, name)]
        if unwritten:
            said = f"{line}: the hub's user may not write {', '.join(unwritten)}, so nobody is told there"
            yield self._finding("warning", said, f'{ASSIGN}; or name others in hub.toml, "" for none')
        if not settings.outbound_secrets and not settings.webhook_secrets:
            said = "nobody may tell of sales: they are found by the list of changes alone, within timing.sweep"
            yield self._finding("warning", said, f"`hub connect {self._name}` says what to set up")

    def _unseen(self, columns: Columns, object_name: str, wanted: Sequence[str]) -> Iterator[Finding]:
        """An error for what a look reads and can't see; fields of parents are told by the first look."""
        if not object_name:
            return
        if columns.of(object_name) is None:
            said = f"{object_name} is not there, or the hub's user may not see it: no sale can be read"
            yield self._finding("error", said, "permit it, or set sells_by to another object")
            return
        known = columns.of(object_name) or {}
        if unseen := [name for name in wanted if "." not in name and name not in known]:
            said = f"{object_name}: {', '.join(unseen)} is not there or not to be seen: no sale can be read"
            yield self._finding("error", said, f'{ASSIGN}; or name others in hub.toml, "" for none')

    def _sold(self) -> Sequence[str]:
        return [self._settings.sells_by] if self._settings.organization_id else []

    def _assign(self) -> Iterator[Finding]:
        """Takes our permission set: fields that a deploy brings are hidden without one, even from administrators."""
        try:
            if self._assigned():
                yield self._finding("ok", "the hub's user has the permission set License Usage: Integration")
                return
            user, set_id = self._user(), self._set()
            self.client.create("PermissionSetAssignment", {"PermissionSetId": set_id, "AssigneeId": user})
            yield self._finding("ok", "the hub's user was given the permission set License Usage: Integration")
        except PermanentError as error:
            mend = "Setup > Permission Sets > License Usage: Integration > Manage Assignments: add the hub's user"
            yield self._finding("error", f"the permission set could not be given to the hub's user: {error}", mend)

    def _mend(self) -> str:
        """A hidden field and a missing one look the same from outside; the permission set tells them apart."""
        try:
            if self._set() is None:
                return INSTALL
            if not self._assigned():
                return "give the hub's user the permission set License Usage: Integration"
        except PermanentError:
            return ASSIGN
        return f"{INSTALL}: the permission set there is older than the fields"

    def _assigned(self) -> bool:
        text = (
            "SELECT Id FROM PermissionSetAssignment WHERE PermissionSet.Name = {name} AND AssigneeId = {user} LIMIT 1"
        )
        return any(self.client.query(soql(text, name=INTEGRATION, user=self._user())))

    def _set(self) -> str | None:
        found = self.client.query(soql("SELECT Id FROM PermissionSet WHERE Name = {name}", name=INTEGRATION))
        return next((str(row["Id"]) for row in found), None)

    def _user(self) -> str:
        return self.client.user_id()

    def _finding(self, level: str, problem: str, mend: str = "") -> Finding:
        return Finding(level=level, about=f"connections.{self._name}", problem=problem, mend=mend)
