"""The org as the hub's CRM (hub.ports.Crm): records by external id, 200 a call, thousands by Bulk API 2.0."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

from connectors.http import Brief, briefly
from connectors.salesforce import fields as f
from connectors.salesforce.client import MOST_IN_A_CALL, Answer, Client, Row, batched, is_schema_error, soql
from connectors.salesforce.columns import Columns
from connectors.salesforce.errors import LOCKED, Said
from connectors.salesforce.matching import IN_A_QUERY, accounts, key_of
from connectors.salesforce.records import records_of
from connectors.salesforce.settings import Settings
from connectors.whose import as_kept
from hub.domain import AccountUsage, Json
from hub.errors import Hold, HubError, PermanentError, RetryableError
from hub.ports import CrmRecord, FieldChange, Outcome, PushResult

ORDER = (f.SUMMARY, f.MONTH, f.ACCOUNT, f.OPPORTUNITY, *f.LINES, f.TASK, f.FILE)  # parents first
WHY_LATER = "the next push sends it"


class SalesforceCrm:
    """hub.ports.Crm on one org. `make` makes the client when something is first asked."""

    def __init__(self, settings: Settings, make: Callable[[], Client], *, poll_s: float = 1) -> None:
        self._settings, self._make, self._poll_s = settings, make, poll_s

    @cached_property
    def client(self) -> Client:
        """The client, made when it is first needed: simple-salesforce costs memory."""
        return self._make()

    @cached_property
    def columns(self) -> Columns:
        """What the user may see and write."""
        return Columns(self.client)

    def records(self, usages: Sequence[AccountUsage]) -> tuple[Sequence[CrmRecord], Sequence[PushResult]]:
        """What ought to be in the org, and what can't be said of whom (hub.ports.Crm)."""
        self.columns.forget()
        problems = list(self.columns.lacking())
        found, unmatched = accounts(self.client, self.columns, self._settings, usages)
        matched = [(one, found[key]) for one in usages if (key := key_of(one, self._settings)) in found]
        wanted = [record for usage, account in matched for record in records_of(usage, account, self._settings)]
        return [fit for record in wanted if (fit := self.columns.fit(record))], problems + unmatched

    def differences(self, records: Sequence[CrmRecord]) -> Iterator[FieldChange]:
        """What a push of these would change, read now (hub.ports.Crm)."""
        self.columns.forget()  # a field that an admin took away meanwhile costs its column, not the answer
        for _, alike in _grouped([fit for one in records if (fit := self.columns.fit(one))]):
            for part in batched(alike, IN_A_QUERY):
                self.client.check_budget()
                if alike[0].object == f.FILE:
                    yield from (_file_change(record, self._file(record)) for record in part)
                    continue
                now = self._current(part)
                for record in part:
                    yield from _changes(record, now.get(_folded(record.key_field, record.key)))

    def push(self, records: Sequence[CrmRecord]) -> Iterator[PushResult]:
        """Makes each record so, one result each (hub.ports.Crm)."""
        groups = [alike for _, alike in _grouped(records)]
        for place, alike in enumerate(groups):
            left = list(alike)
            try:
                for part in self._parts(alike):
                    self.client.check_budget()
                    yield from self._send(part)
                    del left[: len(part)]
            except Hold as error:
                rest = left + [record for later in groups[place + 1 :] for record in later]
                mend = "wait, lower the load of other integrations, or raise api_share in hub.toml"
                yield from (_result(record, Outcome.LATER, reason=str(error), mend=mend) for record in rest)
                return

    def close(self) -> None:
        """Lets connections go."""
        if "client" in self.__dict__:
            self.client.close()

    def _parts(self, alike: Sequence[CrmRecord]) -> Iterator[Sequence[CrmRecord]]:
        first = alike[0]
        if first.object == f.FILE:
            return batched(alike, 1)
        if len(alike) > self._settings.bulk_above and first.key_field != "Id" and not first.once:
            return batched(alike, 100_000)
        return batched(alike, MOST_IN_A_CALL)

    def _send(self, part: Sequence[CrmRecord]) -> Iterator[PushResult]:
        """Results of one call; what fails as a whole fails for each of its records. Hold passes through."""
        try:
            yield from self._sent(part)
        except Hold:
            raise
        except RetryableError as error:
            yield from (_result(record, Outcome.LATER, reason=str(error), mend=WHY_LATER) for record in part)
        except PermanentError as error:
            yield from (_result(record, Outcome.REFUSED, reason=str(error), mend=error.hint) for record in part)

    def _sent(self, part: Sequence[CrmRecord]) -> Sequence[PushResult]:
        if part[0].object == f.FILE:
            return [self._upload(record) for record in part]
        there = self._current(part) if part[0].once else {}
        known = [
            _result(one, Outcome.UNCHANGED, id_=there[_folded(one.key_field, one.key)]["Id"])
            for one in part
            if _folded(one.key_field, one.key) in there
        ]
        fresh = [one for one in part if _folded(one.key_field, one.key) not in there]
        try:
            return known + self._written(fresh)
        except HubError as error:
            if not is_schema_error(error):
                raise
        self.columns.forget()  # somebody took a field away meanwhile
        fits = [(record, self.columns.fit(record)) for record in fresh]
        lost = [
            _result(record, Outcome.REFUSED, reason="its key can't be written any more")
            for record, fit in fits
            if not fit
        ]
        return known + lost + self._written([fit for _, fit in fits if fit])

    def _written(self, fresh: Sequence[CrmRecord]) -> list[PushResult]:
        if not fresh:
            return []
        first = fresh[0]
        if len(fresh) > MOST_IN_A_CALL:
            rows = [{**record.fields, record.key_field: record.key} for record in fresh]
            found = self.client.bulk_upsert(first.object, first.key_field, _even(rows), poll_s=self._poll_s)
            return [_judged(record, found.get(record.key)) for record in fresh]
        return [_judged(record, answer) for record, answer in zip(fresh, self._unlocked(fresh), strict=True)]

    def _unlocked(self, fresh: Sequence[CrmRecord]) -> list[Answer]:
        """One answer each; rows that others hold locked are sent again for a few seconds, and only those."""
        answers: dict[int, Answer] = {}

        def once() -> None:
            open_ = [place for place in range(len(fresh)) if place not in answers or _locked(answers[place])]
            answers.update(zip(open_, self._call([fresh[place] for place in open_]), strict=True))
            if any(map(_locked, answers.values())):
                raise Brief("rows are locked")

        try:
            briefly(once)
        except RetryableError:
            if len(answers) < len(fresh):
                raise
        return [answers[place] for place in range(len(fresh))]

    def _call(self, some: Sequence[CrmRecord]) -> list[Answer]:
        first = some[0]
        rows: list[Row] = [{**record.fields, record.key_field: record.key} for record in some]
        if first.key_field == "Id":
            return self.client.update(first.object, rows)
        return self.client.upsert(first.object, first.key_field, rows)

    # what is there

    def _current(self, alike: Sequence[CrmRecord]) -> Mapping[str, Mapping[str, Any]]:
        """The org's records by folded key, with the fields that ours have."""
        first, found = alike[0], {}
        names = {_read_as(name) for record in alike for name in record.fields} if not first.once else set()
        fields = ", ".join(sorted({"Id", first.key_field, *names}))
        for some in batched(alike, IN_A_QUERY):
            text = f"SELECT {fields} FROM {first.object} WHERE {first.key_field} IN {{keys}}"
            for row in self.client.query(soql(text, keys=[record.key for record in some])):
                found[_folded(first.key_field, row[first.key_field])] = row
        return found

    # files

    def _file(self, record: CrmRecord) -> str | None:
        """The document that has this title on this opportunity."""
        text = "SELECT ContentDocumentId, ContentDocument.Title FROM ContentDocumentLink WHERE LinkedEntityId = {id}"
        links = self.client.query(soql(text, id=record.fields["LinkedEntityId"]))
        same = [row for row in links if (row["ContentDocument"] or {}).get("Title") == record.fields["Title"]]
        return min((str(row["ContentDocumentId"]) for row in same), default=None)

    def _upload(self, record: CrmRecord) -> PushResult:
        """A new version of the picture where there is one, else the first."""
        document, title = self._file(record), str(record.fields["Title"])
        row: dict[str, Json] = {"Title": title, "PathOnClient": f"{title}.png"}
        place: dict[str, Json] = {"FirstPublishLocationId": record.fields["LinkedEntityId"]}
        id_ = self.client.add_file(record.content, {**row, **({"ContentDocumentId": document} if document else place)})
        return _result(record, Outcome.UPDATED if document else Outcome.CREATED, id_=id_)


def _grouped(records: Sequence[CrmRecord]) -> Iterator[tuple[object, list[CrmRecord]]]:
    """Records that go in the same call, parents first; of two with one key the later counts."""

    def alike(record: CrmRecord) -> tuple[int, str, bool]:
        return ORDER.index(record.object), record.key_field, record.once

    single = {(alike(record), _folded(record.key_field, record.key)): record for record in records}
    for key, group in groupby(sorted(single.values(), key=alike), alike):
        yield key, list(group)


def _folded(key_field: str, key: str) -> str:
    """What two spellings of one key have in common: external ids ignore case, record ids are told by 15 characters."""
    return key[:15] if key_field == "Id" else key.lower()


def _even(rows: Sequence[dict[str, Json]]) -> Sequence[Row]:
    """Rows with the same columns each: a file has no other."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _locked(answer: Answer) -> bool:
    return answer.error is not None and answer.error.code == LOCKED


def _judged(record: CrmRecord, answer: Answer | None) -> PushResult:
    if answer is None:
        return _result(record, Outcome.LATER, reason="the job did not get to it", mend=WHY_LATER)
    if answer.error is None:
        return _result(record, Outcome.CREATED if answer.created else Outcome.UPDATED, id_=answer.id)
    return _refused(record, answer.error)


def _refused(record: CrmRecord, error: Said) -> PushResult:
    if error.passes:
        return _result(record, Outcome.LATER, reason=str(error), mend=WHY_LATER)
    return _result(record, Outcome.REFUSED, reason=str(error), mend=error.mend)


def _result(record: CrmRecord, outcome: Outcome, *, id_: str = "", reason: str = "", mend: str = "") -> PushResult:
    return PushResult(
        object=record.object, key=record.key, outcome=outcome, id=id_, reason=reason, mend=mend, about=record.about
    )


def _read_as(name: str) -> str:
    """A parent that is named by its key is read by it, too."""
    return f"{name}.{f.USAGE_KEY}" if name.endswith("__r") else name


def _changes(record: CrmRecord, now: Mapping[str, Any] | None) -> Iterator[FieldChange]:
    if record.once and now is not None:
        return
    held = dict(_scalars(now or {}))
    for name, then in _scalars(record.fields):
        if not _same(held.get(name), then):
            yield FieldChange(
                object=record.object,
                key=record.key,
                field=name,
                now=held.get(name),
                then=then,
                about=record.about,
                there=now is not None,
            )


def _scalars(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields with their values; those of a parent by `Parent__r.Field`."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", held) for inner, held in value.items())
        else:
            yield name, value


def _same(now: Json, then: Json) -> bool:
    if isinstance(now, int | float) and isinstance(then, int | float):
        return abs(now - then) < 1e-9  # noqa: PLR2004  (Salesforce gives 5 back as 5.0)
    return as_kept(now) == as_kept(then)


def _file_change(record: CrmRecord, document: str | None) -> FieldChange:
    then = f"{len(record.content)} bytes, " + ("as a new version" if document else "as a new file")
    return FieldChange(
        object=record.object,
        key=record.key,
        field="VersionData",
        now=document,
        then=then,
        about=record.about,
        there=document is not None,
    )
