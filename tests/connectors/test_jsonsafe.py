"""Bodies that would break a plain reader are refused quickly; ordinary ones pass as they are."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.jsonsafe import MAX_DEPTH, MAX_DIGITS, MAX_NODES, loads
from hub.errors import UnreadableError

BAD = {
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000,
    "one level too deep": b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    "one value too many": b'{"a":[' + b"0," * (MAX_NODES - 2) + b"0]}",
    "a huge integer": b'{"a":' + b"9" * (MAX_DIGITS + 1) + b"}",
    "infinity by exponent": b'{"a":1e999}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "a key twice": b'{"id":1,"id":2}',
    "a key twice, deep": b'{"a":[{"id":1,"\\u0069d":2}]}',
    "no object": b"[]",
    "a bare word": b'"evt"',
    "nothing": b"",
    "no UTF-8": b'{"a":"\xff"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "an open string of escapes": b'{"a":"' + b'\\"' * 130_000,
    "trailing text": b'{"a":1} x',
    "a raw control character": b'{"a":"\x00"}',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_a_body_that_breaks_a_bound_is_unreadable_and_soon(body: bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(UnreadableError):
        loads(body)
    assert time.perf_counter() - began < 2  # a quadratic scan of 260 kB would take minutes


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}",
        b'{"a":[' + b"0," * (MAX_NODES - 4) + b"0]}",
        b'{"a":-' + b"9" * (MAX_DIGITS - 1) + b"}",
        b'{"a":"' + b"[{" * 60_000 + b'\\""}',
        b'{"a":"' + b"," * 60_000 + b'"}',
    ],
    ids=["as deep as allowed", "as many values as allowed", "as many digits", "brackets in text", "commas in text"],
)
def test_a_body_at_a_bound_is_read(body: bytes) -> None:
    assert loads(body) == json.loads(body)


def test_an_unreadable_body_is_not_quoted() -> None:
    with pytest.raises(UnreadableError) as caught:
        loads(b'{"secret": tokn_canary}')
    assert "canary" not in str(caught.value)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _values))
def test_what_json_writes_is_read_back(value: dict[str, object]) -> None:
    assert loads(json.dumps(value).encode()) == value


@given(st.binary(max_size=300))
def test_junk_is_an_object_or_unreadable(body: bytes) -> None:
    with suppress(UnreadableError):
        assert isinstance(loads(body), dict)
