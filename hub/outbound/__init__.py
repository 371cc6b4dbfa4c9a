"""The stream to its consumers: endpoints, what each is sent, and when it is sent again (docs/deliveries.md)."""
