"""Wanted against held: the actions that make the difference vanish. Pure; knows nothing commercial.

Absolute values at the vendor's precision (whole seconds), so that deciding again after acting gives ().
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hub.domain import (
    Action,
    ChangeOffering,
    Disable,
    Enable,
    Entitlement,
    ExtendGroup,
    License,
    Offering,
    SetTerms,
)
from hub.policy import expiry_of

TERMS = ("seats", "overdraft", "expires_at", "maintenance_until")  # what SetTerms sets


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A wanted license and the entitlement that is to carry it; `to` is set where its offering must change."""

    wanted: License
    held: Entitlement
    to: Offering | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """pairs: what stays; missing: what must be made first; surplus: what nothing pays for any more."""

    pairs: tuple[Pair, ...] = ()
    missing: tuple[License, ...] = ()
    surplus: tuple[Entitlement, ...] = ()


def pair(wanted: Sequence[License], held: Sequence[Entitlement], offerings: Mapping[str, Offering]) -> Plan:
    """Same offering first; then a surplus entitlement that shares a line with a missing license of its product.

    A license that is not to be on is never made: nothing needs to exist to be off.
    """
    rest = {one.id: one for one in sorted(held, key=_keep_first)}
    pairs, missing = [], []
    for license_ in wanted:
        same = next((one for one in rest.values() if one.offering == license_.offering), None)
        if same:
            pairs.append(Pair(wanted=license_, held=rest.pop(same.id)))
        elif license_.enabled is not None:
            missing.append(license_)
    still = []
    for license_ in missing:
        to = offerings.get(license_.offering)
        old = next((one for one in rest.values() if _carries_on(one, license_, to)), None)
        if old:
            pairs.append(Pair(wanted=license_, held=rest.pop(old.id), to=to))
        elif license_.enabled:
            still.append(license_)
    return Plan(pairs=tuple(pairs), missing=tuple(still), surplus=tuple(rest.values()))


def decide(plan: Plan) -> tuple[Action, ...]:
    """The actions for a plan. Missing licenses come alone: what was made is read before its terms are set."""
    if plan.missing and (group := next(iter(_groups(plan)), None)):
        anchor = plan.missing[0]
        skus = tuple(license_.offering for license_ in plan.missing)
        return (ExtendGroup(group_id=group, order_ref=anchor.order_ref, skus=skus),)
    acts: list[Action] = []
    for one in plan.pairs:
        acts.extend(_make_so(one))
    acts.extend(Disable(entitlement_id=one.id) for one in plan.surplus if one.enabled and not one.frozen)
    return tuple(acts)


def shrinking(action: Action, held: Entitlement) -> dict[str, int | datetime | str | bool]:
    """What the action takes away from the entitlement as it is, field -> new value; {} where nothing.

    A switch-off, fewer seats, an earlier end (of the license or its maintenance), another offering. What is off has
    nothing to lose but what brings it back.
    """
    if not held.enabled:
        return {}
    match action:
        case Disable():
            return {"enabled": False}
        case ChangeOffering(sku=sku):
            return {"offering": sku}
        case SetTerms(seats=seats, expires_at=ends, maintenance_until=maintained):
            taken: dict[str, int | datetime | str | bool] = {}
            if seats is not None and seats < held.seats:
                taken["seats"] = seats
            if ends is not None and (held.expires_at is None or ends < held.expires_at):
                taken["expires_at"] = ends
            if maintained is not None and held.maintenance_until is not None and maintained < held.maintenance_until:
                taken["maintenance_until"] = maintained
            return taken
    return {}


def after(action: Action, held: Entitlement) -> Entitlement:
    """The entitlement as it stands once `action` is done."""
    values = {name: getattr(held, name) for name in Entitlement.__dataclass_fields__}
    match action:
        case SetTerms():
            new = {name: getattr(action, name) for name in TERMS}
            values.update({name: value for name, value in new.items() if value is not None})
        case ChangeOffering(offering_id=offering_id, sku=sku):
            values.update(offering_id=offering_id, offering=sku)
        case Enable():
            values.update(enabled=True)
        case Disable():
            values.update(enabled=False)
    return Entitlement(**values)


def whole_seconds(moment: datetime | None) -> datetime | None:
    """`moment` at the precision that Zentitle2 keeps."""
    return moment.replace(microsecond=0) if moment else None


def _make_so(one: Pair) -> list[Action]:
    held, wanted = one.held, one.wanted
    if held.frozen:
        return []
    acts: list[Action] = []
    if held.enabled and wanted.enabled is False:
        acts.append(Disable(entitlement_id=held.id))
    if one.to is not None:
        acts.append(
            ChangeOffering(entitlement_id=held.id, offering_id=one.to.id, sku=one.to.sku, force=_below_use(one))
        )
    if terms := _terms(one):
        acts.append(terms)
    if wanted.enabled and not held.enabled:
        acts.append(Enable(entitlement_id=held.id))
    return acts


def _terms(one: Pair) -> SetTerms | None:
    """What differs; after a change of offering everything is set again, for that restarts the term."""
    wanted, held, again = one.wanted, one.held, one.to is not None
    expires = whole_seconds(expiry_of(wanted, held))
    seats = wanted.seats if again or wanted.seats != held.seats else None
    overdraft = wanted.overdraft if again or wanted.overdraft != held.overdraft else None
    expires = expires if again or expires != whole_seconds(held.expires_at) else None
    maintained = whole_seconds(wanted.maintenance_until)
    maintained = maintained if again or maintained != whole_seconds(held.maintenance_until) else None
    if (seats, overdraft, expires, maintained) == (None, None, None, None):
        return None
    return SetTerms(
        entitlement_id=held.id,
        expires_at=expires,
        seats=seats,
        overdraft=overdraft,
        maintenance_until=maintained,
        force=seats is not None and seats < held.seats_used,
    )


def _below_use(one: Pair) -> bool:
    return one.held.seats_used > (one.wanted.seats or 1)


def _carries_on(old: Entitlement, license_: License, to: Offering | None) -> bool:
    return to is not None and old.product_id == to.product_id and not set(old.lines).isdisjoint(license_.lines)


def _groups(plan: Plan) -> list[str]:
    return [one.held.group_id for one in plan.pairs] + [one.group_id for one in plan.surplus]


def _keep_first(one: Entitlement) -> tuple[bool, bool, str, str]:
    """Of doubled entitlements the one in use is kept, else the one that is on, else the oldest."""
    return (one.seats_used == 0, not one.enabled, str(one.created_at or ""), one.id)
