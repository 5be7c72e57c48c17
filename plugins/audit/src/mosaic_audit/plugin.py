"""What the audit plugin offers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import MigrationSet

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import AuditSink, Host


@hookimpl
def mosaic_migrations() -> Iterable[MigrationSet]:
    """The table ``federation_audit_log``."""
    return (MigrationSet("audit", "mosaic_audit.migrations"),)


@hookimpl
def mosaic_audit_sinks(host: Host) -> Iterable[AuditSink]:
    """The hash-chained log in Postgres."""
    from mosaic_audit.writer import Writer

    return (Writer(host),)
