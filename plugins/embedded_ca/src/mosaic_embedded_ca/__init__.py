"""An in-process certificate authority for the demo, development and tests."""
