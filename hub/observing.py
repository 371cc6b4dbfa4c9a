"""`hub up --observe`: real keys, reads only, a record of its own; what the hub would do on this account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from hub import drain, settings, sweep, wiring
from hub.errors import ConfigurationError
from hub.store.migrate import upgrade
from hub.store.schema import subject


def observe(folder: Path = Path("var")) -> list[dict[str, Any]]:
    """Reads every purchase, compares, and gives (subject, would do) of all that the hub would change or not map.

    Writes nothing outside `folder`/observe.sqlite, which it starts anew.
    """
    config = settings.load()
    database = folder / "observe.sqlite"
    for suffix in ("", "-wal", "-shm", ".lock"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    section = config.hub.model_copy(update={"database_url": f"sqlite:///{database}"})
    hub = wiring.build(config.model_copy(update={"hub": section}), observe=True)
    upgrade(hub.store)
    wiring.start(hub)
    readable = {name: one for name, one in hub.connectors.items() if one.purchases and one.purchases.can_read}
    if not readable:
        raise ConfigurationError("no connection has an API key, so there is nothing to read", mend="set api_key")
    for connector in readable.values():
        sweep.sweep(hub.shop, connector)
    while drain.drain(hub.shop, hub.bell, hub.settings.hub.look_threads):
        pass
    return _told(hub)


def _told(hub: wiring.Hub) -> list[dict[str, Any]]:
    with hub.store.read() as conn:
        rows = conn.execute(select(subject).order_by(subject.c.ref)).all()
    quiet = ("nothing to change", "nothing to license", "nothing is granted")
    return [
        {"subject": row.ref, "would do": row.summary or row.reason}
        for row in rows
        if not (row.state == "idle" and (row.summary or "").startswith(quiet))
    ]
