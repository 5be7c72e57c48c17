"""The table ``plugins.embedded_ca`` of the config."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mosaic_hookspecs.models import Model


class Settings(Model):
    """How the embedded authority signs."""

    organisation: Annotated[str, Field(min_length=1, max_length=64)] = "Mosaic Gateway"
    """Organisation name in the root certificate."""
    client_hours: Annotated[int, Field(ge=1, le=24 * 825)] = 24
    """Longest life of a peer's certificate, hours."""
    root_years: Annotated[int, Field(ge=1, le=30)] = 10
    """Life of the root certificate, years. Read once, when the root is made."""
