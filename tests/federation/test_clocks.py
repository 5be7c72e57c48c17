"""What users see while a gateway's clock is wrong: the program runs as it is, and is told another time.

Of its machine, as libfaketime does it; the database is a server elsewhere, and its clock is right.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
PATIENCE = 60.0  # seconds
DAY = 24 * 3600
IDLE = 5  # seconds that work keeps a connection nobody speaks on


class Clock:
    """What one gateway takes for the time: as many seconds ahead as its file says."""

    def __init__(self, file: Path) -> None:
        assert LIBRARY, "install libfaketime"
        self._file = file
        told = {
            "LD_PRELOAD": LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": file,
            "FAKETIME_CACHE_DURATION": 1,  # seconds until it looks again
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
        }
        self.command = ("env", *(f"{name}={value}" for name, value in told.items()))
        self.set(0)

    def set(self, ahead: int) -> None:
        self._file.write_text(f"{ahead:+d}\n")


@pytest.fixture
def clocks(tmp_path: Path) -> dict[str, Clock]:
    return {name: Clock(tmp_path / name) for name in ("home", "work")}


@pytest.fixture
def pair(new_gateway: Callable[..., Any], clocks: dict[str, Clock]) -> tuple[Any, Any]:
    """``home`` reads what ``work`` shares."""
    home, work = (new_gateway(name, inside=clocks[name].command) for name in ("home", "work"))
    config = json.loads(work.config.read_text())
    config["plugins"]["federation"]["listen"]["limits"] = {"idle_seconds": IDLE}
    work.config.write_text(json.dumps(config))
    home.start()
    work.start()
    work.add("tasks", title="plant a tree")
    home.run("federation", "peer", "add", work.offer()["url"], "--yes")
    home.token = home.json("token", "create", "admin", "--name", "days ahead")["token"]
    return home, work


def seen(home: Any) -> tuple[str, int, str]:
    """What a list over both says of work: its status, rows, and why."""
    with home.http() as client:
        answer = client.get("/v1/tasks?sources=local,peer:work")
    assert answer.status_code == 200, answer.text
    found = next(source for source in answer.json()["sources"] if source["name"] == "peer:work")
    return found["status"], found["rows"], found.get("detail") or ""


def until(home: Any, status: str, *, every: float) -> str:
    """Ask until it is so, each ``every`` seconds; return why."""
    deadline = time.monotonic() + PATIENCE
    while (found := seen(home))[0] != status:
        assert time.monotonic() < deadline, found
        time.sleep(every)
    assert found[1] == (0 if status == "unavailable" else 1)
    return found[2]


@pytest.mark.parametrize(("days", "told"), [(3, "the certificate has expired"), (-3, "not valid yet")])
def test_works_clock_is_days_off_while_it_is_read(
    pair: tuple[Any, Any], clocks: dict[str, Clock], days: int, told: str
) -> None:
    home, work = pair
    until(home, "ok", every=1)
    clocks["work"].set(days * DAY)
    assert told in until(home, "unavailable", every=IDLE / 10)  # over the connection that is open
    assert says_so(work)
    clocks["work"].set(0)
    until(home, "ok", every=1)


@pytest.mark.parametrize(
    ("days", "status", "told"),
    [
        (3, "unavailable", "our certificate for peer 'work' has expired"),  # what was kept is too old as well
        (-3, "stale", "its certificate is not valid yet, by our clock"),
    ],
)
def test_homes_clock_is_days_off(
    pair: tuple[Any, Any], clocks: dict[str, Clock], days: int, status: str, told: str
) -> None:
    home, _ = pair
    until(home, "ok", every=1)
    clocks["home"].set(days * DAY)
    assert told in until(home, status, every=IDLE + 1)  # over a new connection
    assert says_so(home)
    clocks["home"].set(0)
    until(home, "ok", every=1)


def says_so(gateway: Any) -> bool:
    """Whether its doctor names the clock."""
    return bool(re.search(r"red\s+clock\s", gateway.run("gateway", "doctor", code=2)))
