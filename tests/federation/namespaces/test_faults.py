"""What users of home see, and what comes back by itself, while the road to work, work itself or a service fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from on_hosts import ask, configure, held, new_offer, on_host, start_ca, titles_at, wait_for

OWN, THEIRS, FEW = "water the plants", "plant a tree", "/v1/tasks?sources=local,peer:work"
IDLE = 3.0  # seconds that work keeps a connection nobody speaks on
LARGE = 60  # notes of 90 kB


@dataclass(frozen=True)
class World:
    """``work`` shares and ``home`` reads; the authority of both is on a host of its own."""

    home: Any
    work: Any
    home_site: Any
    work_site: Any
    ca_site: Any
    ca_directory: Path
    grant: Any

    def start_ca(self) -> None:
        command = (
            self.ca_site.processes[0].args[-4],
            "config/ca.json",
            "--password-file",
            "secrets/password",
        )
        self.ca_site.start(*command, cwd=self.ca_directory, port=9000)


@pytest.fixture(scope="module")
def world(
    new_gateway: Any, new_site: Any, tls_proxy: Any, step_ca_program: Path, tmp_path_factory: Any
) -> World:
    sites = {name: new_site(f"faults-{name}") for name in ("home", "work", "ca")}
    with ThreadPoolExecutor() as pool:
        home, work = pool.map(lambda name: on_host(new_gateway, sites[name], name), ("home", "work"))
    listen = {
        "host": sites["work"].address,
        "port": 8443,
        "limits": {"idle_seconds": IDLE, "slow_seconds": 2},
    }
    configure(work, "federation", {"listen": listen})
    folder = tmp_path_factory.mktemp("ca")
    start_ca(step_ca_program, sites["ca"], folder, work, home)
    home.environment["SSL_CERT_FILE"] = str(tls_proxy(sites["work"], work.port))
    notes = folder / "notes.ndjson"
    notes.write_text(
        "".join(json.dumps({"title": f"{n}", "body": "x" * 90_000}) + "\n" for n in range(LARGE))
    )
    work.run("data", "import", "notes", str(notes), "--user", "admin")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda gateway: gateway.start(), (home, work)))
    for gateway, title in ((home, OWN), (work, THEIRS)):
        assert ask(gateway, "/v1/tasks", {"title": title})[0] == 201
    offer = work.offer("--resource", "tasks", "--resource", "notes", "--personal")
    home.run("federation", "peer", "add", offer["url"], "--yes")
    sites["work"].have_weather()
    return World(home, work, sites["home"], sites["work"], sites["ca"], folder / "work", offer["id"])


@dataclass(frozen=True)
class Seen:
    """A list over both gateways, as a user of home sees it."""

    sources: dict[str, str]
    titles: set[str]
    detail: str
    seconds: float


def seen(world: World, timeout: float = 10) -> Seen:
    began = time.monotonic()
    status, page = ask(world.home, f"{FEW}&timeout={timeout}")
    assert status == 200, page
    sources = {each["name"].removeprefix("peer:"): each["status"] for each in page["sources"]}
    detail = next(each.get("detail") or "" for each in page["sources"] if each["name"] == "peer:work")
    titles = {row["title"] for row in page["items"]}
    assert sources["local"] == "ok"
    assert (OWN in titles, THEIRS in titles) == (True, sources["work"] in {"ok", "stale"}), page
    return Seen(sources, titles, detail, time.monotonic() - began)


def wait_until_ok(world: World) -> None:
    """It comes back by itself: nobody does anything but read."""
    wait_for(lambda: seen(world).sources["work"] == "ok")


@contextmanager
def lost(world: World) -> Iterator[None]:
    """No frame of work's host arrives anywhere, and none reaches it; nobody is told."""
    world.work_site.weather(loss=1.0)
    try:
        yield
    finally:
        world.work_site.weather()


@contextmanager
def killed(gateway: Any) -> Iterator[None]:
    """With SIGKILL; it is started again at the end."""
    gateway.process.kill()
    gateway.process.wait(60)
    try:
        yield
    finally:
        gateway.start()


def postgres_of(gateway: Any) -> int:
    return int((gateway.directory / "data" / "postgres" / "postmaster.pid").read_text().split()[0])


@contextmanager
def without_database(gateway: Any) -> Iterator[None]:
    """Its Postgres is killed, and cannot be started again before the end; then it is, by the gateway."""
    before, cluster = postgres_of(gateway), gateway.directory / "data" / "postgres"
    cluster.chmod(0)
    os.kill(before, signal.SIGKILL)
    try:
        yield
    finally:
        cluster.chmod(0o700)
    wait_for(lambda: restarted(gateway, before))


def restarted(gateway: Any, before: int) -> bool:
    try:
        return postgres_of(gateway) != before
    except (OSError, IndexError):
        return False


def test_on_a_slow_and_lossy_road_rows_arrive_whole(world: World) -> None:
    wait_until_ok(world)
    world.work_site.weather(delay=0.1, loss=0.05)
    answers: list[Seen] = []

    def some_are_new() -> bool:
        answers.append(seen(world))
        return len(answers) >= 4 and any(
            each.sources["work"] == "ok" and each.seconds > 0.2 for each in answers
        )

    try:
        wait_for(some_are_new)
    finally:
        world.work_site.weather()
    # Which of both is chance: where packets of one dial are lost several times, it takes longer than home waits for one
    # (3 s), and what is shown is said to be old. Never less than all rows, and never nothing.
    assert all(each.sources["work"] in {"ok", "stale"} for each in answers)


def test_while_nothing_gets_through_old_rows_are_shown_in_time_and_the_admin_is_told(world: World) -> None:
    wait_until_ok(world)
    wait_for(lambda: not world.work_site.sockets("established", 8443))  # idle: the next question dials
    with lost(world):
        away = seen(world, timeout=1)
        assert away.sources["work"] == "stale"
        assert away.seconds < 5  # the deadline was 1 s; a busy machine takes its time, TCP would take minutes
        wait_for(lambda: peer_record(world)["failure"] == "no answer in time")
    wait_until_ok(world)


def peer_record(world: World) -> Any:
    status, record = ask(world.home, "/v1/admin/peers/work")
    assert status == 200, record
    return record


def test_a_host_that_goes_without_a_word_leaves_nothing_open_and_is_asked_anew_when_it_is_back(
    world: World,
) -> None:
    wait_until_ok(world)
    assert world.work_site.sockets("established", 8443)
    with lost(world):
        wait_for(lambda: not world.work_site.sockets("established", 8443))  # for work, home is gone
        with killed(world.work):  # its farewell is lost, too: home's connection is half open
            assert seen(world, timeout=1).sources["work"] == "stale"
    wait_until_ok(world)


def large(world: World, order: str = "-created_at") -> tuple[int, Any]:
    return ask(world.home, f"/v1/peers/work/notes?limit={LARGE}&sort={order}")


@contextmanager
def answering(world: World, order: str = "-created_at") -> Iterator[Any]:
    """A large answer of work is on its way, over a slow road."""
    wait_until_ok(world)
    world.work_site.weather(delay=0.15)
    try:
        with ThreadPoolExecutor() as pool:
            reading = pool.submit(large, world, order)
            wait_for(
                lambda: any(int(unsent) > 0 for _, unsent, *_ in world.work_site.sockets("established", 8443))
            )
            yield reading
    finally:
        world.work_site.weather()


def test_killed_in_the_middle_of_an_answer_no_part_of_it_is_shown(world: World) -> None:
    order = "title"  # nobody has asked so before: there is no old answer to show
    with answering(world, order) as reading:
        world.work_site.weather(
            loss=1.0
        )  # nothing more of it leaves work's host, whose kernel has a part at most
        with killed(world.work):
            world.work_site.weather()
            status, answer = reading.result()
    assert (status, "peer 'work'" in answer["detail"], bool(answer["remedy"])) == (503, True, True), answer
    wait_until_ok(world)
    status, page = large(world, order)
    assert (status, len(page["items"])) == (200, LARGE)


def test_stopped_in_the_middle_of_an_answer_it_is_waited_for(world: World) -> None:
    with answering(world) as reading, held(world.work.process):
        world.work_site.weather()
        assert seen(world, timeout=1).sources["work"] == "stale"
    status, page = reading.result()
    assert (status, len(page["items"])) == (200, LARGE)
    wait_until_ok(world)


STRANGERS = """
import os, socket, sys
words = (b"", b"\\x16\\x03\\x01\\x02\\x00\\x01", b"GET / HTTP/1.1\\r\\nHost: x\\r\\nX: ", os.urandom(500))
held = []
for number in range(300):
    each = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    each.sendall(words[number % 4])
    held.append(each)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def strangers(world: World) -> Iterator[None]:
    """300 connections from home's own address that say nothing, half a word or garbage, and stay."""
    command = [*world.home_site.inside, sys.executable, "-c", STRANGERS, world.work_site.address, "8443"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()


def test_strangers_that_say_nothing_or_nonsense_hold_nobody_up(world: World) -> None:
    wait_until_ok(world)
    wait_for(lambda: not world.work_site.sockets("established", 8443))  # idle: home has to get past them
    with strangers(world):
        wait_until_ok(world)  # they are at home's own address, and share its turns: at most 5 s each


def test_a_database_killed_at_work_means_no_rows_until_it_is_back(world: World) -> None:
    wait_until_ok(world)
    with without_database(world.work):
        assert seen(world).sources["work"] == "unavailable"
    wait_until_ok(world)
    world.work.run("audit", "verify")


def test_after_that_a_revocation_is_still_heard_at_once(world: World) -> None:
    offer = new_offer(world.work, "home")
    world.home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "second")
    assert titles_at(world.home, "second") == [THEIRS]
    assert ask(world.work, f"/v1/admin/grants/{offer['id']}/revoke", {})[0] == 200
    status, problem = ask(world.home, "/v1/peers/second/tasks")
    # 403 with the reason on the connection that is open; 503 once that is closed, a second later at most, and TLS lets
    # the certificate in no more. Which of both comes first is for the clock to say, and neither shows a row.
    assert status in {403, 503}, problem
    assert "items" not in problem


def test_a_database_killed_at_home_is_back_by_itself(world: World) -> None:
    wait_until_ok(world)
    with without_database(world.home):
        status, answer = ask(world.home, "/v1/tasks")
        assert (status, "database" in answer["detail"], bool(answer["remedy"])) == (503, True, True)
    wait_for(lambda: ask(world.home, "/v1/tasks")[0] == 200)
    wait_until_ok(world)


def test_without_the_authority_reading_goes_on_and_enrolling_waits(world: World) -> None:
    world.ca_site.processes[-1].kill()
    world.ca_site.processes[-1].wait(60)
    wait_until_ok(world)
    world.work.stop()
    world.work.start()  # its own certificate, and the authority's last list, are on record
    wait_until_ok(world)
    offer = world.work.offer()
    refused = world.home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "later", code=5)
    assert "the certificate authority at" in refused
    world.start_ca()
    world.home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "later")
    assert titles_at(world.home, "later") == [THEIRS]
