"""A refunded subscription is not looked at again by each full list; what the list does tell of it still is."""

from __future__ import annotations

from pathlib import Path

from hub import sweep
from tests.world import World


def test_a_refunded_subscription_is_looked_at_again_only_where_the_list_tells_something(
    tmp_path: Path, sqlite_url: str
) -> None:
    world = World(tmp_path, sqlite_url)
    try:
        customer = world.customer()
        sold = world.buy("PRO-100", 3, customer)
        connector = world.hub.connectors["stripe"]
        assert connector.purchases
        world.deliver(world.events())
        assert world.settle()
        world.post("/v1/refunds", {"charge": world.get("/v1/charges", customer=customer)["data"][0]["id"]})
        world.deliver(world.events())
        assert world.settle()
        assert [row["disabled"] for row in world.grants()] == [True]
        assert sweep.full_sweep(world.hub.shop, connector, connector.purchases) == 0
        world.set_quantity(sold, 2)
        assert sweep.full_sweep(world.hub.shop, connector, connector.purchases) == 1
    finally:
        world.close()
