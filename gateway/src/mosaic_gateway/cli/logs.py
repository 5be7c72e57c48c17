"""Logging of a gateway that serves: standard error, one line each, nothing secret."""

from __future__ import annotations

import logging

from mosaic_hookspecs.redaction import RedactingFilter


def log_to_stderr(level: str) -> None:
    """Configure the root logger; ``level`` is a name such as ``info``."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    handler.addFilter(RedactingFilter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("mosaic").debug("logging at level %s", level)
