"""`hub sandbox`: all emulated vendors in one process, on one business clock, on 127.0.0.1."""

from __future__ import annotations

import threading

import click

from connectors.emulation import Clock, Emulator, server
from connectors.fastspring.emulator import FastSpringEmulator
from connectors.salesforce.emulator import SalesforceEmulator
from connectors.stripe.emulator import StripeEmulator
from connectors.zentitle.emulator import ZentitleEmulator
from hub.stopping import set_by_signals

STRIPE_PORT, ZENTITLE_PORT, SALESFORCE_PORT, FASTSPRING_PORT = 8101, 8102, 8103, 8104
STRIPE_KEY = "sk_test_sandbox"
FASTSPRING_USER, FASTSPRING_PASSWORD = "sandbox", "sandbox-password"
ZENTITLE_TENANT, ZENTITLE_CLIENT, ZENTITLE_SECRET = "t_sandbox", "hub", "sandbox-secret"


@click.command()
@click.option("--stripe-port", default=STRIPE_PORT, show_default=True)
@click.option("--zentitle-port", default=ZENTITLE_PORT, show_default=True)
@click.option("--salesforce-port", type=int, help="A bare emulated Salesforce org too, on this port (8103, say).")
@click.option("--fastspring-port", default=FASTSPRING_PORT, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Ids and faults repeat with it.")
@click.option("--legacy", is_flag=True, help="Stripe speaks in the shapes of before 2025.")
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as JSON.")
def main(
    stripe_port: int,
    zentitle_port: int,
    salesforce_port: int | None,
    fastspring_port: int,
    seed: int,
    legacy: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Run the emulated vendors until Ctrl-C. Each has admin calls under /_sandbox/ (clock, faults, state)."""
    clock = Clock()
    stripe = StripeEmulator(clock, api_key=STRIPE_KEY, shape="legacy" if legacy else "current", seed=seed)
    fastspring = FastSpringEmulator(clock, username=FASTSPRING_USER, password=FASTSPRING_PASSWORD, seed=seed)
    vendors: list[tuple[str, Emulator, int]] = [
        ("stripe", stripe, stripe_port),
        ("zentitle", ZentitleEmulator(clock, seed=seed), zentitle_port),
        ("fastspring", fastspring, fastspring_port),
    ]
    stop = threading.Event()
    set_by_signals(stop)
    if salesforce_port is not None:
        vendors.append(("salesforce", SalesforceEmulator(clock, installed=False), salesforce_port))
    urls = {name: _serve(app, port) for name, app, port in vendors}
    click.echo(_as_json(urls) if as_json else "\n".join(f"{name}: {url}" for name, url in urls.items()))
    stop.wait()


def _serve(app: Emulator, port: int) -> str:
    try:
        httpd = server(app, port)
    except OSError as error:
        raise click.ClickException(
            f"port {port} of 127.0.0.1 can't be used: {error.strerror}; choose another"
        ) from None
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{httpd.port}"


def _as_json(urls: dict[str, str]) -> str:
    import json  # noqa: PLC0415

    return json.dumps(urls)


if __name__ == "__main__":
    main()
