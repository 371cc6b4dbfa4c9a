"""F20: a release goes in while the one before works: migration under load, old worker beside new receiver.

The old release is this checkout; the next one is a copy of it with one more migration. So it needs no history, and
says of any release that adds to the record what it says of this one. Old processes that end meanwhile do not start
again (they refuse a record of another version): whoever rolls a release starts the new one in their place.
"""

from __future__ import annotations

import ast
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text

from hub.runtime import this_hub, wait_for_port
from hub.store import Store
from hub.store.migrate import HEAD, upgrade
from hub.store.schema import change, receipt
from tests.world import Town, a_town

ROOT = Path(__file__).parents[2]
NEXT = "9999"
MIGRATION = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{NEXT}", "{HEAD}", None, None


def upgrade():
    for table in ("receipt", "subject", "entitlement", "change", "lease"):
        op.add_column(table, sa.Column("added", sa.Text(), nullable=False, server_default="as before"))
    op.create_table("new", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("said", sa.Text()))
    op.create_index("ix_change_added", "change", ["added"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("INSERT INTO new VALUES (1, current_setting('statement_timeout'))")
"""
# Revisions that do more than add, each with the reason; the changelog must then say: stop the hub first.
STOPPED_FIRST: dict[str, str] = {}

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(280)]


class Release:
    """The next release in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("hub", "connectors"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "hub/store/migrations/versions/9999_next.py").write_text(MIGRATION)
        migrate = folder / "hub/store/migrate.py"
        migrate.write_text(migrate.read_text().replace(f'HEAD = "{HEAD}"', f'HEAD = "{NEXT}"'))

    def command(self, *words: str) -> list[str]:
        """A command line of it; PYTHONSAFEPATH keeps the folder that it is called in out of the path."""
        return ["env", f"PYTHONPATH={self.folder}", "PYTHONSAFEPATH=1", *this_hub(*words)]

    def upgrade(self, town: Town) -> None:
        subprocess.run(self.command("db", "upgrade"), env=town.environ, check=True, capture_output=True, timeout=60)

    def replace(self, town: Town, name: str) -> None:
        """This release's process takes the place of the old one's."""
        town.commands[name] = self.command(name)
        town.end(name)
        town.keep_up()
        if name == "web":
            assert wait_for_port(town.ports["web"], 30), town.log_tail()


@pytest.mark.parametrize(
    ("database", "events"),
    [
        ("bare_postgres_url", 80),
        pytest.param("bare_postgres_url", 1000, marks=pytest.mark.full),
        pytest.param("sqlite_url", 1000, marks=pytest.mark.full),
    ],
)
def test_F20_a_release_goes_in_under_load_and_loses_nothing(
    tmp_path: Path, request: pytest.FixtureRequest, database: str, events: int
) -> None:
    release = Release(tmp_path / "next")
    with a_town(tmp_path, request.getfixturevalue(database)) as town:
        town.vendors.stripe_admin("delivery", duplicate=0.15, reorder=0.3, seed=20, tries=60, backoff_s=0.1)
        town.vendors.buy()
        town.until(lambda: town.vendors.wrong() == [])
        pids = {name: process.pid for name, process in town.running.items()}
        with load(town, events) as raised:
            town.until(lambda: raised() > events / 5, 60)
            release.upgrade(town)
            done = _changes(town)
            town.until(lambda: _changes(town) > done + 5, 30)  # by the old worker, on the new record
            release.replace(town, "web")
            done = _changes(town)
            town.until(lambda: _changes(town) > done + 5, 30)  # what a new receiver took, an old worker works
            assert town.running["worker"].pid == pids["worker"], "the old worker has worked until now"
            assert town.running["worker"].poll() is None
            release.replace(town, "worker")
            release.replace(town, "clock")
        assert town.vendors.stripe_admin("drain", timeout_s=60)["pending"] == 0
        assert town.vendors.stripe_admin("undelivered") == []
        town.settle(90)
        assert town.vendors.wrong() == []
        with town.store.read() as conn:
            kept = set(conn.execute(select(receipt.c.external_id)).scalars())
            assert conn.execute(text("SELECT version_num FROM alembic_version")).scalar() == NEXT
            assert set(conn.execute(text("SELECT added FROM receipt")).scalars()) == {"as before"}
            # No statement of a migration is cut off for its length, and none waits for a lock for ever.
            assert set(conn.execute(text("SELECT said FROM new")).scalars()) <= {"0"}
        assert len(town.vendors.event_ids) >= events
        assert town.vendors.event_ids - kept == set()
        log = (tmp_path / "log").read_text(errors="replace")
        assert "Traceback" not in log, log.partition("Traceback")[2].replace("\\n", "\n")[:6000]


@contextmanager
def load(town: Town, events: int) -> Iterator[object]:
    """People act at Stripe while the body runs, and until so many events were raised; gives how many there are."""
    over, roll, failed = threading.Event(), random.Random(20), []

    def live() -> None:
        try:
            while not over.is_set() or len(town.vendors.event_ids) < events:
                town.vendors.buy("PRO-100", roll.randint(1, 9))
                for _ in range(3):
                    town.vendors.act(roll)
                town.vendors.note_events()
                over.wait(0.05 if len(town.vendors.event_ids) < events else 0.5)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=live, name="load")
    thread.start()
    try:
        yield lambda: len(town.vendors.event_ids)
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]


def _changes(town: Town) -> int:
    with town.store.read() as conn:
        return len(conn.execute(select(change.c.id).where(change.c.outcome.is_not(None))).all())


def test_F20_two_machines_that_upgrade_at_once_upgrade_once(bare_url: str) -> None:
    stores = [Store(bare_url) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as pool:
        assert list(pool.map(upgrade, stores)) == [HEAD] * len(stores)
    with stores[0].read() as conn:
        assert inspect(conn).has_table("receipt")
    for store in stores:
        store.close()


# -- what a migration may do while the release before it works


def more_than_additions(source: str) -> list[str]:
    """The calls of a migration that a process of the release before might stumble over."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [(node.func.attr, node) for node in calls if isinstance(node.func, ast.Attribute)]
    found = [name for name, _ in named if name.startswith(("drop_", "rename_", "alter_"))]
    columns = [node for name, node in named if name == "add_column"]
    return found + ["add_column" for node in columns if _is_needed(node) and "server_default" not in _given(node)]


def _given(node: ast.Call) -> dict[str, ast.expr]:
    """The keywords of this call and of those inside it."""
    inner = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
    return {word.arg: word.value for call in inner for word in call.keywords if word.arg}


def _is_needed(node: ast.Call) -> bool:
    nullable = _given(node).get("nullable")
    return isinstance(nullable, ast.Constant) and nullable.value is False


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('op.add_column("receipt", sa.Column("a", sa.Text(), nullable=True))', []),
        ('op.add_column("receipt", sa.Column("a", sa.Text(), nullable=False, server_default=""))', []),
        ('op.create_index("ix", "receipt", ["a"])', []),
        ('op.add_column("receipt", sa.Column("a", sa.Text(), nullable=False))', ["add_column"]),
        ('op.drop_column("receipt", "body")', ["drop_column"]),
        ('op.rename_table("receipt", "inbox")', ["rename_table"]),
        ('batch.alter_column("body", nullable=False)', ["alter_column"]),
    ],
)
def test_what_the_release_before_might_stumble_over_is_seen(line: str, found: list[str]) -> None:
    assert more_than_additions(f"def upgrade():\n    {line}\n") == found


def test_F20_a_migration_only_adds_so_that_the_release_before_goes_on_working() -> None:
    versions = sorted((ROOT / "hub/store/migrations/versions").glob("*.py"))
    bodies = {one.name[:4]: one.read_text().partition("def downgrade")[0] for one in versions}
    found = {name: more for name, body in bodies.items() if (more := more_than_additions(body))}
    assert found.keys() <= STOPPED_FIRST.keys(), found
    assert HEAD in bodies
