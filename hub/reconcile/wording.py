"""Actions and reasons in words, for people: in the journal, on pages and in notes. Pure."""

from __future__ import annotations

from hub.decide import TERMS
from hub.domain import (
    Action,
    Change,
    ChangeOffering,
    CreateCustomer,
    CreateGroup,
    Disable,
    Entitlement,
    ExtendGroup,
    Json,
    License,
    Reason,
    SetTerms,
)


def in_words(action: Action, held: Entitlement | None = None) -> str:  # noqa: PLR0911  (a table)
    """What an action does: `seats 15 → 20`."""
    match action:
        case CreateCustomer(account_ref=ref):
            return f"customer {ref} created"
        case CreateGroup(skus=skus):
            return f"license created: {', '.join(skus)}"
        case ExtendGroup(skus=skus):
            return f"license extended by {', '.join(skus)}"
        case SetTerms():
            return ", ".join(_terms_in_words(action, held))
        case ChangeOffering(sku=sku):
            return f"offering {held.offering} → {sku}" if held else f"offering → {sku}"
        case Disable():
            return "switched off"
    return "switched on"


def license_in_words(license_: License) -> str:
    """A license that is to be made."""
    seats = f"{license_.seats} seats" if license_.seats is not None else "the offering's seats"
    until = f", expires {license_.expires_at:%d %b %Y}" if license_.expires_at else ""
    return f"license created: {license_.offering}, {seats}{until}"


def _terms_in_words(action: SetTerms, held: Entitlement | None) -> list[str]:
    words = []
    if action.seats is not None:
        words.append(f"seats {held.seats if held else '?'} → {action.seats}")
    if action.overdraft is not None:
        words.append(f"overdraft → {action.overdraft}")
    if action.expires_at is not None:
        words.append(f"expires {action.expires_at:%d %b %Y}")
    if action.maintenance_until is not None:
        words.append(f"maintenance until {action.maintenance_until:%d %b %Y}")
    return words


def sentence(words: str, action: Change, license_: License | None) -> str:
    """The words, with their reasons."""
    reasons = [one["because"] for one in why_of(action, license_).values() if isinstance(one, dict)]
    return f"{words}, because {'; '.join(str(one) for one in reasons)}" if reasons else words


def reasons_of(license_: License | None) -> dict[str, Json]:
    """Field -> rule, because, lines; None: an entitlement that nothing pays for."""
    if license_ is None:
        return {"enabled": {"rule": "surplus", "because": "no line of the purchase pays for it any more", "lines": []}}
    return {name: why(reason) for name, reason in license_.reasons.items()}


def why(reason: Reason) -> dict[str, Json]:
    """A reason as JSON."""
    return {"rule": reason.rule, "because": reason.because, "lines": list(reason.lines)}


def why_of(action: Change, license_: License | None) -> dict[str, Json]:
    """The reasons of the fields that an action sets."""
    reasons = reasons_of(license_)
    return {name: reasons[name] for name in fields_of(action) if name in reasons}


def fields_of(action: Change) -> list[str]:
    """The fields of an entitlement that an action sets."""
    match action:
        case SetTerms():
            return [name for name in TERMS if getattr(action, name) is not None]
        case ChangeOffering():
            return ["offering"]
    return ["enabled"]
