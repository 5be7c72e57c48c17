"""Compose the host that is on the path, of whichever release, and run its probes.

With ``awaited`` it is started, too, until a plugin has written that into the file ``called``.
"""

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path

from mosaic_gateway.boot import open_gateway, prepare_data_dir
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_gateway.health import run_probes
from mosaic_hookspecs.errors import MosaicError


async def up(config: Path, awaited: str, called: Path) -> None:
    composition = compose(read_config(config))
    prepare_data_dir(composition.config.data_dir)
    names = [listener.name for listener in composition.listeners]
    mounts = [mount.listener for mount in composition.mounts]
    checked = await run_probes(composition.probes)
    if awaited:
        async with open_gateway(composition, serving=True) as gateway, gateway.working():
            while awaited not in called.read_text():  # noqa: ASYNC110 - a plugin of any release can write a file
                await asyncio.sleep(0.02)
    print(
        json.dumps(
            {
                "release": version("mosaic-gateway"),
                "listeners": names,
                "mounts": mounts,
                "resources": [resource.name for resource in composition.host.resources],
                "probes": {each.name: each.finding.status for each in checked},
            }
        )
    )


try:
    asyncio.run(up(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
except MosaicError as error:
    sys.exit(f"{type(error).__name__}: {error}")
