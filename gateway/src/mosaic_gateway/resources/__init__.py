"""Resources: the one rule of who sees which rows, and every read and write under it."""

from mosaic_gateway.resources.bulk import Stored
from mosaic_gateway.resources.rows import ResourceRows

__all__ = ["ResourceRows", "Stored"]
