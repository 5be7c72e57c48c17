"""The table ``plugins.mcp`` of the config."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mosaic_hookspecs.models import Model


class Settings(Model):
    """What one call of an agent may cost, and how many there may be."""

    rows: Annotated[int, Field(ge=1, le=200)] = 50
    """Most rows in one answer."""
    bytes: Annotated[int, Field(ge=1024)] = 100_000
    """Largest answer, bytes of JSON; for more an agent is told to ask for fewer rows."""
    calls_per_minute: Annotated[int, Field(ge=1)] = 120
    """Most calls of tools by one user, over all of their agents."""
    seconds: Annotated[float, Field(gt=0, le=10)] = 5.0
    """How long a call waits for its sources; one that is later is reported as such."""
