"""`make run`: vendors, a consumer, hub and two stories, of licenses and of renewals; then all stays up until Ctrl-C.

Everything lives under var/sandbox/, which starts anew each time. Only loopback addresses are used.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import threading
import time
from dataclasses import astuple, dataclass, field
from pathlib import Path

import click
import requests
from rich.console import Console

from hub import runtime, settings, wiring
from hub.errors import ConfigurationError, HubError
from hub.log import configure
from hub.runtime import Process
from hub.store.migrate import upgrade
from hub.wiring import Hub
from sandbox import __main__ as vendors
from sandbox import story
from sandbox.cast import WEEKS
from sandbox.ending import Ending
from sandbox.listener import Listener
from sandbox.stage import Stage
from sandbox.year import Year

CONSOLE_PORT, CONSUMER_PORT = 8000, 8105
READY_S = 60  # a machine may have other work
out = Console(highlight=False, soft_wrap=True)
CONFIG = """\
# Written by `make run`; starts anew each time.
[hub]
public_url = "http://127.0.0.1:{port}"
port = {port}
secret = "file:hub.secret"
database_url = "sqlite:///{folder}/hub.sqlite"
console = "open"      # only here: loopback visitors are logged in

[timing]
settle = 0.2
second_look = 2
poll = 86400          # the story's days last a tenth of a second

[usage]
country = "US"

[outbound]
allow = ["127.0.0.1"]  # consumers on this machine; only here is that usual

[connections.stripe]
kind = "stripe"
base_url = "http://127.0.0.1:{stripe_port}"
api_key = "{stripe_key}"
webhook_secrets = ["{webhook_secret}"]
rate_per_s = 200

[connections.zentitle]
kind = "zentitle"
base_url = "http://127.0.0.1:{zentitle_port}"
token_url = "http://127.0.0.1:{zentitle_port}/realms/sandbox/protocol/openid-connect/token"
tenant_id = "{tenant}"
client_id = "{client}"
client_secret = "{client_secret}"
rate_per_s = 200

[connections.fastspring]
kind = "fastspring"
base_url = "http://127.0.0.1:{fastspring_port}"
username = "{fastspring_user}"
password = "{fastspring_password}"
webhook_secrets = ["{webhook_secret}"]
fulfillment_keys = ["{webhook_secret}"]

[connections.salesforce]
kind = "salesforce"
currency = "USD"
base_url = "http://127.0.0.1:{salesforce_port}"
consumer_key = "sandbox-consumer"
consumer_secret = "sandbox-secret"
rate_per_s = 200

[[catalog]]
stripe = "pro_annual"
sku = "PRO-100"

[[catalog]]
stripe = "pro_monthly"
sku = "PRO-MONTHLY"

[[catalog]]
fastspring = "pro-annual"
sku = "PRO-100"

[[catalog]]
stripe = "atlas_pro"
sku = "ATLAS-PRO"

[[catalog]]
stripe = "atlas_flex"
sku = "ATLAS-FLEX"
overdraft = 10
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where everything listens, on 127.0.0.1."""

    console: int
    stripe: int
    zentitle: int
    fastspring: int
    salesforce: int
    consumer: int


@click.command()
@click.option("--folder", default="var/sandbox", type=click.Path(path_type=Path), show_default=True)
@click.option("--port", default=CONSOLE_PORT, show_default=True, help="The console's port.")
@click.option("--stripe-port", default=vendors.STRIPE_PORT, show_default=True)
@click.option("--zentitle-port", default=vendors.ZENTITLE_PORT, show_default=True)
@click.option("--fastspring-port", default=vendors.FASTSPRING_PORT, show_default=True)
@click.option("--salesforce-port", default=vendors.SALESFORCE_PORT, show_default=True)
@click.option("--consumer-port", default=CONSUMER_PORT, show_default=True)
@click.option("--weeks", default=WEEKS, show_default=True, help="How long the renewals story is; 0: none.")
@click.option("--once", is_flag=True, help="End when the stories have ended.")
def main(
    folder: Path,
    port: int,
    stripe_port: int,
    zentitle_port: int,
    fastspring_port: int,
    salesforce_port: int,
    consumer_port: int,
    weeks: int,
    once: bool,  # noqa: FBT001
) -> None:
    """Run the hub among emulated vendors and play the stories through it."""
    ports = Ports(
        console=port,
        stripe=stripe_port,
        zentitle=zentitle_port,
        fastspring=fastspring_port,
        salesforce=salesforce_port,
        consumer=consumer_port,
    )
    try:
        _run(folder.resolve(), ports, weeks, once=once)
    except (ConfigurationError, HubError, requests.RequestException) as error:
        raise click.ClickException(str(error)) from error


def _run(folder: Path, ports: Ports, weeks: int, *, once: bool) -> None:
    for taken in astuple(ports):
        if runtime.wait_for_port(taken, 0.01):
            raise ConfigurationError(f"port {taken} is in use", mend="end what listens there, or see --help for others")
    webhook_secret = f"whsec_{secrets.token_hex(24)}"
    _write(folder, ports, webhook_secret)
    os.environ["HUB_CONFIG"] = str(folder / "hub.toml")
    hub = wiring.build(settings.load())
    log = (folder / "hub.log").open("a", buffering=1)
    configure("sandbox", to=log)
    upgrade(hub.store)
    listener = Listener(hub, folder / "consumer", ports.consumer)
    processes = [_vendors(ports), listener.process(), Process("hub", runtime.this_hub("up"))]
    for process in processes:
        process.output = log
    stage = Stage(hub.settings, hub.store, webhook_secret, out)
    teller = Teller(hub=hub, stage=stage, listener=listener, folder=folder, weeks=weeks)
    hub.store.close()
    threading.Thread(target=teller.tell, kwargs={"once": once}, daemon=True).start()
    runtime.supervise(processes, until=teller.ended.is_set)
    out.print("[dim]Ended.[/]")
    sys.exit(1 if teller.failed else 0)


def _write(folder: Path, ports: Ports, webhook_secret: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    secret = folder / "hub.secret"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_urlsafe(48))
    text = CONFIG.format(
        folder=folder,
        port=ports.console,
        stripe_port=ports.stripe,
        zentitle_port=ports.zentitle,
        fastspring_port=ports.fastspring,
        fastspring_user=vendors.FASTSPRING_USER,
        fastspring_password=vendors.FASTSPRING_PASSWORD,
        salesforce_port=ports.salesforce,
        stripe_key=vendors.STRIPE_KEY,
        tenant=vendors.ZENTITLE_TENANT,
        client=vendors.ZENTITLE_CLIENT,
        client_secret=vendors.ZENTITLE_SECRET,
        webhook_secret=webhook_secret,
    )
    (folder / "hub.toml").write_text(text)


def _vendors(ports: Ports) -> Process:
    names = ("stripe", "zentitle", "fastspring", "salesforce")
    words = [word for name in names for word in (f"--{name}-port", str(getattr(ports, name)))]
    return Process("vendors", [sys.executable, "-m", "sandbox", *words])


@dataclass(slots=True, kw_only=True)
class Teller:
    """Tells the stories, one after the other, and how they went."""

    hub: Hub
    stage: Stage
    listener: Listener
    folder: Path
    weeks: int
    failed: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def tell(self, *, once: bool) -> None:
        """All of it. Sets `ended` at the end, if it is to be played once."""
        try:
            self._tell()
        except Exception as error:  # noqa: BLE001  # told, and the hub stays up to be looked at
            self.failed = True
            out.print(f"[red bold]The story broke off:[/] {type(error).__name__}: {error}")
        if once:
            self.ended.set()
            return
        out.print(f"\nThe hub stays up: [bold]{self.stage.hub}/[/]. Ctrl-C ends it.")

    def _tell(self) -> None:
        began = time.monotonic()
        self.stage.wait_until_ready(READY_S)
        out.print(
            f"\n[bold]The hub is up[/] after {time.monotonic() - began:.1f} s. Console: [bold]{self.stage.hub}/[/]"
        )
        out.print("[dim]You are logged in there without a password: this console is open, on this machine only.")
        out.print(f"[dim]Logs: {self.folder / 'hub.log'}[/]\n")
        self.stage.connect()
        out.print("[bold]Licenses[/]\n")
        story.play(self.stage, self.listener)
        if self.weeks:
            out.print("\n[bold]Renewals[/] [dim](a year of seat use, a day at a time)[/]\n")
            year = Year(self.stage, self.hub, self.weeks)
            year.play()
            Ending(self.stage, self.hub, year.sold).show(self.folder.parent / "demo" / "account.html")
        out.print(f"\n[dim]All of it took {time.monotonic() - began:.0f} s.[/]")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
