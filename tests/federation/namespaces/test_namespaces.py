"""Two gateways and their step-ca on hosts of their own: by their own addresses, and with a cable out."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from on_hosts import ask, held, new_offer, on_host, start_ca, titles_at, wait_for


@dataclass(frozen=True)
class World:
    """``work`` shares and ``home`` reads, with one authority; ``partner`` has its own."""

    home: Any
    home_site: Any
    work: Any
    work_site: Any
    partner: Any
    ca_site: Any


@pytest.fixture(scope="module")
def world(
    new_gateway: Any, new_site: Any, tls_proxy: Any, step_ca_program: Path, tmp_path_factory: Any
) -> World:
    """The authority of work and home on a host of its own, and partner's beside it."""
    names = ("home", "work", "partner")
    sites = {name: new_site(name) for name in (*names, "ca")}
    with ThreadPoolExecutor() as pool:
        home, work, partner = pool.map(lambda name: on_host(new_gateway, sites[name], name), names)
        folder = tmp_path_factory.mktemp("ca")
        start_ca(step_ca_program, sites["ca"], folder, work, home)
        start_ca(step_ca_program, sites["partner"], folder, partner)
        home.environment["SSL_CERT_FILE"] = str(tls_proxy(sites["work"], work.port))
        partner.environment["SSL_CERT_FILE"] = home.environment["SSL_CERT_FILE"]
        work.environment["SSL_CERT_FILE"] = str(tls_proxy(sites["partner"], partner.port))
        list(pool.map(lambda gateway: gateway.start(), (home, work, partner)))
    return World(home, sites["home"], work, sites["work"], partner, sites["ca"])


def out_of_reach(text: str) -> bool:
    """What the kernel knows of its neighbour decides which of the two is said."""
    return "no answer in time" in text or "its host cannot be reached" in text


def status_of(gateway: Any, offer: Any) -> Any:
    return ask(gateway, f"/v1/admin/grants/{offer['id']}")[1]["status"]


@pytest.fixture(scope="module")
def shared(world: World) -> Any:
    """Home has enrolled and reads a task of work."""
    assert ask(world.work, "/v1/tasks", {"title": "plant a tree"})[0] == 201
    offer = new_offer(world.work, "home")
    return offer | {"peer": world.home.json("federation", "peer", "add", offer["url"], "--yes")}


def test_they_enroll_and_read_by_their_own_addresses(world: World, shared: Any) -> None:
    address = world.work_site.address
    assert shared["url"].startswith(f"https://{address}/federation/v1/enroll/")
    assert (shared["peer"]["state"], shared["peer"]["url"]) == ("active", f"https://{address}:8443")
    assert titles_at(world.home, "work") == ["plant a tree"]


def test_each_with_an_authority_of_its_own_they_share_both_ways(world: World, shared: Any) -> None:
    assert ask(world.partner, "/v1/tasks", {"title": "dig a well"})[0] == 201
    for reader, sharer, title in (
        (world.partner, world.work, "plant a tree"),
        (world.work, world.partner, "dig a well"),
    ):
        url = new_offer(sharer, reader.name)["url"]
        reader.run("federation", "peer", "add", url, "--yes")
        assert titles_at(reader, sharer.name) == [title]


class Adding:
    """`peer add` with an admin before it who has read the offer and not answered yet."""

    def __init__(self, home: Any, url: str, name: str) -> None:
        command = home.mosaic("federation", "peer", "add", url, "--name", name)
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._process: Any = subprocess.Popen(command, **streams, env=home.variables)  # type: ignore[call-overload]
        self.shown = b""
        while not self.shown.endswith(b"[y/N]: "):
            read = os.read(self._process.stdout.fileno(), 1000)
            assert read, self.shown.decode()
            self.shown += read

    def yes(self) -> None:
        self._process.stdin.write(b"y\n")
        self._process.stdin.flush()

    def end(self) -> tuple[int, str]:
        text = self._process.communicate(timeout=60)[0].decode()
        return self._process.returncode, text


@pytest.mark.parametrize(
    ("whose", "said"), [("work_site", "https://10.77.0."), ("ca_site", "the certificate authority at")]
)
def test_a_cable_out_before_the_post_spends_nothing(world: World, shared: Any, whose: str, said: str) -> None:
    site, name = getattr(world, whose), whose.replace("_", "-")
    offer = new_offer(world.work, "home")
    adding = Adding(world.home, offer["url"], name)
    site.unplug()
    try:
        adding.yes()
        code, text = adding.end()
    finally:
        site.plug()
    assert (code, said in text) == (5, True), text
    assert status_of(world.work, offer) == "pending"
    added = world.home.json("federation", "peer", "add", offer["url"], "--yes", "--name", name)
    assert added["state"] == "active"


@dataclass(frozen=True)
class Outage:
    """What was seen while work's cable was out."""

    offer: Any
    added: tuple[int, str]
    read: tuple[int, Any]
    own_rows: int
    own_rows_seconds: float
    tested: str


@pytest.fixture(scope="module")
def outage(world: World, shared: Any) -> Outage:
    """Home's cable goes out when its CSR has arrived and the answer has not left; meanwhile work restarts."""
    home, work = world.home, world.work
    assert titles_at(home, "work")  # leaves a connection open
    offer = new_offer(work, "home")
    adding = Adding(home, offer["url"], "during")
    with held(work.process):
        adding.yes()
        wait_for(lambda: any(int(got) > 500 for got, *_ in world.work_site.sockets("established", work.port)))
        world.home_site.unplug()
    try:
        with ThreadPoolExecutor() as pool:
            reading = pool.submit(ask, home, "/v1/peers/work/tasks")
            testing = pool.submit(home.run, "federation", "peer", "test", "work", code=2)
            wait_for(lambda: status_of(work, offer) != "pending")
            began = time.monotonic()
            own_rows = ask(home, "/v1/tasks")[0]
            seconds = time.monotonic() - began
            work.stop()
            work.start()
            added, read, tested = adding.end(), reading.result(), testing.result()
    finally:
        world.home_site.plug()
    return Outage(offer, added, read, own_rows, seconds, tested)


def test_while_it_lasts_reads_say_so_and_own_rows_are_not_held_up(outage: Outage) -> None:
    status, answer = outage.read
    if status == 200:  # the rows of before
        assert [row["title"] for row in answer["items"]] == ["plant a tree"]
    else:
        assert (status, out_of_reach(answer["detail"]), bool(answer["remedy"])) == (503, True, True)
    assert (outage.own_rows, outage.own_rows_seconds < 5) == (200, True)
    assert out_of_reach(outage.tested)


def test_reads_go_on_when_it_is_over_though_the_peer_was_restarted(world: World, outage: Outage) -> None:
    assert titles_at(world.home, "work") == ["plant a tree"]
    assert world.home.json("federation", "list", "work", "tasks")


def test_an_answer_that_was_lost_costs_the_url_and_a_new_one_mends_it(world: World, outage: Outage) -> None:
    home, work, grant = world.home, world.work, outage.offer["id"]
    code, text = outage.added
    assert (code, out_of_reach(text)) == (5, True)
    again = home.run("federation", "peer", "add", outage.offer["url"], "--yes", code=4)
    assert "we used it ourselves, as 'during'" in again
    assert f"mosaic federation grant reissue {grant}" in again
    assert status_of(work, outage.offer) == "active"  # a look trips no wire
    url = work.json("federation", "grant", "reissue", grant)["url"]
    added = home.json("federation", "peer", "add", url, "--yes", "--name", "during")
    assert (added["state"], added["grant_id"]) == ("active", grant)
