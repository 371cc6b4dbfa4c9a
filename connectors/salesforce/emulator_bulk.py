"""Bulk API 2.0 ingest of the emulated org: open, upload, close, poll, three result files (Bulk API guide, 2026-11)."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import dataclass, field
from typing import Any

from connectors.salesforce.emulator_records import Record, Records, Refusal, stamped
from connectors.salesforce.emulator_schema import NUMBERS, Kind

CLEARED = "#N/A"
ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
DELIMITERS = {"COMMA": ",", "TAB": "\t", "SEMICOLON": ";", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}


@dataclass
class Job:
    """One ingest job."""

    id: str
    kind: Kind
    told: dict[str, Any]
    body: str = ""
    state: str = "Open"
    polls: int = 0
    done: list[tuple[Record, bool, dict[str, str]]] = field(default_factory=list)
    failed: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    error: str = ""

    def answer(self) -> dict[str, Any]:
        """The job as GET tells it."""
        counts = {"numberRecordsProcessed": len(self.done) + len(self.failed), "numberRecordsFailed": len(self.failed)}
        more = {"errorMessage": self.error} if self.error else {}
        return self.told | {"state": self.state, "retries": 0, "totalProcessingTime": self.polls} | counts | more


@dataclass
class Bulk:
    """All jobs. A job is done at its `slow`-th poll after upload; `stuck` ends it as Failed."""

    records: Records
    slow: int = 1
    fails_with: str = ""
    jobs: dict[str, Job] = field(default_factory=dict)

    def create(self, wanted: dict[str, Any], version: str) -> dict[str, Any]:
        """A new open job."""
        if wanted.get("operation") not in ("insert", "upsert", "update"):
            raise Refusal("INVALIDJOB", f"Operation not supported: {wanted.get('operation')}")
        kind = self.records.kind(str(wanted["object"]), want="edit")
        if wanted["operation"] == "upsert":
            self.records.by_key(kind, str(wanted.get("externalIdFieldName", "")), "")
        id_ = self.records.new_id("750")
        now = stamped(self.records.now())
        told = {
            "id": id_,
            "operation": wanted["operation"],
            "object": kind.name,
            "createdById": self.records.user,
            "createdDate": now,
            "systemModstamp": now,
            "externalIdFieldName": wanted.get("externalIdFieldName"),
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(version),
            "jobType": "V2Ingest",
            "contentUrl": f"services/data/v{version}/jobs/ingest/{id_}/batches",
            "lineEnding": wanted.get("lineEnding", "LF"),
            "columnDelimiter": wanted.get("columnDelimiter", "COMMA"),
        }
        self.jobs[id_] = Job(id_, kind, told)
        return self.jobs[id_].answer()

    def upload(self, id_: str, body: bytes) -> None:
        """The job's data, once."""
        job = self._job(id_)
        if job.state != "Open" or job.body:
            raise Refusal("INVALIDJOBSTATE", "Job is not open, or has its data already")
        job.body = body.decode("utf-8")

    def close(self, id_: str, state: str) -> dict[str, Any]:
        """UploadComplete or Aborted."""
        job = self._job(id_)
        if state not in ("UploadComplete", "Aborted") or job.state not in ("Open", "UploadComplete", "InProgress"):
            raise Refusal("INVALIDJOBSTATE", f"Updating a job from {job.state} to {state} is not allowed")
        job.state = state
        return job.answer()

    def poll(self, id_: str) -> dict[str, Any]:
        """The job's state; work happens here."""
        job = self._job(id_)
        if job.state in ("UploadComplete", "InProgress"):
            job.polls += 1
            job.state = "InProgress"
            if job.polls >= self.slow:
                self._work(job)
        return job.answer()

    def delete(self, id_: str) -> None:
        """The job is gone."""
        del self.jobs[self._job(id_).id]

    def results(self, id_: str, which: str) -> str:
        """One of the three result files; not in the order of the input."""
        job = self._job(id_)
        names = _header(job)
        if which == "successfulResults":
            rows = [[record["Id"], str(created).lower(), *row.values()] for record, created, row in job.done]
            return _csv(["sf__Id", "sf__Created", *names], rows)
        if which == "failedResults":
            return _csv(["sf__Id", "sf__Error", *names], [["", error, *row.values()] for error, row in job.failed])
        return _csv(names, [])

    def _job(self, id_: str) -> Job:
        if id_ not in self.jobs:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        return self.jobs[id_]

    def _work(self, job: Job) -> None:
        ending = ENDINGS[job.told["lineEnding"]]
        if self.fails_with or (ending == "\r\n") != ("\r\n" in job.body):
            job.error = (
                self.fails_with
                or f"LineEnding is invalid on user data. Current LineEnding setting is {job.told['lineEnding']}"
            )
            job.state = "Failed"
            return
        rows = list(csv.DictReader(io.StringIO(job.body), delimiter=DELIMITERS[job.told["columnDelimiter"]]))
        for row in rows:
            try:
                job.done.append((*self._row(job, row), row))
            except Refusal as refusal:
                job.failed.append((f"{refusal.code}:{refusal.message}:{','.join(refusal.fields)}--", row))
        random.Random(job.id).shuffle(job.done)
        job.state = "JobComplete"

    def _row(self, job: Job, row: dict[str, str]) -> tuple[Record, bool]:
        fields = {name: value for name, value in (_cell(job.kind, *cell) for cell in row.items()) if value != ""}
        key = job.told["externalIdFieldName"]
        if job.told["operation"] == "insert":
            return self.records.insert(job.kind, fields), True
        if job.told["operation"] == "update":
            return self.records.update(job.kind, self.records.get(job.kind, str(fields.pop("Id", ""))), fields), False
        if not fields.get(key):
            raise Refusal("MISSING_ARGUMENT", f"{key} not specified")
        return self.records.upsert(job.kind, key, fields.pop(key), fields)


def _cell(kind: Kind, name: str, text: str) -> tuple[str, Any]:
    """An empty cell leaves the field as it is, #N/A clears it; `Parent__r.Key__c` names a parent."""
    relationship, _, inner = name.partition(".")
    if inner:
        return relationship, {inner: text} if text not in ("", CLEARED) else ""
    if text == CLEARED:
        return name, None
    column = kind.column(name)
    if text and column and column.type in NUMBERS:
        try:
            return name, float(text)
        except ValueError:
            return name, text
    if column and column.type == "boolean":
        return name, text == "true"
    return name, text


def _header(job: Job) -> list[str]:
    return next(csv.reader(io.StringIO(job.body), delimiter=DELIMITERS[job.told["columnDelimiter"]]), [])


def _csv(names: list[str], rows: list[list[Any]]) -> str:
    """The sf__ columns of the head are quoted and ours are not; every value is."""
    head = ",".join(f'"{name}"' if name.startswith("sf__") else name for name in names)
    made = io.StringIO()
    csv.writer(made, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return head + "\n" + made.getvalue()
