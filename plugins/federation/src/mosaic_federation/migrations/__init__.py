"""Schema of federation."""
