"""Gateways as `mosaic gateway init` makes them: made once in each process, for it takes seconds, and then copied."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from free_ports import free_port

_made: list[Path] = []


def prepare(directory: Path, *options: str, port: int, peer_port: int) -> str:
    """Make one of the local tier, with these options; return its admin's token.

    Gateways of the same options have the same keys and the same token: name those differently that meet.
    """
    template, token = _template(options)
    subprocess.run(["cp", "-a", template, directory], check=True)
    move_ports(directory / "mosaic.config.json", port, peer_port)
    return token


def move_ports(file: Path, port: int, peer_port: int) -> None:
    """Have a copied gateway listen elsewhere."""
    config = json.loads(file.read_text())
    config["listen"]["public"]["port"] = port
    config["plugins"]["federation"]["listen"]["port"] = peer_port
    file.write_text(json.dumps(config, indent=2))


def remove_templates() -> None:
    """At the end of the process."""
    while _made:
        shutil.rmtree(_made.pop())


@cache
def _template(options: tuple[str, ...]) -> tuple[Path, str]:
    _made.append(
        Path(tempfile.mkdtemp(prefix="mosaic-made-", dir="/tmp"))
    )  # Postgres may run as another user
    _made[-1].chmod(0o711)
    directory = _made[-1] / "gateway"
    ports = ("--port", str(free_port()), "--federation-port", str(free_port()))
    command = [sys.executable, "-m", "mosaic_gateway.cli", "gateway", "init", directory, *ports, *options]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory, json.loads(done.stdout)["token"]
