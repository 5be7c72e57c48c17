"""Gateways as `mosaic gateway init` makes them: made once in each process by the authors' kit, and then copied."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_gateway.testing import prepared as kit


def prepare(
    directory: Path, *, name: str = "gateway", authority: str = "embedded_ca", port: int, peer_port: int
) -> str:
    """Make one of the local tier; return its admin's token.

    Gateways of the same name have the same keys and the same token: name those differently that meet.
    """
    template, token = _template(name, authority)
    subprocess.run(["cp", "-a", template, directory], check=True)
    move_ports(directory / kit.CONFIG, port, peer_port)
    return token


def move_ports(file: Path, port: int, peer_port: int) -> None:
    """Have a copied gateway listen elsewhere."""
    config = json.loads(file.read_text())
    config["listen"]["public"]["port"] = port
    config["plugins"]["federation"]["listen"]["port"] = peer_port
    file.write_text(json.dumps(config, indent=2))


@cache
def _template(name: str, authority: str) -> tuple[Path, str]:
    directory = kit.kept_folder() / "gateway"
    plugins = {"workspace": {}, "audit": {}, "federation": {"listen": {"port": 1}}, authority: {}}
    config = kit.prepare(directory, {"name": name, "listen": {"public": {"port": 1}}, "plugins": plugins})

    async def first_admin() -> str:
        async with open_gateway(compose(read_config(config)), serving=False) as gateway:
            return await kit.add_user(gateway.identities, "admin", admin=True)

    return directory, kit.apart(first_admin)
