"""Look, compare, act (docs/adr/0001): `reconcile` is one look at one subject."""

from hub.reconcile.look import Shop
from hub.reconcile.looking import reconcile

__all__ = ["Shop", "reconcile"]
