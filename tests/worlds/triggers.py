"""What `stripe trigger` does with its fixture files: the calls, one after the other, against a Stripe somewhere.

The format, after stripe/stripe-cli pkg/fixtures and pkg/parsers (read 2026-11): `fixtures` are steps {name, path,
method, params, expected_error_type}; a text may hold `${name:path.to.field|default}`, which is taken from the answer
of the step of that name. Rewrites (`--override`, `--add`, `--remove`, `--skip`) name a step and a path:
`price:recurring.interval=year`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

Json = dict[str, Any]
VERSION = 0  # of the template: the only one there is
_REFERENCE = re.compile(r"\$\{(?P<name>[^|}:]+):(?P<path>[^|}]+)(?:\|(?P<default>[^/\n}]*))?\}")


class TriggerError(Exception):
    """A step that can't be carried out, or was answered otherwise than its file expects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call."""

    name: str
    path: str
    method: str
    params: Json
    expected_error_type: str = ""


@dataclass(slots=True)
class Trigger:
    """A file's steps; `run` carries them out and gives what each was answered."""

    name: str
    steps: list[Step]
    aliases: tuple[str, ...] = ()
    skipped: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> Trigger:
        """The file's trigger; TriggerError where its template is of a later version."""
        content = json.loads(path.read_bytes())
        if content["_meta"]["template_version"] > VERSION:
            raise TriggerError(f"{path.name}: template version {content['_meta']['template_version']}")
        steps = [_step(row) for row in content["fixtures"]]
        return cls(path.stem.removeprefix("cli__"), steps, tuple(content["_meta"].get("aliases", ())))

    def override(self, **rewrites: str) -> Trigger:
        """`name="path=value"`: the step of that name has this value, whatever it had."""
        for name, rewrite in rewrites.items():
            path, _, value = rewrite.partition("=")
            _put(self._params(name), path.split("."), value, force=True)
        return self

    def add(self, **rewrites: str) -> Trigger:
        """As `override`, but what is there already stays."""
        for name, rewrite in rewrites.items():
            path, _, value = rewrite.partition("=")
            _put(self._params(name), path.split("."), value, force=False)
        return self

    def remove(self, **paths: str) -> Trigger:
        """`name="field"`: the step of that name has no such parameter."""
        for name, path in paths.items():
            self._params(name).pop(path.partition(".")[0], None)
        return self

    def skip(self, *names: str) -> Trigger:
        """These steps are not carried out."""
        self.skipped.update(names)
        return self

    def _params(self, name: str) -> Json:
        found = [step.params for step in self.steps if step.name == name]
        if not found:
            raise TriggerError(f"{self.name} has no step {name}: it has {', '.join(step.name for step in self.steps)}")
        return found[0]

    def run(self, http: requests.Session, base: str) -> dict[str, Json]:
        """Every answer by its step's name (the last, where two share one)."""
        answers: dict[str, Json] = {}
        for step in self.steps:
            if step.name not in self.skipped:
                answers[step.name] = _call(http, base, step, answers)
        return answers


def _step(row: Json) -> Step:
    return Step(
        name=row["name"],
        path=row["path"],
        method=row["method"].upper(),
        params=row.get("params") or {},
        expected_error_type=row.get("expected_error_type", ""),
    )


def _call(http: requests.Session, base: str, step: Step, answers: Mapping[str, Json]) -> Json:
    form = dict(flattened(step.params, answers))
    where = {"params": form} if step.method == "GET" else {"data": form}
    response = http.request(step.method, base + referred(step.path, answers), **where, timeout=30)
    body: Json = response.json()
    told = body.get("error", {}).get("type", "")
    if told != step.expected_error_type:
        raise TriggerError(
            f"{step.name}: {step.method} {step.path} was answered {response.status_code} {response.text}"
        )
    return body


def flattened(params: Any, answers: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Form fields: `a[b]`, `a[0][b]`; a list of plain values numbers them as well."""
    rows = params.items() if isinstance(params, dict) else enumerate(params)
    for key, value in rows:
        name = f"{prefix}[{key}]" if prefix else str(key)
        if isinstance(value, (dict, list)):
            yield from flattened(value, answers, name)
        elif isinstance(value, bool):
            yield name, str(value).lower()
        else:
            yield name, referred(str(value), answers)


def referred(text: str, answers: Mapping[str, Json]) -> str:
    """`text` with every reference replaced; TriggerError where one names no step so far, or nothing in its answer."""

    def found(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name not in answers and name != ".env":  # the environment is never asked here: its default counts
            raise TriggerError(f"{match[0]}: no step {name} so far")
        value = _at(answers.get(name, {}), match["path"].split("."))
        if value in (None, "") and default is None:
            raise TriggerError(f"{match[0]}: there is no such value")
        return str(default if value in (None, "") else value)

    return _REFERENCE.sub(found, text)


def _at(value: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return None
    return value


def _put(node: Json, path: list[str], value: str, *, force: bool) -> None:
    *above, last = path
    for part in above:
        node = node.setdefault(part, {})
    if force or last not in node:
        node[last] = value
