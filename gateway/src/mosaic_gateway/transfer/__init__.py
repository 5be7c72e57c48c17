"""Rows in and out of files: readers yield records, and ResourceRows alone decides and stores."""

from mosaic_gateway.transfer.exporting import export_rows
from mosaic_gateway.transfer.importing import Report, import_files
from mosaic_gateway.transfer.progress import Progress, progress_bar
from mosaic_gateway.transfer.sources import FORMATS, Format, Source, find_sources

__all__ = [
    "FORMATS",
    "Format",
    "Progress",
    "Report",
    "Source",
    "export_rows",
    "find_sources",
    "import_files",
    "progress_bar",
]
