"""Gateways and their authorities on hosts of their own: made, asked, and held up."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds


def on_host(new_gateway: Any, site: Any, name: str) -> Any:
    """A gateway that peers reach by its host's address, and users by a proxy before it."""
    made = new_gateway(name, authority="step_ca", inside=site.inside, public_url=f"https://{site.address}")
    configure(made, "federation", {"listen": {"host": site.address, "port": 8443}})
    return made


def configure(gateway: Any, plugin: str, table: dict[str, Any]) -> None:
    config = json.loads(gateway.config.read_text())
    config["plugins"][plugin] = table
    gateway.config.write_text(json.dumps(config))


def start_ca(program: Path, site: Any, folder: Path, *gateways: Any) -> None:
    """The first gateway's authority, which has the keys of the others, too."""
    url, directories = f"https://{site.address}:9000", [folder / each.name for each in gateways]
    made = [
        gateway.json("federation", "ca", "init", str(directory), "--url", url)
        for gateway, directory in zip(gateways, directories, strict=True)
    ]
    configs = [json.loads((directory / "config" / "ca.json").read_text()) for directory in directories]
    for other in configs[1:]:
        configs[0]["authority"]["provisioners"] += other["authority"]["provisioners"]
    (directories[0] / "config" / "ca.json").write_text(json.dumps(configs[0]))
    command = (program, "config/ca.json", "--password-file", "secrets/password")
    site.start(*command, cwd=directories[0], port=9000)
    for gateway in gateways:
        # a short patience, for the test's sake
        settings = {"url": url, "fingerprint": made[0]["fingerprint"], "timeout": 1.5}
        configure(gateway, "step_ca", settings)


def ask(gateway: Any, path: str, body: Any = None) -> tuple[int, Any]:
    """GET, or POST ``body``, from the gateway on its own host, as its admin: status and body."""
    command = [*gateway.inside, "curl", "-sS", "-w", "\n%{http_code}", "-H", "@-", gateway.public + path]
    if body is not None:
        command += ["--json", json.dumps(body)]
    token = f"Authorization: Bearer {gateway.token}\n"
    done = subprocess.run(command, input=token, capture_output=True, text=True, check=True)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


def new_offer(gateway: Any, peer: str) -> Any:
    scope = {"resources": ["tasks"], "include_personal": True}
    status, offer = ask(gateway, "/v1/admin/grants", {"subject": "admin", "peer": peer, "scope": scope})
    assert status == 201, offer
    return offer


def titles_at(reader: Any, peer: str) -> list[str]:
    status, page = ask(reader, f"/v1/peers/{peer}/tasks")
    assert status == 200, page
    return [row["title"] for row in page["items"]]


@contextmanager
def held(process: Any) -> Iterator[None]:
    """It does nothing meanwhile, and what is sent to it waits."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)
