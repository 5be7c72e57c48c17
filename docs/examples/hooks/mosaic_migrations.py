from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import MigrationSet


@hookimpl
def mosaic_migrations() -> list[MigrationSet]:
    # the package holds 0001_bookmarks.pre.sql
    return [MigrationSet("bookmarks", "mosaic_bookmarks.migrations")]
