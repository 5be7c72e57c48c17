"""Tables of the local tier."""
