"""One way to read every kind of file. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from hub.errors import PermanentError
from hub.usage.files import Contents, Format, Wanted
from hub.usage.reportlogs import read_log
from hub.usage.tables import read_export, read_table

READERS: Mapping[Format, Callable[[Iterable[str], Wanted, Contents], None]] = {
    Format.CSV: read_table,
    Format.EXPORT: read_export,
    Format.REPORT_LOG: read_log,
}
SHOWN = 8


def read(lines: Iterable[str], format_: Format, wanted: Wanted) -> Contents:
    """What the lines say. PermanentError where the file as a whole is not to be read."""
    found = Contents()
    READERS[format_](lines, wanted, found)
    some = ", ".join(sorted(found.groups)[:SHOWN]) or "none"
    if not wanted.group and len(found.groups) > 1:
        raise PermanentError(
            f"the file tells of {len(found.groups)} features", hint=f"say which with --feature: {some}"
        )
    if wanted.group and wanted.group not in found.groups:
        raise PermanentError(f"the file tells nothing of {wanted.group!r}", hint=f"it has {some}")
    return found
