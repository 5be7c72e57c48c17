"""A probe: is there room on the disk of the gateway's data?"""

import asyncio
import shutil

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Finding, Probe

ENOUGH = 5_000_000_000  # bytes


@hookimpl
def mosaic_probes(host: Host) -> list[Probe]:
    async def check() -> Finding:
        free = (await asyncio.to_thread(shutil.disk_usage, host.data_dir)).free  # a network's disk may hang
        said = f"{free / 1e9:,.1f} GB free"
        return Finding("green", said) if free >= ENOUGH else Finding("yellow", said, "make room on this disk")

    return [Probe("disk", check, standalone=True)]
