"""Jobs, refusals and forgetting as an operator sees them: the same in each tier, with several workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest

if TYPE_CHECKING:
    from conftest import Home

Start = Callable[..., subprocess.Popen[str]]

#: A plugin with a job that runs as the gateway starts and each hour, and fails while its shelf is full.
SHELF = """
from pathlib import Path
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.errors import Conflict
from mosaic_hookspecs.types import Job

@hookimpl
def mosaic_jobs(host):
    async def tidy(data):
        if (host.data_dir / "full").exists():
            raise Conflict("the shelf is full")
        with (host.data_dir / "tidied").open("a") as file:
            file.write("once\\n")
    return [Job("shelf.tidy", tidy, every=3600, attempts=1)]
"""


@pytest.fixture(params=["home", "standalone"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """A gateway of each tier with the plugin above."""
    about = tmp_path / "site" / "shelf-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[mosaic]\nshelf = shelf\n")
    (tmp_path / "site" / "shelf.py").write_text(SHELF)
    home: Home = request.getfixturevalue(request.param)
    config = json.loads(home.config.read_text())
    config["plugins"] = {"shelf": {}, "workspace": {}}
    home.config.write_text(json.dumps(config))
    return replace(home, environment=home.environment | {"PYTHONPATH": str(tmp_path / "site")})


def until(condition: Callable[[], object], within: float = 60) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not so within {within:g} s"
        time.sleep(0.05)


def tidied(home: Home) -> int:
    file = home.directory / "data" / "tidied"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_failed_job_is_shown_and_can_be_retried(gateway: Home, running: Start) -> None:
    (gateway.directory / "data" / "full").touch()
    assert gateway.json("jobs", "list") == [
        {"job": "shelf.tidy", "every": 3600, "attempts": 1, "timeout": 60.0}
    ]
    assert "no job has failed" in gateway.run("jobs", "list", "--failed"), "commands run no jobs"
    running(gateway, "--workers", "2")
    until(lambda: gateway.json("jobs", "list", "--failed"))
    (failed,) = gateway.json("jobs", "list", "--failed")
    assert (failed["job"], failed["attempts"], failed["error"]) == ("shelf.tidy", 1, "the shelf is full")
    (gateway.directory / "data" / "full").unlink()
    gateway.run("jobs", "retry", failed["id"])
    until(lambda: tidied(gateway))
    assert gateway.json("jobs", "list", "--failed") == []
    assert "no failed job" in gateway.run("jobs", "retry", failed["id"], code=4)
    assert tidied(gateway) == 1, "of two workers one ran it"


def test_a_failed_job_is_still_there_after_a_kill_of_the_gateway(gateway: Home, running: Start) -> None:
    (gateway.directory / "data" / "full").touch()
    process = running(gateway)
    until(lambda: gateway.json("jobs", "list", "--failed"))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (failed,) = gateway.json("jobs", "list", "--failed")
    (gateway.directory / "data" / "full").unlink()
    gateway.run("jobs", "retry", failed["id"])
    assert tidied(gateway) == 0, "it waits for a gateway"
    running(gateway)
    until(lambda: tidied(gateway) == 1)


def test_a_token_that_a_command_revokes_is_refused_by_every_worker(gateway: Home, running: Start) -> None:
    running(gateway, "--workers", "2")
    made = gateway.json("token", "create", "admin", "--name", "second")
    other = replace(gateway, token=made["token"])
    for _ in range(20):
        other.get("/v1/me")
    gateway.run("token", "revoke", made["prefix"])
    soon = time.monotonic() + 1  # each is told in a moment; one that hears nothing notices by then
    while time.monotonic() < soon and not all(refuses(other) for _ in range(20)):
        pass
    assert all(refuses(other) for _ in range(20))


def refuses(home: Home) -> bool:
    """Whether a worker does; which one answers is chance."""
    try:
        home.get("/v1/me")
    except HTTPError as refused:
        assert refused.code in (401, 429)
        return True
    return False


def test_refused_tokens_are_limited_and_good_ones_are_not(gateway: Home, running: Start) -> None:
    running(gateway)
    stranger = replace(gateway, token=f"mos_aaaaaaaa_{'x' * 43}")
    codes = []
    for _ in range(30):
        with pytest.raises(HTTPError) as refused:
            stranger.get("/v1/me")
        codes.append(refused.value.code)
    assert codes[:20] == [401] * 20
    assert (codes[-1], refused.value.headers["RateLimit-Policy"]) == (429, '"authentication";q=20;w=60')
    assert gateway.get("/v1/me")["username"] == "admin"
