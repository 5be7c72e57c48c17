"""A process of its own that opens the storage, says where, and holds it until its stdin ends."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from mosaic_hookspecs.errors import MosaicError
from mosaic_tier_local import account
from mosaic_tier_local.settings import Settings
from mosaic_tier_local.storage import EmbeddedStorage


async def hold(data_dir: Path, *, serving: bool, run_as: str | None) -> None:
    async with EmbeddedStorage(data_dir, Settings(run_as=run_as)).open(serving=serving) as location:
        print(f"open {location.host}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--serving", action="store_true")
    parser.add_argument("--run-as")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--no-death-signal", action="store_true")
    options = parser.parse_args()
    if options.no_death_signal:  # as on a system where it has no effect
        whole = account.Account.command
        account.Account.command = lambda self, *argv: [
            p for p in whole(self, *argv) if p not in ("--pdeathsig", "INT")
        ]
    work = hold(options.data_dir, serving=options.serving, run_as=options.run_as)
    try:
        if options.uvloop:
            import uvloop

            uvloop.run(work)
        else:
            asyncio.run(work)
    except MosaicError as error:
        print(f"refused {type(error).__name__}: {error}".replace("\n", " "), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
