"""Tables as CSV that no spreadsheet takes for a formula (S22). Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date

Cell = str | int | float | date | None
DANGEROUS = ("=", "+", "-", "@", "\t", "\r")


def table(names: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """RFC 4180 with a head row. Text that a spreadsheet would calculate gets a leading '; numbers stay numbers."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(names)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return out.getvalue()


def _safe(cell: Cell) -> str | int | float:
    if cell is None:
        return ""
    if isinstance(cell, int | float):
        return cell
    text = cell.isoformat() if isinstance(cell, date) else cell
    return f"'{text}" if text.lstrip(" \n").startswith(DANGEROUS) or text.startswith(("\n", " ")) else text
