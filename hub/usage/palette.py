"""Colors of charts: the tokens of hub.css, repeated here because a picture in an e-mail has no style sheet.

Text reaches 4.5:1 and lines 3:1 on `paper`; no two things differ by color alone (tests/hub/test_chart.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LIGHT: Mapping[str, str] = MappingProxyType({
    "ink": "#1a1d23", "soft": "#4f5765", "faint": "#626a77", "grid": "#e9ebef", "axis": "#c9cdd5",
    "daily": "#8391a9", "level": "#22304a", "license": "#1f5fbf", "limit": "#7a3ea8", "over": "#c99ee6",
    "fall": "#b3261e", "rise": "#0b6b5f", "tier": "#8a5a00", "holiday": "#efe5cf", "gap": "#eef0f3", "hatch": "#8b94a4",
    "bar": "#1f5fbf", "bar_hot": "#7a3ea8", "paper": "#ffffff",
})  # fmt: skip
DARK: Mapping[str, str] = MappingProxyType({
    "ink": "#e8eaee", "soft": "#adb4c1", "faint": "#979fac", "grid": "#262b34", "axis": "#424957",
    "daily": "#6d7b94", "level": "#dbe4f5", "license": "#77aaf5", "limit": "#c79af0", "over": "#6e4691",
    "fall": "#ff8d82", "rise": "#4cc3ae", "tier": "#e0b35a", "holiday": "#332d1a", "gap": "#1d2129", "hatch": "#6b7482",
    "bar": "#77aaf5", "bar_hot": "#c79af0", "paper": "#15181d",
})  # fmt: skip
THEMES: Mapping[str, Mapping[str, str]] = MappingProxyType({"light": LIGHT, "dark": DARK})
