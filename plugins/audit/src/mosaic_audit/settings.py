"""The table ``plugins.audit`` of the config."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """How often the log is signed, and how long it is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    checkpoint_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60
    """A checkpoint is signed this often, seconds, if there are new rows."""
    checkpoint_rows: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """A process that has written this many rows has one signed sooner."""
    keep_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    """Months that ended this many days ago are dropped, rows and all; default: nothing is."""
