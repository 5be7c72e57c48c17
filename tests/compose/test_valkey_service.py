"""The service `valkey` of the compose files: its own command and healthcheck, run by this machine's server."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILES = ["standalone.yml", "portainer/federated-test.stack.yml"]
Valkey = Callable[[str], Any]


@pytest.mark.parametrize("file", FILES)
def test_it_becomes_healthy_and_lets_nobody_in_without_the_password(
    valkey_service: Valkey, file: str
) -> None:
    box = valkey_service(file)
    box.start()
    box.wait_until_healthy()
    assert "NOAUTH" in box.run("valkey-cli", "ping").stdout
    box.give(box.paths["/run/secrets"] / "valkey", "another\n")
    assert not box.healthy()


def test_the_password_is_in_no_argument_and_no_variable(
    valkey_service: Valkey, passwords: dict[str, str]
) -> None:
    box = valkey_service("standalone.yml")
    process = box.start()
    box.wait_until_healthy()
    for what in ("cmdline", "environ"):
        assert passwords["valkey"].encode() not in Path(f"/proc/{process.pid}/{what}").read_bytes()
    assert passwords["valkey"] not in box.log()


def test_what_it_holds_survives_a_restart_and_it_never_evicts_a_job(
    valkey_service: Valkey, passwords: dict[str, str]
) -> None:
    box = valkey_service("standalone.yml")
    login = {"REDISCLI_AUTH": passwords["valkey"]}
    for command, answer in ((("set", "job", "kept"), "OK"), (("get", "job"), "kept")):
        process = box.start()
        box.wait_until_healthy()
        assert box.run("valkey-cli", *command, **login).stdout == f"{answer}\n"
        assert "noeviction" in box.run("valkey-cli", "config", "get", "maxmemory-policy", **login).stdout
        process.send_signal(signal.SIGTERM)  # the server itself gets it: the shell has become the server
        assert process.wait(60) == 0


@pytest.mark.parametrize("secret", ["", None])
def test_without_a_password_it_does_not_start(valkey_service: Valkey, secret: str | None) -> None:
    box = valkey_service("standalone.yml")
    file = box.paths["/run/secrets"] / "valkey"
    file.unlink() if secret is None else file.write_text(secret)
    assert box.start().wait(60) != 0
