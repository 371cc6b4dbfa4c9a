"""`make run`: vendors, hub and a short story on this machine; then all stays up until Ctrl-C.

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
from collections.abc import Mapping
from pathlib import Path

import click
import requests
from rich.console import Console

from hub import runtime, settings, wiring
from hub.errors import ConfigurationError, HubError
from hub.log import configure
from hub.runtime import Process
from hub.store.migrate import upgrade
from sandbox import __main__ as vendors
from sandbox.story import Story

CONSOLE_PORT = 8000
READY_S = 20
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
"""


@click.command()
@click.option("--folder", default="var/sandbox", type=click.Path(path_type=Path), show_default=True)
@click.option("--port", default=CONSOLE_PORT, show_default=True, help="The console's port.")
@click.option("--stripe-port", default=vendors.STRIPE_PORT, show_default=True)
@click.option("--zentitle-port", default=vendors.ZENTITLE_PORT, show_default=True)
@click.option("--fastspring-port", default=vendors.FASTSPRING_PORT, show_default=True)
@click.option("--once", is_flag=True, help="End when the story has ended.")
def main(
    folder: Path,
    port: int,
    stripe_port: int,
    zentitle_port: int,
    fastspring_port: int,
    once: bool,  # noqa: FBT001
) -> None:
    """Run the hub among emulated vendors and play a story through it."""
    try:
        ports = {"stripe": stripe_port, "zentitle": zentitle_port, "fastspring": fastspring_port}
        _run(folder.resolve(), port, ports, once=once)
    except (ConfigurationError, HubError, requests.RequestException) as error:
        raise click.ClickException(str(error)) from error


def _run(folder: Path, port: int, ports: Mapping[str, int], *, once: bool) -> None:
    for taken in (port, *ports.values()):
        if runtime.wait_for_port(taken, 0.01):
            raise ConfigurationError(f"port {taken} is in use", mend="end what listens there, or see --help for others")
    webhook_secret = f"whsec_{secrets.token_hex(24)}"
    _write(folder, port, ports, webhook_secret)
    os.environ["HUB_CONFIG"] = str(folder / "hub.toml")
    hub = wiring.build(settings.load())
    configure("sandbox")
    upgrade(hub.store)
    processes = [_vendors(ports), *runtime.hub_processes(hub)]
    log = (folder / "hub.log").open("ab")
    for process in processes:
        process.output = log
    ended = threading.Event()
    story = Story(hub.settings, hub.store, webhook_secret, out)
    teller = threading.Thread(target=_tell, args=(story, folder, port, ended), kwargs={"once": once}, daemon=True)
    hub.store.close()
    teller.start()
    runtime.supervise(processes, until=ended.is_set)
    out.print("[dim]Ended.[/]")
    sys.exit(1 if story.failed else 0)


def _write(folder: Path, port: int, ports: Mapping[str, int], webhook_secret: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    secret = folder / "hub.secret"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_urlsafe(48))
    text = CONFIG.format(
        folder=folder,
        port=port,
        **{f"{name}_port": number for name, number in ports.items()},
        fastspring_user=vendors.FASTSPRING_USER,
        fastspring_password=vendors.FASTSPRING_PASSWORD,
        stripe_key=vendors.STRIPE_KEY,
        tenant=vendors.ZENTITLE_TENANT,
        client=vendors.ZENTITLE_CLIENT,
        client_secret=vendors.ZENTITLE_SECRET,
        webhook_secret=webhook_secret,
    )
    (folder / "hub.toml").write_text(text)


def _vendors(ports: Mapping[str, int]) -> Process:
    words = [word for name, number in ports.items() for word in (f"--{name}-port", str(number))]
    return Process("vendors", [sys.executable, "-m", "sandbox", *words])


def _tell(story: Story, folder: Path, port: int, ended: threading.Event, *, once: bool) -> None:
    began = time.monotonic()
    try:
        story.wait_until_ready(READY_S)
        out.print(
            f"\n[bold]The hub is up[/] after {time.monotonic() - began:.1f} s. Console: [bold]http://127.0.0.1:{port}/[/]"
        )
        out.print("[dim]You are logged in there without a password: this console is open, on this machine only.")
        out.print(f"[dim]Logs: {folder / 'hub.log'}[/]\n")
        story.play()
    except Exception as error:  # noqa: BLE001  # told, and the hub stays up to be looked at
        story.failed = True
        out.print(f"[red bold]The story broke off:[/] {type(error).__name__}: {error}")
    if once:
        ended.set()
        return
    if not story.failed:
        out.print(f"\nThe hub stays up: [bold]http://127.0.0.1:{port}/[/]. Ctrl-C ends it.")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
