"""A probe of the disk."""
