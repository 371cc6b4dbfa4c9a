"""HTTP: receiver, probes, console. Thin: what happens is decided elsewhere."""
