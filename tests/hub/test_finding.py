"""Customers are found by how their names begin, on an index; by what is inside a name, by going through all."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from hub.store import Store, pages, subjects
from hub.store.subjects import folded
from tests.hub.factory import a_subject

NAMES = ("Brightwater Labs", "brightside", "Albright & Co", "ÉCOLE Supérieure", "Straße 9", "50% off_shop", "Zed 😀")


@pytest.fixture
def named(store: Store) -> Store:
    def insert(conn) -> None:
        for number, name in enumerate(NAMES):
            a_subject(conn, f"stripe/subscription/sub_{number}", customer_name=name)

    store.write(insert)
    return store


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("bright", {"Brightwater Labs", "brightside"}),
        ("BRIGHTW", {"Brightwater Labs"}),
        ("Zed 😀", {"Zed 😀"}),
        ("école", {"ÉCOLE Supérieure"}),
        ("strasse", {"Straße 9"}),
        ("50%", {"50% off_shop"}),
        ("5_%", set()),
        ("labs", {"Brightwater Labs"}),
        ("SUPÉR", {"ÉCOLE Supérieure"}),
        ("nobody", set()),
    ],
)
def test_a_customer_is_found_by_any_case_of_the_beginning_else_by_a_part(
    named: Store, words: str, names: set[str]
) -> None:
    with named.read() as conn:
        found = pages.subjects_called(conn, words, ["stripe"])
    assert {NAMES[int(ref.rpartition("_")[2])] for ref in found} == names


def test_the_beginning_of_a_name_is_looked_for_on_its_index(store: Store) -> None:
    def insert(conn) -> None:
        row = {"connection": "stripe", "kind": "subscription", "state": "idle", "cause": "settled"}
        names = [f"Customer {number:05}" for number in range(3000)]
        rows = [
            row
            | {"ref": f"stripe/subscription/{name}", "customer_name": name, "customer_folded": folded(name)}
            | {"created_at": 0.0, "changed_at": 0.0}
            for name in names
        ]
        conn.execute(subjects.subject.insert(), rows)
        conn.execute(text("ANALYZE subject"))

    store.write(insert)
    with store.read() as conn:
        explain = "EXPLAIN QUERY PLAN " if conn.dialect.name == "sqlite" else "EXPLAIN "
        stmt = pages.beginning_with("customer 012").compile(conn, compile_kwargs={"literal_binds": True})
        plan = "\n".join(str(row) for row in conn.exec_driver_sql(explain + str(stmt).replace("%", "%%")))
        found = conn.execute(pages.beginning_with("customer 0012")).scalars().all()
    assert "ix_subject_customer_folded" in plan
    assert len(found) == 10
