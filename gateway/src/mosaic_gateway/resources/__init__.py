"""Resources: the one rule of who sees which rows, and every read and write under it."""

from mosaic_gateway.resources.bulk import Stored
from mosaic_gateway.resources.discovery import discover
from mosaic_gateway.resources.peers import PeerRole, build_wall, read_role
from mosaic_gateway.resources.rows import ResourceRows
from mosaic_gateway.resources.search import Searching
from mosaic_gateway.resources.search_index import index_job, prepare_search

__all__ = [
    "PeerRole",
    "ResourceRows",
    "Searching",
    "Stored",
    "build_wall",
    "discover",
    "index_job",
    "prepare_search",
    "read_role",
]
