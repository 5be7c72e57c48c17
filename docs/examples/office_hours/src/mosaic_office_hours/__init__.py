"""Office hours for peers."""
