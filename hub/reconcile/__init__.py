"""Look, compare, act (docs/adr/0001): `reconcile` is one look at one subject."""

from hub.reconcile.customers import CUSTOMERS_LISTED
from hub.reconcile.look import Shop
from hub.reconcile.looking import briefs, failed_by, reconcile

__all__ = ["CUSTOMERS_LISTED", "Shop", "briefs", "failed_by", "reconcile"]
