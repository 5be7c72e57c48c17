"""Whether syslog can be reached, without writing anything to it."""

from __future__ import annotations

import asyncio

from mosaic_audit_syslog.links import link
from mosaic_audit_syslog.settings import Settings, place_of
from mosaic_audit_syslog.sink import why
from mosaic_hookspecs.types import Finding, Probe

_PATIENCE = 4.0  # seconds: less than a probe may take


def probe(settings: Settings) -> Probe:
    """Connect, and leave again."""

    async def check() -> Finding:
        place, way = settings.address, link(settings)
        try:
            async with asyncio.timeout(min(settings.seconds, _PATIENCE)):
                await way.send(())
        except OSError as error:
            remedy = "start the syslog daemon, or mend plugins.audit_syslog.address"
            status = "red" if settings.required else "yellow"
            return Finding(status, f"{place} cannot be reached: {why(error)}", remedy)  # type: ignore[arg-type]
        finally:
            way.close()
        if place_of(place).kind == "udp":
            return Finding(
                "yellow", f"{place}: nobody can tell whether anything arrives", "use tcp:// or tls://"
            )
        return Finding("green", f"{place} takes messages")

    return Probe("audit_syslog", check, standalone=True)
