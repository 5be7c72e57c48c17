"""The tables of the step_ca plugin."""
