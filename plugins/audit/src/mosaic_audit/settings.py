"""The table ``plugins.audit`` of the config."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mosaic_hookspecs.models import Model


class Settings(Model):
    """How often the log is signed, and how long it is kept."""

    checkpoint_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60
    """A checkpoint is signed this often, seconds, if there are new rows."""
    checkpoint_rows: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """A process that has written this many rows has one signed sooner."""
    keep_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    """Months that ended this many days ago are dropped, rows and all; default: nothing is."""
