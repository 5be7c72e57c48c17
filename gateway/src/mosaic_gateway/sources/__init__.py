"""One answer from several sources: the gateway's own rows, and those that plugins reach elsewhere."""

from mosaic_gateway.sources.fanout import Fanout, Merged
from mosaic_gateway.sources.names import LOCAL
from mosaic_gateway.sources.report import Report

__all__ = ["LOCAL", "Fanout", "Merged", "Report"]
