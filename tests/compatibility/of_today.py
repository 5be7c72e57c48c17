"""A plugin of this release: a hook that 0.1 had, and one that it had not, which a host without it leaves alone."""

import os
from pathlib import Path

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Finding, Probe


def note(what: str) -> None:
    with Path(os.environ["CALLED"]).open("a") as file:
        file.write(f"{what}\n")


@hookimpl
def mosaic_probes(host: Host) -> list[Probe]:
    async def check() -> Finding:
        note("probe")
        return Finding("green", "fine")

    return [Probe("today", check, standalone=True)]


@hookimpl(optionalhook=True)
def mosaic_peer_policies(host: Host) -> list[object]:
    from mosaic_hookspecs.types import Verdict  # not in 0.1

    class Hours:
        name = "hours"

        async def decide(self, request: object) -> Verdict:
            return Verdict.allow()

    note("mosaic_peer_policies")
    return [Hours()]
