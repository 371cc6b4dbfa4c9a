"""SOQL as far as our own queries go, by a real parser: fields over parents, COUNT(), conditions, order, limit.

No subqueries, no aggregates but COUNT(), no date functions (README.md lists them).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connectors.salesforce.emulator_records import Record, Records, Refusal
from connectors.salesforce.emulator_schema import Column, Kind

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<moment>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d))?)"
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w.]*(?::\d+)?)|(?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,))"
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
Test = Callable[[Record], bool]


@dataclass(slots=True)
class Query:
    """What was asked."""

    kind: Kind
    fields: list[str]
    test: Test = lambda _: True
    order: list[tuple[str, bool]] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    count: bool = False
    filtered: list[str] = field(default_factory=list)


def run(records: Records, text: str, *, deleted: bool = False) -> tuple[Query, list[Record]]:
    """The query and the records that it finds; Refusal in Salesforce's own words where it is wrong."""
    query = _Parser(records, text).query()
    if query.kind.name == "ContentDocumentLink" and not {"linkedentityid", "contentdocumentid"} & set(query.filtered):
        raise Refusal(
            "MALFORMED_QUERY",
            "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId or"
            " LinkedEntityId using the equals operator or multiple Id's using the IN operator.",
        )
    found = [one for one in records.all(query.kind, deleted=deleted) if query.test(one)]
    for path, descending in reversed(query.order):
        found.sort(key=lambda one: _sortable(reach(records, query.kind, one, path)), reverse=descending)
    end = None if query.limit is None else query.offset + query.limit
    return query, found[query.offset : end]


def reach(records: Records, kind: Kind, record: Record | None, path: str) -> Any:  # noqa: ANN401
    """The value at `Parent.Field`; None where a parent is missing."""
    *parents, name = path.split(".")
    for one in parents:
        column = kind.parent(one)
        if record is None or column is None or not record.get(column.name):
            return None
        kind, record = _parent(records, column, record[column.name])
    column = kind.column(name)
    return None if record is None or column is None else record.get(column.name)


def _parent(records: Records, column: Column, id_: str) -> tuple[Kind, Record | None]:
    for name in column.refers_to:
        kind = records.kinds[name.lower()]
        if found := records.tables.get(kind.name, {}).get(id_[:15]):
            return kind, found
    return records.kinds[column.refers_to[0].lower()], None


class _Parser:
    def __init__(self, records: Records, text: str) -> None:
        self.records, self.text, self.at = records, text, 0
        self.tokens: list[tuple[str, str, int]] = []
        while text[self.at :].strip():
            match = _TOKEN.match(text, self.at)
            if match is None or match.lastgroup is None:
                raise self.malformed(text[self.at :].strip()[:10], self.at)
            self.tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            self.at = match.end()
        self.next = 0
        self.filtered: list[str] = []

    def query(self) -> Query:
        self.word("SELECT")
        fields = [self.name()]
        count = fields[0].lower() == "count" and self.sign("(") and self.need_sign(")")
        while self.sign(","):
            fields.append(self.name())
        self.word("FROM")
        query = Query(kind=self.object(), fields=fields, count=bool(count))
        if not query.count:
            for path in query.fields:
                self.column(query.kind, path)
        if self.is_word("WHERE"):
            query.test = self.either(query.kind)
        if self.is_word("ORDER"):
            self.word("BY")
            query.order = self.orders(query.kind)
        if self.is_word("LIMIT"):
            query.limit = int(self.take("number"))
        if self.is_word("OFFSET"):
            query.offset = int(self.take("number"))
        if self.is_word("FOR"):
            self.take("word")
        if self.next < len(self.tokens):
            raise self.unexpected()
        query.filtered = self.filtered
        return query

    def object(self) -> Kind:
        name = self.name()
        kind = self.records.kinds.get(name.lower())
        if kind is None or not self.records.access.objects(kind.name, "read"):
            hint = "If you are attempting to use a custom object, be sure to append the '__c' after the entity name."
            raise self.at_token(
                "INVALID_TYPE",
                f"sObject type '{name}' is not supported. {hint} Please reference your WSDL or the describe call for"
                " the appropriate names.",
                self.next - 1,
            )
        return kind

    def column(self, kind: Kind, path: str) -> Column:
        *parents, name = path.split(".")
        of = kind
        for one in parents:
            parent = of.parent(one)
            if parent is None or not self.records.access.sees(of.name, parent):
                raise self.at_token("INVALID_FIELD", f"Didn't understand relationship '{one}' in field path.", None)
            of = self.records.kinds[parent.refers_to[0].lower()]
        column = self.records.visible(of, name)
        if column is None:
            raise self.at_token(
                "INVALID_FIELD",
                f"No such column '{name}' on entity '{of.name}'. If you are attempting to use a custom field, be sure"
                " to append the '__c' after the custom field name. Please reference your WSDL or the describe call for"
                " the appropriate names.",
                None,
            )
        return column

    def orders(self, kind: Kind) -> list[tuple[str, bool]]:
        found = []
        while True:
            path = self.name()
            self.column(kind, path)
            descending = self.is_word("DESC")
            if not descending:
                self.is_word("ASC")
            if self.is_word("NULLS"):
                self.take("word")
            found.append((path, descending))
            if not self.sign(","):
                return found

    def either(self, kind: Kind) -> Test:
        tests = [self.both(kind)]
        while self.is_word("OR"):
            tests.append(self.both(kind))
        return tests[0] if len(tests) == 1 else lambda one: any(test(one) for test in tests)

    def both(self, kind: Kind) -> Test:
        tests = [self.single(kind)]
        while self.is_word("AND"):
            tests.append(self.single(kind))
        return tests[0] if len(tests) == 1 else lambda one: all(test(one) for test in tests)

    def single(self, kind: Kind) -> Test:
        if self.is_word("NOT"):
            inner = self.single(kind)
            return lambda one: not inner(one)
        if self.sign("("):
            inner = self.either(kind)
            self.need_sign(")")
            return inner
        path = self.name()
        column = self.column(kind, path)
        self.filtered.append(path.lower())
        return self.condition(kind, path, column)

    def condition(self, kind: Kind, path: str, column: Column) -> Test:
        def value(one: Record) -> Any:  # noqa: ANN401
            return _comparable(column, reach(self.records, kind, one, path))

        negated = self.is_word("NOT")
        if negated or self.is_word("IN"):
            if negated:
                self.word("IN")
            wanted = {_comparable(column, item) for item in self.several(column)}
            return lambda one: (value(one) in wanted) != negated
        if self.is_word("LIKE"):
            pattern = _like(str(self.literal(column)))
            return lambda one: bool(pattern.fullmatch(value(one) or ""))
        sign = self.take("sign")
        wanted_value = _comparable(column, self.literal(column))
        return lambda one: _holds(sign, value(one), wanted_value)

    def several(self, column: Column) -> list[Any]:
        self.need_sign("(")
        found = [self.literal(column)]
        while self.sign(","):
            found.append(self.literal(column))
        self.need_sign(")")
        return found

    def literal(self, column: Column) -> Any:  # noqa: ANN401
        kind, text, _ = self.peek()
        self.next += 1
        quoted_type = column.type not in ("date", "datetime", "boolean", "double", "percent", "currency", "int")
        if kind == "text":
            if not quoted_type:
                raise self.at_token(
                    "INVALID_FIELD",
                    f"value of filter criterion for field '{column.name}' must be of type {column.type} and should not"
                    " be enclosed in quotes",
                    self.next - 1,
                )
            return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1], flags=re.DOTALL)
        if kind == "number":
            return float(text)
        if kind == "moment":
            return text
        named = {"null": None, "true": True, "false": False}
        if kind == "word" and text.lower() in named:
            return named[text.lower()]
        if kind == "word" and (day := _day(text, self.records.now())):
            return day
        self.next -= 1
        raise self.unexpected()

    # tokens

    def peek(self) -> tuple[str, str, int]:
        if self.next >= len(self.tokens):
            raise self.malformed("<EOF>", len(self.text))
        return self.tokens[self.next]

    def take(self, kind: str) -> str:
        found, text, _ = self.peek()
        if found != kind:
            raise self.unexpected()
        self.next += 1
        return text

    def name(self) -> str:
        return self.take("word")

    def is_word(self, word: str) -> bool:
        here = self.tokens[self.next] if self.next < len(self.tokens) else ("", "", 0)
        found = here[0] == "word" and here[1].upper() == word
        self.next += found
        return found

    def word(self, word: str) -> None:
        if not self.is_word(word):
            raise self.unexpected()

    def sign(self, sign: str) -> bool:
        if self.next < len(self.tokens) and self.tokens[self.next][:2] == ("sign", sign):
            self.next += 1
            return True
        return False

    def need_sign(self, sign: str) -> bool:
        if not self.sign(sign):
            raise self.unexpected()
        return True

    def unexpected(self) -> Refusal:
        if self.next >= len(self.tokens):
            return self.malformed("<EOF>", len(self.text))
        _, text, at = self.tokens[self.next]
        return self.malformed(text, at)

    def malformed(self, token: str, at: int) -> Refusal:
        return Refusal("MALFORMED_QUERY", f"{self._pointed(at)}unexpected token: '{token}'")

    def at_token(self, code: str, message: str, token: int | None) -> Refusal:
        at = self.tokens[token][2] if token is not None else 0
        return Refusal(code, self._pointed(at) + message)

    def _pointed(self, at: int) -> str:
        """Row and column as Salesforce shows them: a window of the query and a caret below."""
        return f"\n{self.text}\n{' ' * at}^\nERROR at Row:1:Column:{at + 1}\n"


def _comparable(column: Column, value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        if column.type in ("reference", "id"):
            return value[:15]
        if column.type == "datetime":
            return datetime.fromisoformat(value).timestamp()
        return value.lower()  # SOQL compares texts without case
    return value


def _holds(sign: str, value: Any, wanted: Any) -> bool:  # noqa: ANN401
    if sign == "=":
        return bool(value == wanted)
    if sign in ("!=", "<>"):
        return bool(value != wanted)
    if value is None or wanted is None:
        return False
    return bool({"<": value < wanted, ">": value > wanted, "<=": value <= wanted, ">=": value >= wanted}[sign])


def _like(text: str) -> re.Pattern[str]:
    parts = {"%": ".*", "_": "."}
    return re.compile("".join(parts.get(one, re.escape(one)) for one in text.lower()), re.DOTALL)


def _day(word: str, now: datetime) -> str | None:
    name, _, number = word.upper().partition(":")
    days = {
        "TODAY": 0,
        "YESTERDAY": -1,
        "TOMORROW": 1,
        "LAST_N_DAYS": -int(number or 0),
        "NEXT_N_DAYS": int(number or 0),
    }
    return (now + timedelta(days=days[name])).date().isoformat() if name in days else None


def _sortable(value: Any) -> tuple[bool, Any]:  # noqa: ANN401
    return (value is not None, value.lower() if isinstance(value, str) else value or 0)
