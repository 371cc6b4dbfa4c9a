"""What became of each line that was sold, as records of the line: absolute values in fields of the hub's own. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.salesforce.fields import SOLD_FIELDS
from connectors.salesforce.settings import Settings
from connectors.salesforce.shapes import SHAPES
from hub.domain import Sold
from hub.ports import CrmRecord

LONGEST = 255  # a sentence on a line; the console has the whole of it


def sold(settings: Settings, lines: Sequence[Sold]) -> Sequence[CrmRecord]:
    """A record for each line; none where the settings name no field to write to."""
    shape = SHAPES[settings.sells_by]
    names = (settings.entitlement_field, settings.code_field, settings.status_field, settings.error_field)
    wanted = [(name, value) for name, value in zip(names, SOLD_FIELDS.values(), strict=True) if name]
    if not wanted:
        return ()
    return tuple(
        CrmRecord(
            object=shape.line_object or shape.object,
            key=one.line,
            key_field="Id",
            fields={name: _short(value(one)) for name, value in wanted},
            about=one.line,
            hidden=frozenset({settings.code_field}),
        )
        for one in lines
    )


def _short(value: object) -> str | None:
    text = str(value) if value is not None else None
    return text[: LONGEST - 1] + "…" if text and len(text) > LONGEST else text
