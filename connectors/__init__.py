"""One folder a vendor. A connector knows its vendor and the hub's values; it knows no store and no web."""
