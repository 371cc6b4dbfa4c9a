"""A short story of licenses: what people do at the vendors, and what becomes of their licenses."""

from __future__ import annotations

from sandbox.listener import Listener
from sandbox.stage import Stage


def play(stage: Stage, listener: Listener) -> None:
    """Three customers, a year and two days; raises StoryError where a license is not what it should be."""
    endpoint = listener.subscribe()
    stage.out.print(f"[dim]What becomes of licenses is also sent, signed, to a small consumer:[/] {listener.url}\n")
    annual = stage.price("pro_annual", 9900, "year")
    monthly = stage.price("pro_monthly", 1200, "month")

    stage.say("Brightwater Labs buys Pro for a year, 20 seats.")
    brightwater, first = stage.buy("Brightwater Labs", annual, 20)
    stage.expect(first, seatCount=20, disabled=False)

    stage.say("Three people at Brightwater activate a seat.")
    seats = ["ada", "grace", "edsger"]
    stage.admin(stage.zentitle, "activate", orderRefId=f"stripe:{first}", seatIds=seats)
    stage.expect(first, seatsUsed=3)

    stage.say("Brightwater adds 5 seats. The consumer's disk is away meanwhile, so it answers 500.")
    item = stage.get(f"/v1/subscriptions/{first}")["items"]["data"][0]["id"]
    with listener.failing(stage):
        stage.post(f"/v1/subscriptions/{first}", {"items[0][id]": item, "items[0][quantity]": "25"})
        stage.expect(first, seatCount=25)

    stage.say("Cedar & Co buys Pro by the month, 5 seats.")
    _, second = stage.buy("Cedar & Co", monthly, 5)
    stage.expect(second, seatCount=5, disabled=False)

    stage.say("Eleven months pass; Cedar's license is renewed each month.")
    stage.advance(340)
    stage.expect(second, disabled=False, expires_after=stage.now())

    stage.say("Brightwater's card fails at the renewal: the license stays on, and is paid no further.")
    before = stage.grant(first)["expiryDate"]
    stage.admin(stage.stripe, "card", customer=brightwater, ok=False)
    stage.advance(27)
    stage.expect(first, expiryDate=before, disabled=False)

    stage.say("The card works again: the next attempt is paid, and the license lasts another year.")
    stage.admin(stage.stripe, "card", customer=brightwater, ok=True)
    stage.advance(6)
    stage.expect(first, disabled=False, expires_after=stage.now(), other_than=before)

    stage.say("Cedar & Co cancels at once: its license is switched off, not deleted.")
    stage.cancel(second)
    stage.settle()
    stage.expect(second, disabled=True)

    stage.say("Dunmore Maps buys Pro at FastSpring, 10 seats, and is shown its activation code at once.")
    third, code = stage.buy_at_fastspring("Dunmore Maps", "pro-annual", 10)
    stage.expect(third, seatCount=10, disabled=False, activationCodes=[code])
    stage.out.print(f"     the code: {code}")

    stage.say("The consumer has been well again since its disk came back.")
    stage.out.print(f"     {listener.account(stage)}")
    stage.out.print(f"     [dim]each attempt:[/] {endpoint}")

    one = stage.grant(first)["id"]
    stage.out.print(f"\n[dim]Why is Brightwater's license so?[/]  hub why {one}")
    stage.out.print(f"[dim]               or in the console:[/]  {stage.hub}/entitlements/{one}")
