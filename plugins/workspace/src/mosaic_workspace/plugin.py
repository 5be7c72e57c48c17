"""What the workspace plugin offers: the resources tasks and notes."""

from __future__ import annotations

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import MigrationSet, Resource


@hookimpl
def mosaic_migrations() -> list[MigrationSet]:
    """The tables, and where pgvector is wanted their vectors."""
    return [
        MigrationSet("workspace", "mosaic_workspace.sql"),
        MigrationSet("workspace_vectors", "mosaic_workspace.vectors", needs_vector=True),
    ]


@hookimpl
def mosaic_resources() -> list[Resource]:
    """Tasks and notes."""
    from mosaic_workspace.resources import NOTES, TASKS

    return [TASKS, NOTES]
