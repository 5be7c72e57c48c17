import shutil

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Finding, Probe

ENOUGH = 1_000_000_000  # bytes


@hookimpl
def mosaic_probes(host: Host) -> list[Probe]:
    async def disk() -> Finding:
        free = shutil.disk_usage(host.data_dir).free
        if free < ENOUGH:
            return Finding("yellow", f"{free:,} bytes free", remedy="make room on this disk")
        return Finding("green", f"{free:,} bytes free")

    return [Probe("disk", disk)]
