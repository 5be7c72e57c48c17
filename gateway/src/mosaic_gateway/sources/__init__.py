"""One answer from several sources: the gateway's own rows, and those that plugins reach elsewhere."""

from mosaic_gateway.sources.fanout import Fanout
from mosaic_gateway.sources.names import LOCAL

__all__ = ["LOCAL", "Fanout"]
