"""The one stream (docs/events.md): facts that vendors reported, states told by the difference of two snapshots."""
