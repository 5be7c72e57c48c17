"""Run in a row's own interpreter: give `mosaic` some commands, then write down which modules are loaded.

    python -I inside.py MODULES.json '[["gateway", "prepare"], ["gateway", "start"]]'

Only the standard library, and nothing of the checkout, is imported beside what the commands import.
"""

import json
import sys
from pathlib import Path


def main(place: str, commands: str) -> None:
    from mosaic_gateway.cli.main import mosaic

    try:
        for command in json.loads(commands):
            mosaic.main(command, prog_name="mosaic", standalone_mode=False)
    finally:
        Path(place).write_text(json.dumps(sorted(sys.modules)))


if __name__ == "__main__":
    main(*sys.argv[1:])
