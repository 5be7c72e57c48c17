"""Schema of the embedded authority."""
