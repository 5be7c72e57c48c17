"""The tables of tasks and notes."""
