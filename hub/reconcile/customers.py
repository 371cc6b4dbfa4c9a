"""Who bought, in Zentitle2: found by a link, by one full listing, else created once."""

from __future__ import annotations

from sqlalchemy import Connection

from hub.domain import CreateCustomer, Purchase
from hub.reconcile.creates import create
from hub.reconcile.look import Look, recall
from hub.store import records
from hub.store.records import Link

CUSTOMERS_LISTED = "customers_listed"
LISTING_LASTS_S = 86400.0


def ensure_customer(look: Look, purchase: Purchase, account_ref: str) -> bool:
    """Sets the customer's id, creating the customer if nobody knows it. True where it was made just now."""
    link = find_customer(look, purchase, account_ref)
    if link:
        _settle_intent(look, account_ref, link)
        look.customer_id = link.zentitle_id
        _check_customer_ref(look, purchase, link)
        return False
    name = (purchase.customer.name or purchase.customer.id)[:255]
    ids = create(look, "customer", account_ref, None, CreateCustomer(account_ref=account_ref, name=name))
    look.customer_id = ids[0]
    return True


def find_customer(look: Look, purchase: Purchase, account_ref: str) -> Link | None:
    """The customer by the record's links, else by one full listing where that may tell more.

    Only somebody else can have made a customer under a `customer_ref`, so that is always looked up; a reference of
    our own only where the record may have lost it, or a create is in doubt.
    """
    with look.shop.store.read() as conn:
        cursor = records.get_cursor(conn, CUSTOMERS_LISTED)  # before the links: it may be listed just now
        link = _linked(conn, look, purchase)
        intent = None if link else records.find_intent(conn, "customer", account_ref)
    doubt = intent is not None and intent.open
    recent = cursor is not None and look.leased.now() - cursor[1] < LISTING_LASTS_S
    if link or (recent and not doubt and not purchase.customer.customer_ref):
        return link
    return _listed_customer(look, purchase, account_ref, doubt=doubt)


def _settle_intent(look: Look, account_ref: str, link: Link) -> None:
    """A create in doubt is none any more once its customer is known."""
    intent = look.memory.intents.get(("customer", account_ref))
    if intent and intent.open:
        look.write(lambda conn: records.close_intent(conn, "customer", account_ref, [link.zentitle_id]))
        recall(look)


def _aliases(look: Look, purchase: Purchase) -> list[str]:
    return [alias for alias in (look.facts["customer"], purchase.customer.customer_ref) if alias]


def known_customer(look: Look, purchase: Purchase) -> Link | None:
    """The customer that the record links to this purchase's buyer."""
    with look.shop.store.read() as conn:
        return _linked(conn, look, purchase)


def _linked(conn: Connection, look: Look, purchase: Purchase) -> Link | None:
    links = (records.find_link(conn, alias) for alias in _aliases(look, purchase))
    return next((link for link in links if link), None)


def _listed_customer(look: Look, purchase: Purchase, account_ref: str, *, doubt: bool) -> Link | None:
    """The customer by one full listing, which rebuilds the links. doubt: a create of it was begun."""
    rows = look.call(lambda: [(ref, ref, id_) for ref, id_ in look.shop.licensing.customers()])

    def unit(conn: Connection) -> None:
        records.put_links(conn, rows)
        records.set_cursor(conn, CUSTOMERS_LISTED, str(len(rows)))
        by_ref = {ref: id_ for _, ref, id_ in rows}
        known = next((ref for ref in [account_ref, *_aliases(look, purchase)] if ref in by_ref), None)
        if known:
            records.put_links(conn, [(alias, known, by_ref[known]) for alias in _aliases(look, purchase)])
            if doubt:
                records.close_intent(conn, "customer", account_ref, [by_ref[known]])

    look.write(unit)
    return known_customer(look, purchase)


def _check_customer_ref(look: Look, purchase: Purchase, link: Link) -> None:
    """A customer_ref that points to another customer than the one linked is for a person to settle."""
    ref = purchase.customer.customer_ref
    if not ref or ref == link.account_ref:
        return

    def unit(conn: Connection) -> None:
        other = records.find_link(conn, ref)
        if other and other.zentitle_id == link.zentitle_id:
            return
        text = f"customer_ref now says {ref}, the licenses are with {link.account_ref}; they stay there"
        records.raise_review(conn, f"customer_ref:{look.facts['customer']}:{ref}", "customer_ref", look.ref, text)

    look.write(unit)
