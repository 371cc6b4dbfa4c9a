"""How the renewals story ends: Salesforce is told, and the pages to open are named."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hub import showing
from hub.runtime import this_hub
from hub.store import snapshots
from hub.usage.signal import Signal
from hub.wiring import Hub
from sandbox import account_page
from sandbox.stage import Stage
from sandbox.year import Sold

PUSH_S = 60
LINK_DAYS = 90


class Ending:
    """What there is to be seen."""

    def __init__(self, stage: Stage, hub: Hub, sold: Sequence[Sold]) -> None:
        self._stage, self._hub, self._sold = stage, hub, sold

    def show(self, page: Path) -> None:
        """Pushes to the emulated Salesforce, writes the Account's page, and prints what to open."""
        self._push()
        one = next((one for one in self._sold if one.part.signal == Signal.AT_RISK), None)
        if one is None:
            return
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(account_page.render(account_page.Org(self._stage.salesforce), one.crm_account), "utf-8")
        account, base = self._account(one), self._stage.hub
        link = showing.link(self._hub, account, LINK_DAYS, "story")
        rows = [
            ("Whom to call: the board", f"{base}/renewals"),
            (f"What to say: {one.part.name}", f"{base}/accounts/{account}"),
            ("How many of each", f"{base}/portfolio"),
            ("What the customer sees of its use", link.url if link else "nothing was judged yet"),
            ("The Account in Salesforce", page.resolve().as_uri()),
            ("The stream, as a consumer reads it", "hub events tail --type usage.signal.changed"),
        ]
        self._stage.out.print("\n[bold]Open[/]")
        for what, where in rows:
            self._stage.out.print(f"  {what:<36} {where}")
        self._stage.out.print(f"  [dim]for commands: export HUB_CONFIG={self._hub.settings.path}[/]")

    def _push(self) -> None:
        self._stage.say("Salesforce gets our fields, and what they say of each Account and renewal.")
        told = self._salesforce("install").splitlines()
        self._stage.out.print(f"     [dim]hub salesforce install:[/] {told[-1] if told else ''}")
        counts = Counter(one["outcome"] for one in json.loads(self._salesforce("push", "--json") or "[]"))
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
        self._stage.out.print(f"     [dim]hub salesforce push:[/] {said}")

    @staticmethod
    def _salesforce(*words: str) -> str:
        command = this_hub("salesforce", *words)
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=PUSH_S).stdout.strip()

    def _account(self, one: Sold) -> str:
        with self._hub.store.read() as conn:
            return snapshots.find_all(conn, [one.entitlement])[one.entitlement].entitlement.customer_id
