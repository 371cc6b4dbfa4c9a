"""The tenant's webhook listener for the hub's address: registers it, and says whether it is there.

A listener has an address and event codes, nothing else (OpenAPI of 2024-01-01, Webhooks_*; scope webhooks:admin).
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.zentitle.client import Client, ListenerModel
from connectors.zentitle.webhook import EVENTS
from hub.errors import PermanentError, UnknownResult
from hub.ports import Finding


class Listening:
    """One connection's listener at the vendor. `url` is where the hub takes this connection's webhooks."""

    def __init__(self, name: str, client: Client) -> None:
        self._name, self._client = name, client

    def register(self, url: str) -> Sequence[Finding]:
        """One listener sends every event to `url`. Repeatable: what is there is found first, and only completed."""
        try:
            return [self._registered(url), *self._doubled(url)]
        except PermanentError as error:
            mend = (
                "give the API client webhooks:admin and run this again, or add it by hand: Administration > Webhooks > "
                f"Add Webhook, {url}, all {len(EVENTS)} events"
            )
            return [self._finding("warning", f"could not be registered: {error}", mend)]
        except UnknownResult as error:
            again = f"run hub connect {self._name} again: it looks first"
            return [self._finding("warning", f"nobody knows whether it was registered: {error}", again)]

    def check(self, url: str) -> Sequence[Finding]:
        """Whether every event is sent to `url`. Writes nothing."""
        try:
            found = self._listeners(url)
        except PermanentError as error:
            told = f"whether Zentitle2 sends to {url} can't be read (scope webhooks:admin): {error}"
            return [self._finding("ok", told, "")]
        mend = f"hub connect {self._name}"
        if not found:
            return [
                self._finding("warning", f"no listener sends to {url}: changes there are seen by sweeps alone", mend)
            ]
        if missing := _missing(found):
            return [self._finding("warning", f"the listener leaves out: {', '.join(missing)}", mend)]
        return [*self._doubled(url)] or [self._finding("ok", f"every event is sent to {url}", "")]

    def _registered(self, url: str) -> Finding:
        found = self._listeners(url)
        if not found:
            self._client.create_listener(url, [*EVENTS])
            return self._finding("ok", f"registered: every event is sent to {url}", "")
        if missing := _missing(found):
            wanted = dict.fromkeys([*found[0].subscriptions, *EVENTS])
            self._client.replace_listener(found[0].id, url, [*wanted])
            return self._finding("ok", f"the listener for {url} was completed by: {', '.join(missing)}", "")
        return self._finding("ok", f"every event is sent to {url}", "")

    def _listeners(self, url: str) -> Sequence[ListenerModel]:
        return [one for one in self._client.listeners() if one.uri.rstrip("/") == url]

    def _doubled(self, url: str) -> Sequence[Finding]:
        count = len(self._listeners(url))
        if count <= 1:
            return ()
        mend = "leave one of them in Administration > Webhooks"
        return [self._finding("warning", f"{count} listeners send to {url}, so that each event comes as often", mend)]

    def _finding(self, level: str, problem: str, mend: str) -> Finding:
        return Finding(level=level, about=f"{self._name} webhook", problem=problem, mend=mend)


def _missing(found: Sequence[ListenerModel]) -> Sequence[str]:
    """The codes that no listener has."""
    subscribed = {code for one in found for code in one.subscriptions}
    return [code for code in EVENTS if code not in subscribed]
