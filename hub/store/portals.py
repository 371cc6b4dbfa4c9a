"""Which version of a customer's portal links counts. Every function takes the connection of its transaction."""

from __future__ import annotations

from sqlalchemy import Connection, select

from hub.store import schema as t
from hub.store.subjects import insert

FIRST = 1


def version(conn: Connection, account: str) -> int:
    """The version that links of this account must carry."""
    found = conn.execute(select(t.portal_key.c.version).where(t.portal_key.c.account == account)).scalar()
    return FIRST if found is None else int(found)


def raise_version(conn: Connection, account: str) -> int:
    """Makes every link so far void; the version that counts from now on."""
    stmt = insert(conn, t.portal_key).values(account=account, version=FIRST + 1)
    raised = {"version": t.portal_key.c.version + 1}
    conn.execute(stmt.on_conflict_do_update(index_elements=["account"], set_=raised))
    return version(conn, account)
