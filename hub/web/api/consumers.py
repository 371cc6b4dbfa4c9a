"""Endpoints, their deliveries, and REST hooks, which are endpoints that are made and ended by an automation tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import RootModel
from sqlalchemy import Connection, Row

from hub.errors import PermanentError
from hub.outbound import samples
from hub.outbound.endpoints import PARTS, Wish
from hub.outbound.filters import Filter, is_of
from hub.store import outbound
from hub.store.outbound import Again
from hub.stream import catalog
from hub.web.api import models
from hub.web.api.licenses import missing, page, place_of
from hub.web.api.models import at

if TYPE_CHECKING:
    from hub.web.api.route import Call


class Samples(RootModel[list[models.Event]]):
    """Messages as a hook would get them."""


def endpoints(call: Call) -> models.Page[models.Endpoint]:
    """Every endpoint, the oldest first."""
    asked: models.Listed = call.query
    begin = int(place_of(call) or 0)
    with call.hub.store.read() as conn:
        found = outbound.endpoints(conn)
    end = begin + asked.limit
    return page(call, found[begin:end], as_model, str(end) if len(found) > end else None)


def endpoint(call: Call) -> models.Endpoint:
    """One endpoint."""
    with call.hub.store.read() as conn:
        return as_model(_found(conn, call.path["endpoint"]))


def add(call: Call) -> models.Added:
    """Sends the stream there from now on."""
    said = _said(call.body)
    filter_ = Filter(**{name: said.pop(name) for name in PARTS if name in said})
    id_, secret = call.hub.office.endpoints.add(Wish(filter=filter_, **said), call.by, once=call.once)
    return models.Added(id=id_, secret=secret)


def change(call: Call) -> models.Endpoint:
    """Makes of an endpoint what is named another; the rest, its secret too, stays."""
    body: models.Changed = call.body
    if not body.model_fields_set:
        raise PermanentError(
            "say what is to be another", hint=f"one or more of {', '.join(models.Changed.model_fields)}"
        )
    id_ = call.path["endpoint"]
    call.hub.office.endpoints.change(id_, _said(body), call.by)
    return endpoint(call)


def _said(body: models.Wanted) -> dict[str, Any]:
    """What the body names, lists as tuples."""
    said = {name: getattr(body, name) for name in body.model_fields_set}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}


def remove(call: Call) -> None:
    """It is gone, with its secrets."""
    call.hub.office.endpoints.remove(call.path["endpoint"], call.by)


def enable(call: Call) -> models.Enabled:
    """Sends again, what came meanwhile or not."""
    body: models.Enable = call.body
    skipped = call.hub.office.endpoints.enable(call.path["endpoint"], call.by, skip=body.gap == "skip")
    call.hub.bell.ring("delivery")
    return models.Enabled(state="enabled", skipped=skipped)


def disable(call: Call) -> models.Disabled:
    """Sends nothing until it is enabled, and loses nothing."""
    call.hub.office.endpoints.disable(call.path["endpoint"], call.by)
    return models.Disabled(state="disabled")


def rotate(call: Call) -> models.Secret:
    """A new secret; the former signs, too, for a while."""
    body: models.Rotate = call.body
    overlap_s = body.overlap_hours * 3600
    return models.Secret(secret=call.hub.office.endpoints.rotate(call.path["endpoint"], call.by, overlap_s))


def replay(call: Call) -> models.Resent:
    """Sends messages again under their ids."""
    body: models.Resend = call.body
    if not any(getattr(body, name) for name in models.Resend.model_fields):
        raise PermanentError("say which", hint=f"one or more of {', '.join(models.Resend.model_fields)}")
    which = Again(
        ids=tuple(body.ids),
        since=body.since.timestamp() if body.since else None,
        until=body.until.timestamp() if body.until else None,
        types=tuple(body.types),
        failed=body.failed,
    )
    done = call.hub.office.endpoints.again(call.path["endpoint"], which, call.by)
    call.hub.bell.ring("delivery")
    return models.Resent(messages=done)


def test(call: Call) -> models.Answered:
    """Sends a sample of one type now, signed as its messages are, and says what was answered."""
    body: models.Sample = call.body
    with call.hub.store.read() as conn:
        of = _found(conn, call.path["endpoint"])
    answer = samples.send_one(call.hub.office, of, body.type)
    taken = answer.status is not None and 200 <= answer.status < 300  # noqa: PLR2004
    return models.Answered(
        type=body.type, taken=taken, status=answer.status, error=answer.error, seconds=round(answer.seconds, 3)
    )


def deliveries(call: Call) -> models.Page[models.Delivery]:
    """What was sent to an endpoint, newest first."""
    asked: models.Deliveries = call.query
    place = place_of(call)
    with call.hub.store.read() as conn:
        of = _found(conn, call.path["endpoint"])
        rows = outbound.deliveries(conn, of.id, asked.state or "", int(place) if place else None, asked.limit + 1)
        shown = [(row, outbound.attempts(conn, row.id)) for row in rows[: asked.limit]]
    more = str(rows[asked.limit - 1].position) if len(rows) > asked.limit else None
    return page(call, shown, _delivery, more)


def _delivery(told: tuple[Row[Any], list[Row[Any]]]) -> models.Delivery:
    row, attempts = told
    return models.Delivery(
        event=row.event_id,
        type=row.type,
        position=row.position,
        state=row.state,
        next_at=at(row.next_at) if row.state == outbound.PENDING else None,
        attempts=[_attempt(one) for one in attempts],
    )


def _attempt(row: Row[Any]) -> models.Attempt:
    names = ("number", "seconds", "status", "error", "response")
    when: Any = at(row.at)
    return models.Attempt(at=when, **{name: getattr(row, name) for name in names})


def as_model(of: outbound.Endpoint) -> models.Endpoint:
    """An endpoint without its secrets, and of its headers the names."""
    state: Any = of.state
    return models.Endpoint(
        id=of.id,
        url=of.url,
        description=of.description,
        state=state,
        because=of.because,
        types=list(of.filter.types),
        connections=list(of.filter.connections),
        customers=list(of.filter.customers),
        condition=of.filter.condition,
        headers=list(of.header_names),
        version=of.version,
        ordered=of.ordered,
        rate_per_s=of.rate_per_s,
        position=of.cursor,
        failures=of.health.failures,
        failing_since=at(of.health.failing_since),
        untold=of.untold,
        untold_because=of.untold_because,
    )


def _found(conn: Connection, id_: str) -> outbound.Endpoint:
    found = outbound.endpoint(conn, id_)
    if found is None:
        raise missing("endpoint", id_)
    return found


# -- REST hooks


def subscribe(call: Call) -> models.Hook:
    """An endpoint for one type or family, which goes for good once its URL answers 410."""
    body: models.NewHook = call.body
    _samples(body.event)
    types = () if body.event == "*" else (body.event,)
    wish = Wish(url=body.target_url, description="REST hook", filter=Filter(types=types), hook=True)
    id_, _ = call.hub.office.endpoints.add(wish, call.by, once=call.once)
    return models.Hook(id=id_, target_url=body.target_url, event=body.event)


def unsubscribe(call: Call) -> None:
    """The subscription is over."""
    call.hub.office.endpoints.remove(call.path["hook"], call.by)


def hook_samples(call: Call) -> Samples:
    """Newest messages of a type or family, else examples: what a tool shows to whoever builds a flow."""
    asked: models.SamplesOf = call.query
    return Samples.model_validate(_samples(asked.event))


def _samples(event: str) -> list[dict[str, Any]]:
    """An example of each type that `event` names; PermanentError where it names none."""
    found = [dict(one.example) for one in catalog.types() if is_of(str(one.example["type"]), [event])]
    found += [dict(one.example) for one in catalog.types() if not found and is_of(event, [one.name])]
    if not found:
        names = ", ".join(one.name for one in catalog.types())
        raise PermanentError(f"there is no type {event[:100]!r}", hint=f"* for all, or one of {names}")
    return found
