"""Schema of Mosaic Gateway: SQL files in pairs (pre, post), and the runner that applies them."""

from mosaic_hookspecs.types import MigrationSet

CORE = MigrationSet("core", "mosaic_migrations.core")

__all__ = ["CORE"]
