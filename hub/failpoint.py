"""Points where tests make the hub fail: `failpoint("name")` does nothing unless HUB_FAILPOINTS says otherwise.

HUB_FAILPOINTS = "name=exit" (ends the process at once), "name=raise", or "name=sleep:SECONDS", each once per
process unless "name=exit*" (each time); HUB_FAILPOINTS_ONCE names a file that, once made, disarms them all.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

NAMES = (
    "receipt.before_commit",
    "receipt.after_commit",
    "receipt.before_ring",
    "look.leased",
    "look.read",
    "look.observed",
    "intent.committed",
    "call.before",
    "call.after",
    "result.committed",
    "note.before",
    "finish.before",
    "finish.after",
)


class FailpointError(Exception):
    """Raised on order."""


def _armed() -> dict[str, str]:
    text = os.environ.get("HUB_FAILPOINTS", "")
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


_ARMED = _armed()


def failpoint(name: str) -> None:
    """Fails here if the environment asked for it when the process began."""
    if _ARMED and name in _ARMED:
        _fail(name, _ARMED[name])


def _fail(name: str, how: str) -> None:
    if not how.endswith("*"):
        del _ARMED[name]
    if not _claim():
        return
    how = how.rstrip("*")
    if how == "exit":
        os._exit(9)
    if how.startswith("sleep:"):
        time.sleep(float(how.removeprefix("sleep:")))
        return
    raise FailpointError(name)


def _claim() -> bool:
    """One failure for all processes together where HUB_FAILPOINTS_ONCE names a file."""
    once = os.environ.get("HUB_FAILPOINTS_ONCE")
    if not once:
        return True
    try:
        Path(once).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
