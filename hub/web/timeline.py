"""A subject's journal as looks: which events led to a look, what it saw, wanted, found and did. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row

from hub.web.show import day, field_name, seats, sentence

CAUSES = {
    "event": "an event came in",
    "second look": "the second look, in case the vendor's answer lags its own event",
    "verify": "a check of what had been in doubt",
    "window": "the time in which a create may still arrive was over",
    "retry": "a retry",
    "refused": "a retry of what was refused",
    "sweep": "the sweep found a difference",
    "replay": "a replay",
    "asked": "somebody asked for it",
    "asked again": "somebody asked for all that were dead",
    "approved": "it was approved",
    "group": "its group was changed",
    "customer": "its customer was changed",
    "list": "the list of entitlements showed a difference",
    "waiting": "what it waited for",
    "busy": "another purchase of the customer was worked on",
    "hold": "the vendor asked for a pause",
}
CREATES = {"CreateGroup": "License created", "ExtendGroup": "License extended"}
ACTIONS = {"SetTerms": "Terms set", "ChangeOffering": "Offering changed", "CreateCustomer": "Customer created"}
SWITCHES = {"Disable": "Switched off", "Enable": "Switched on"}
ENDINGS = {"begun": "{}: under way", "unknown": "{}? No answer came", "refused": "{}: refused", "held": "{}: held back"}
VERDICTS = {  # outcome -> badge class, symbol, word; the worst of a look is shown
    "begun": ("badge-warn", "i-clock", "Under way"),
    "unknown": ("badge-warn", "i-clock", "No answer"),
    "refused": ("badge-bad", "i-dead", "Refused"),
    "held": ("badge-warn", "i-hold", "Held"),
    "done": ("badge-good", "i-check", "Changed"),
    "found": ("badge-good", "i-check", "Found done"),
    "observed": ("", "i-eye", "Observed"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One change of a look, in words."""

    action: str
    outcome: str
    words: str
    because: tuple[tuple[str, str], ...]  # (sentence, rule)
    diffs: tuple[tuple[str, str, str], ...]  # (field, before, after)
    call: Mapping[str, Any] | None
    entitlement: str | None
    at: float


@dataclass(slots=True, kw_only=True)
class LookBlock:
    """One look. `receipts` came in since the look before it; `extra` of them are not listed."""

    id: str
    at: float
    cause: str
    version: str
    observation: Any = None
    saw: str = ""  # the hash of what was seen, where the journal has nothing of the look
    deeds: list[Deed] = field(default_factory=list)
    receipts: list[Any] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What the look did."""
        if not self.deeds:
            return "Something new was seen; nothing was written"
        done = [deed.words for deed in self.deeds if deed.outcome in {"done", "found"}]
        return "; ".join(
            dict.fromkeys(done or [ENDINGS.get(one.outcome, "{}").format(one.words) for one in self.deeds])
        )

    @property
    def verdict(self) -> tuple[str, str, str]:
        """Badge class, symbol and word."""
        if not self.deeds:
            return ("", "i-same", "No change")
        outcomes = {deed.outcome for deed in self.deeds}
        return next((badge for outcome, badge in VERDICTS.items() if outcome in outcomes), VERDICTS["observed"])


def looks(
    changes: Sequence[Row[Any]],
    receipts: Sequence[Any],
    observations: Mapping[str, Any],
    seen: Sequence[Any] = (),
) -> list[LookBlock]:
    """The looks of a journal (newest first, as `changes` are), each with the receipts that led to it.

    `seen` (hash, seen_at): what was seen first and led to no change of the journal becomes a quiet look.
    """
    blocks: dict[str, LookBlock] = {}
    for row in changes:
        block = blocks.setdefault(row.look, _block(row, observations))
        block.at = min(block.at, row.at)
        block.deeds.insert(0, _deed(row))
    ordered = [*blocks.values(), *_quiet(changes, seen)]
    ordered.sort(key=lambda block: block.at, reverse=True)
    for receipt in receipts:
        later = [block for block in ordered if block.at >= receipt.received_at]
        if later:
            later[-1].receipts.append(receipt)
    return ordered


def _quiet(changes: Sequence[Row[Any]], seen: Sequence[Any]) -> list[LookBlock]:
    """Looks that saw something new and changed nothing; only as far back as the journal shown reaches."""
    told = {row.observation for row in changes}
    oldest = min((row.at for row in changes), default=0.0)
    new = [one for one in seen if one.hash not in told and one.seen_at >= oldest]
    cause = "something had come in, or a sweep found a difference"
    return [LookBlock(id=one.hash, at=one.seen_at, cause=cause, version="", saw=one.hash) for one in new]


def since(blocks: Sequence[LookBlock], receipts: Sequence[Any]) -> list[Any]:
    """Accepted receipts that came in after the newest of these looks."""
    newest = max((block.at for block in blocks), default=0.0)
    return [receipt for receipt in receipts if receipt.received_at > newest and receipt.outcome == "accepted"]


def in_words(action: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """What an action makes true, as people say it."""
    if action in CREATES:
        skus = ", ".join(wanted.get("skus") or [])
        return CREATES[action] + (f": {skus}" if skus else "")
    match action:
        case "CreateCustomer":
            return f"Customer {wanted.get('name') or wanted.get('account_ref', '')} created"
        case "ChangeOffering":
            return f"Offering {found.get('offering', '?')} → {wanted.get('sku', '?')}"
        case "SetTerms":
            return sentence(", ".join(_term(name, value, found.get(name)) for name, value in wanted.items()))
    return SWITCHES.get(action, action)


def action_name(action: str) -> str:
    """An action by a name that people know."""
    return ACTIONS.get(action) or CREATES.get(action) or SWITCHES.get(action) or action


def _term(name: str, value: Any, before: Any) -> str:  # noqa: ANN401  (JSON)
    if name == "expires_at":
        return f"expires {day(value)}"
    return f"{field_name(name).lower()} {before if before is not None else 'none'} → {value}"


def _block(row: Row[Any], observations: Mapping[str, Any]) -> LookBlock:
    return LookBlock(
        id=row.look,
        at=row.at,
        cause=CAUSES.get(row.cause, row.cause),
        version=row.catalog_version,
        observation=observations.get(row.observation or ""),
    )


def _deed(row: Row[Any]) -> Deed:
    return Deed(
        action=row.action,
        outcome=row.outcome,
        words=in_words(row.action, row.wanted, row.found),
        because=tuple((why["because"], why["rule"]) for why in row.why.values()),
        diffs=tuple(_diffs(row.action, row.wanted, row.found)),
        call=row.call,
        entitlement=row.entitlement,
        at=row.at,
    )


def _diffs(action: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    if action == "ChangeOffering":
        return [("Offering", str(found.get("offering", "")), str(wanted.get("sku", "")))]
    if action not in {"SetTerms", "Enable", "Disable"}:
        return []
    return [(field_name(name), shown(name, found.get(name)), shown(name, value)) for name, value in wanted.items()]


def shown(name: str, value: Any) -> str:  # noqa: ANN401  (JSON)
    """A field's value as people read it."""
    if name == "expires_at":
        return day(value) if value else "never"
    if name == "enabled":
        return "On" if value else "Off"
    if name in {"seats", "overdraft"}:
        return "none" if value is None else seats(value)
    return "none" if value is None else str(value)
