"""The table ``plugins.valkey`` of the config. Where the server is stands in ``queue``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from mosaic_hookspecs.models import Model


class Settings(Model):
    """How this gateway uses its Valkey."""

    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] | None = None
    """What every key begins with; default: `mosaic:` and the gateway's name."""
    ca_file: Path | None = None
    """PEM file with the authorities that a `rediss://` server's certificate may come from; default: the system's."""
    lost_after: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """After how many seconds of silence a worker's job is given to another."""
