"""Pictures drawn by a child process, so that the process that asks stays small (vl-convert takes some 90 MB).

The child starts at the first picture and ends when none was asked for a minute; pictures drawn lately are remembered.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

from hub.domain import Json
from hub.errors import RetryableError

REMEMBERED = 96  # pictures, of some 60 KB each
IDLE_S = 60.0
LONGEST_S = 30.0  # for one picture: a child that takes longer hangs


class Drawer:
    """One child that draws, one picture at a time; safe for threads, and for a fork before the first picture."""

    def __init__(self, idle_s: float = IDLE_S, longest_s: float = LONGEST_S) -> None:
        self._idle_s, self._longest_s = idle_s, longest_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._drawn: OrderedDict[str, str] = OrderedDict()
        self._timer: threading.Timer | None = None

    def svg(self, spec: Mapping[str, Json], title: str) -> str:
        """The chart as SVG. RetryableError where the child died; the next call starts another."""
        return self._asked(json.dumps({"spec": dict(spec), "title": title}))

    def png(self, spec: Mapping[str, Json]) -> bytes:
        """As `svg`, the chart as PNG."""
        return base64.b64decode(self._asked(json.dumps({"spec": dict(spec), "png": True})))

    def script(self) -> str:
        """The JavaScript that draws a spec in a browser."""
        return self._asked(json.dumps({"script": True}))

    def close(self) -> None:
        """Ends the child. Repeatable."""
        with self._lock:
            self._end()

    def _asked(self, request: str) -> str:
        with self._lock:
            if request not in self._drawn:
                self._drawn[request] = self._ask(request)
                while len(self._drawn) > REMEMBERED:
                    self._drawn.popitem(last=False)
            self._drawn.move_to_end(request)
            return self._drawn[request]

    def _ask(self, request: str) -> str:
        child, into, out = self._pipes()
        hangs = threading.Timer(self._longest_s, child.kill)
        hangs.start()
        try:
            into.write(request + "\n")
            into.flush()
            said = json.loads(out.readline())
        except (OSError, ValueError) as error:
            self._end()
            raise RetryableError("the process that draws charts ended; ask again") from error
        finally:
            hangs.cancel()
        self._end_later()
        if "error" in said:
            raise RetryableError(f"a chart could not be drawn: {said['error']}")
        return str(said["drawn"])

    def _pipes(self) -> tuple[subprocess.Popen[str], IO[str], IO[str]]:
        if self._child is None or self._child.poll() is not None:
            self._end()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "hub.usage.render"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        if self._child.stdin is None or self._child.stdout is None:
            raise RetryableError("the process that draws charts has no pipes")
        return self._child, self._child.stdin, self._child.stdout

    def _end_later(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = threading.Timer(self._idle_s, self.close)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        if self._timer:
            self._timer.cancel()
        child, self._child, self._timer = self._child, None, None
        if child is None:
            return
        if child.stdin:
            with suppress(OSError):  # it died with a request unread
                child.stdin.close()
        if child.stdout:
            child.stdout.close()
        child.kill()
        child.wait()
