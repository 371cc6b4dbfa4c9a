"""`make bench`: how fast the hub is, and how much memory it takes, each beside a baseline of the same run."""
