"""What this plugin offers: an audit sink, and a probe of the way there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_audit_syslog.settings import Settings
from mosaic_hookspecs import hookimpl

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import AuditSink, Host
    from mosaic_hookspecs.types import Probe


@hookimpl
def mosaic_settings() -> type[Settings]:
    """The table ``plugins.audit_syslog``."""
    return Settings


@hookimpl
def mosaic_audit_sinks(host: Host) -> list[AuditSink]:
    """Syslog. It connects with the first event."""
    from mosaic_audit_syslog.sink import Syslog

    return [Syslog(host.settings(Settings), host.gateway_name)]


@hookimpl
def mosaic_probes(host: Host) -> list[Probe]:
    """Whether syslog can be reached."""
    from mosaic_audit_syslog.probe import probe

    return [probe(host.settings(Settings))]
