"""The record (docs/adr/0002): tables, queries, migrations. SQL is spoken here and nowhere else."""

from hub.store.inbox import NewReceipt
from hub.store.record import Store, wait_until_up

__all__ = ["NewReceipt", "Store", "wait_until_up"]
