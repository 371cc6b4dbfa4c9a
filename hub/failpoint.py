"""Points where tests make the hub fail: `failpoint("name")` does nothing unless HUB_FAILPOINTS says otherwise.

HUB_FAILPOINTS = "name=exit" (ends the process at once), "name=raise", or "name=sleep:SECONDS", each once per
process unless "name=exit*" (each time); HUB_FAILPOINTS_ONCE names a file that, once made, disarms them all;
HUB_FAILPOINTS_ABOUT lets only what is about that subject fail.
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
    "revival.committed",
    "call.before",
    "call.after",
    "result.committed",
    "note.before",
    "finish.before",
    "finish.after",
    "fan_out.before_commit",
    "fan_out.after_commit",
    "delivery.taken",
    "delivery.sent",
    "delivery.before_commit",
    "delivery.after_commit",
)


class FailpointError(Exception):
    """Raised on order."""


_armed: dict[str, str] = {}
_about = ""


def arm(spec: str, about: str = "") -> None:
    """Arms the points that `spec` names ("name=how,name=how"), for this process; "" disarms all."""
    global _about  # noqa: PLW0603  (one process, one set of orders)
    _armed.clear()
    _armed.update(dict(part.split("=", 1) for part in spec.split(",") if "=" in part))
    _about = about


def failpoint(name: str, about: str = "") -> None:
    """Fails here if that was ordered; `about` is the subject at work, where there is one."""
    if _armed and name in _armed and _about in about:
        _fail(name, _armed[name])


def _fail(name: str, how: str) -> None:
    if not how.endswith("*"):
        del _armed[name]
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


arm(os.environ.get("HUB_FAILPOINTS", ""), os.environ.get("HUB_FAILPOINTS_ABOUT", ""))
