"""References fit what Zentitle2 takes, are the same each time, and differ where ids differ."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.references import LONGEST, activation_code, pseudonym, reference

prefixes = st.from_regex(r"\A[a-z0-9-]{1,12}\Z")
ids = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=255)


@pytest.mark.parametrize(
    ("prefix", "id_", "wanted"),
    [
        ("stripe", "sub_1", "stripe:sub_1"),
        ("s", "x" * 48, "s:" + "x" * 48),
        ("s", "x" * 49, "s:h:" + hashlib.sha256(b"x" * 49).hexdigest()[:32]),
        ("a-name-of-12", "y" * 255, "a-name-of-12:h:" + hashlib.sha256(b"y" * 255).hexdigest()[:32]),
    ],
)
def test_a_reference_is_plain_where_it_fits_and_hashed_where_not(prefix: str, id_: str, wanted: str) -> None:
    assert reference(prefix, id_) == wanted


@given(prefixes, ids)
def test_no_reference_is_longer_than_fifty_characters(prefix: str, id_: str) -> None:
    assert len(reference(prefix, id_)) <= LONGEST
    assert reference(prefix, id_) == reference(prefix, id_)


@given(prefixes, ids, ids)
def test_two_ids_have_two_references(prefix: str, one: str, other: str) -> None:
    assert (reference(prefix, one) == reference(prefix, other)) == (one == other)


def test_a_code_is_the_one_that_the_design_fixes() -> None:
    # printf 'stripe:sub_1' | openssl dgst -sha256 -mac HMAC -macopt key:secret -binary | base32 | cut -c1-20
    assert activation_code(b"secret", "stripe:sub_1") == CODE


CODE = "HTVQA-NXDLE-EENOF-3FJK6"


@given(st.binary(min_size=1, max_size=64), ids)
def test_a_code_is_four_groups_of_five_that_repeat(secret: bytes, order_ref: str) -> None:
    code = activation_code(secret, order_ref)
    assert re.fullmatch(r"([A-Z2-7]{5}-){3}[A-Z2-7]{5}", code)
    assert code == activation_code(secret, order_ref)


def test_another_secret_or_reference_is_another_code() -> None:
    codes = {activation_code(secret, ref) for secret in (b"one", b"two") for ref in ("stripe:sub_1", "stripe:sub_2")}
    assert len(codes) == 4


def test_a_pseudonym_is_the_same_each_time_and_another_for_another_person_or_secret() -> None:
    # printf 'pseudonym:ada@example.com' | openssl dgst -sha256 -mac HMAC -macopt key:secret | cut -c1-16
    assert pseudonym(b"secret", "ada@example.com") == "e807da461fc96cd0"
    told = {pseudonym(secret, who) for secret in (b"one", b"two") for who in ("ada", "Ada", "bob")}
    assert len(told) == 6
