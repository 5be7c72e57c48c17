"""Tables and views that are there already, shared as resources."""
