"""Projects of new plugins: `mosaic plugin new`."""

from mosaic_gateway.scaffold.kinds import KINDS
from mosaic_gateway.scaffold.project import write_project

__all__ = ["KINDS", "write_project"]
