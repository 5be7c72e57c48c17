"""Combinations of what we publish, each installed from built wheels into an environment of its own: `make matrix`."""
