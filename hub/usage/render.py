"""Vega-Lite specs as SVG and PNG (vl-convert; no browser, no network), and the script that draws them in one.

`python -m hub.usage.render` answers requests line by line, so that a process that must stay small can have pictures
drawn by a child (hub/drawing.py). vl-convert takes some 90 MB: it is loaded at the first picture, not with this module.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterable, Mapping
from html import escape
from typing import TextIO

from hub.domain import Json
from hub.usage.palette import DARK, LIGHT

_CLUTTER = re.compile(r' role="graphics-\w+"| aria-roledescription="[^"]*"| aria-hidden="true"')
_DIGITS = re.compile(r"(\d+\.\d{2})\d+")


def svg(spec: Mapping[str, Json], title: str) -> str:
    """The chart as SVG: title, desc and one stop for a screen reader; no script, no font, no address of anybody's."""
    import vl_convert  # noqa: PLC0415  (memory)

    drawn = vl_convert.vegalite_to_svg(vl_spec=dict(spec), allowed_base_urls=[])
    head = f"<title>{escape(title)}</title><desc>{escape(str(spec.get('description', '')))}</desc>"
    named = re.sub(r"<svg([^>]*?)>", lambda found: f'<svg{found[1]} role="img">{head}', drawn, count=1)
    return _DIGITS.sub(r"\1", _CLUTTER.sub("", named))


def png(spec: Mapping[str, Json], *, scale: float = 2) -> bytes:
    """The chart as PNG on the paper of its own theme, `scale` pixels for each of its own."""
    import vl_convert  # noqa: PLC0415  (memory)

    paper = {**spec, "background": _paper(spec)}
    drawn: bytes = vl_convert.vegalite_to_png(vl_spec=paper, scale=scale, allowed_base_urls=[])
    return drawn


def script() -> str:
    """The JavaScript that draws a spec in a browser: Vega, Vega-Lite and Vega's interpreter of expressions."""
    import vl_convert  # noqa: PLC0415  (memory)

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _paper(spec: Mapping[str, Json]) -> str:
    return DARK["paper"] if f'"{DARK["grid"]}"' in json.dumps(spec.get("config")) else LIGHT["paper"]


def answer(requests: Iterable[str], out: TextIO) -> None:
    """Answers {"spec", "title"}, {"spec", "png": true} or {"script": true}, a line each, with {"drawn"} or {"error"}.

    A PNG is told in base64.
    """
    for request in requests:
        out.write(json.dumps(_answered(request)) + "\n")
        out.flush()


def _answered(request: str) -> dict[str, str]:
    try:
        asked = json.loads(request)
        if asked.get("script"):
            return {"drawn": script()}
        if asked.get("png"):
            return {"drawn": base64.b64encode(png(asked["spec"])).decode()}
        return {"drawn": svg(asked["spec"], asked["title"])}
    except (ValueError, KeyError, RuntimeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    answer(sys.stdin, sys.stdout)
