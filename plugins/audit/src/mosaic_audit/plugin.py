"""What the audit plugin offers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING

from mosaic_audit.settings import Settings
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Job, MigrationSet, Probe, SealedColumn

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import AuditSink, Host


@hookimpl
def mosaic_settings() -> type[Settings]:
    """The table ``plugins.audit``."""
    return Settings


@hookimpl
def mosaic_migrations() -> Iterable[MigrationSet]:
    """The log, and its checkpoints."""
    return (MigrationSet("audit", "mosaic_audit.migrations"),)


@hookimpl
def mosaic_sealed_columns() -> Iterable[SealedColumn]:
    """The key that checkpoints are signed with."""
    return (SealedColumn("federation_audit_keys", "sealed_key", "id", "federation_audit_keys/{id}/key"),)


@hookimpl
def mosaic_audit_sinks(host: Host) -> Iterable[AuditSink]:
    """The hash-chained log in Postgres."""
    from mosaic_audit.writer import Writer

    return (Writer(host),)


@hookimpl
def mosaic_lifespan(host: Host) -> AbstractAsyncContextManager[None]:
    """Sign what was written when the process ends."""
    from mosaic_audit.writer import Writer

    log = host.audit_log()
    return log.signing_at_the_end() if isinstance(log, Writer) else nullcontext()


@hookimpl
def mosaic_probes(host: Host) -> Iterable[Probe]:
    """Whether rows are safe."""
    from mosaic_audit.probe import probe

    return (probe(host),)


@hookimpl
def mosaic_jobs(host: Host) -> Iterable[Job]:
    """Checkpoints, and the end of old months."""
    from mosaic_audit.jobs import jobs

    return jobs(host)
