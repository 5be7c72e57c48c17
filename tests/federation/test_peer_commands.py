"""Enrolling, and what goes wrong later, as the admins of both gateways see it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mosaic_federation.keys import new_key, signing_request
from mosaic_runs import run_mosaic


@pytest.fixture
def peer(home: Any, work: Any) -> Iterator[dict[str, Any]]:
    """A grant of work's that home has enrolled for as ``fresh``."""
    offer = work.offer()
    home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "fresh")
    yield offer
    if "fresh" in {one["name"] for one in home.json("federation", "peer", "list")}:
        home.run("federation", "peer", "remove", "fresh")


def replay(url: str) -> httpx.Response:
    body = {"csr": signing_request(new_key()).decode(), "name": "thief"}
    return httpx.post(url.partition("#")[0], json=body, timeout=60)


def piped(gateway: Any, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return run_mosaic("--config", gateway.config, "federation", "peer", "add", *options, stdin=url)


def checks(gateway: Any, name: str, *, code: int) -> dict[str, Any]:
    text = gateway.run("federation", "peer", "test", name, "--json", code=code)
    return {one["check"]: one for one in json.loads(text)["checks"]}


def test_the_url_may_come_by_standard_input(home: Any, work: Any) -> None:
    offer = work.offer()
    done = piped(home, offer["url"] + "\n", "-", "--yes", "--name", "piped")
    assert done.returncode == 0, done.stderr
    assert "peer piped is active" in done.stdout
    home.run("federation", "peer", "remove", "piped")
    done = piped(home, work.offer()["url"], "--yes", "--name", "piped")
    assert done.returncode == 0, done.stderr
    home.run("federation", "peer", "remove", "piped")


def test_without_yes_nobody_to_ask_means_no(home: Any, work: Any) -> None:
    offer = work.offer()
    done = piped(home, offer["url"] + "\n", "-", "--name", "unasked")
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    assert work.json("federation", "grant", "show", offer["id"])["status"] == "pending"


def test_an_unexpected_fingerprint_is_refused_before_anything_is_asked(home: Any, work: Any) -> None:
    offer = work.offer()
    add = ("federation", "peer", "add", offer["url"], "--yes", "--name", "compared", "--expect-fingerprint")
    text = home.run(*add, "a" * 64, code=4)
    assert "not the expected one" in text
    rows = work.json("audit", "tail", "--limit", "5")
    assert offer["id"] not in {row["grant_id"] for row in rows}, "it was not even looked at"
    home.run(*add, offer["url"].rpartition("=")[2].upper())
    home.run("federation", "peer", "remove", "compared")


def test_every_step_of_the_way_to_a_peer_is_looked_at(home: Any, peer: Any) -> None:
    found = checks(home, "fresh", code=0)
    assert list(found) == [
        "our certificate",
        "name",
        "tcp",
        "tls",
        "whoami",
        "release",
        "grant",
        "scope",
        "clock",
    ]
    assert {one["status"] for one in found.values()} == {"green"}
    assert "TLSv1.3" in found["tls"]["detail"]
    assert peer["id"] in found["whoami"]["detail"]
    assert re.fullmatch(r"0\.\d{3} s .*", found["clock"]["detail"])
    text = home.run("federation", "peer", "test", "fresh")
    assert text.count("green") == len(found)


@pytest.mark.usefixtures("peer")
def test_a_list_tells_the_last_answer_to_the_minute(home: Any) -> None:
    [whole] = [
        each["answered_at"] for each in home.json("federation", "peer", "list") if each["name"] == "fresh"
    ]
    minute = whole[: len("2026-11-22T10:00")].replace("T", " ")
    assert f" {minute}+00:00 " in home.run("federation", "peer", "list")


def test_a_scope_that_has_changed_is_told(home: Any, work: Any, peer: Any) -> None:
    work.run("federation", "grant", "update", peer["id"], "--max-rows", "7")
    found = checks(home, "fresh", code=1)
    assert (found["scope"]["status"], "max_rows_per_query" in found["scope"]["detail"]) == ("yellow", True)
    assert "at most 7 rows" in found["scope"]["detail"]
    assert checks(home, "fresh", code=0)["scope"]["status"] == "green"


def test_a_spent_url_posted_again_trips_the_wire_and_both_admins_are_told(
    home: Any, work: Any, peer: Any
) -> None:
    assert httpx.get(peer["url"].partition("#")[0], timeout=60).status_code == 410
    assert checks(home, "fresh", code=0)["whoami"]["status"] == "green"  # a look trips nothing
    answer = replay(peer["url"])
    assert (answer.status_code, "used already" in answer.json()["detail"]) == (410, True)

    # B
    assert work.json("federation", "grant", "show", peer["id"])["status"] == "quarantined"
    assert "quarantined" in work.run("federation", "grant", "list")
    assert f"grant {peer['id']} is quarantined" in work.log.read_text()
    uses = [row for row in work.json("audit", "tail", "--limit", "50") if row["grant_id"] == peer["id"]]
    assert "quarantined" in {row["outcome"] for row in uses if row["verb"] == "enroll"}
    doctor = json.loads(work.run("gateway", "doctor", "--json", code=2))
    [finding] = [one for one in doctor["findings"] if one["probe"] == "federation grants"]
    assert (finding["status"], peer["id"] in finding["detail"]) == ("red", True)
    assert "mosaic federation grant release" in finding["remedy"]

    # A
    with home.http() as client:
        refused = client.get("/v1/peers/fresh/tasks")
    assert (refused.status_code, "quarantined" in refused.json()["detail"]) == (403, True)
    [listed] = [one for one in home.json("federation", "peer", "list") if one["name"] == "fresh"]
    assert (listed["state"], "quarantined" in listed["refusal"]) == ("refused", True)
    whoami = checks(home, "fresh", code=2)["whoami"]
    assert (whoami["status"], "quarantined" in whoami["detail"]) == ("red", True)
    doctor = json.loads(home.run("gateway", "doctor", "--json", code=2))
    [finding] = [one for one in doctor["findings"] if one["probe"] == "federation peers"]
    assert (finding["status"], "fresh" in finding["detail"]) == ("red", True)

    # and back
    serial = home.json("federation", "peer", "show", "fresh")["serial"]
    released = work.json("federation", "grant", "release", peer["id"], "--reason", "a drill")
    assert (released["status"], released["serial"]) == ("active", serial)
    assert checks(home, "fresh", code=0)["whoami"]["status"] == "green"
    assert home.json("federation", "peer", "show", "fresh")["state"] == "active"


def test_a_new_url_renews_the_peer_and_ends_the_old_certificate(home: Any, work: Any, peer: Any) -> None:
    before = home.json("federation", "peer", "show", "fresh")
    unused, url = (work.json("federation", "grant", "reissue", peer["id"])["url"] for _ in range(2))
    text = home.run("federation", "peer", "add", unused, "--yes", code=4)
    assert "expired" in text
    with home.http() as client:
        assert client.get("/v1/peers/fresh/tasks").status_code == 200, "the old one until the new one is used"
    assert "keeps its name" in home.run("federation", "peer", "add", url, "--yes", "--name", "other", code=2)
    added = home.json("federation", "peer", "add", url, "--yes")
    assert (added["name"], added["state"], added["grant_id"]) == ("fresh", "active", peer["id"])
    after = home.json("federation", "peer", "show", "fresh")
    assert after["serial"] != before["serial"]
    with home.http() as client:
        assert client.get("/v1/peers/fresh/tasks").status_code == 200
    assert [one["name"] for one in home.json("federation", "peer", "list")].count("fresh") == 1


def test_a_peer_that_is_gone_or_hangs_is_removed_all_the_same(home: Any, work: Any) -> None:
    offer = work.offer()
    home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "leaving")
    work.stop()
    try:
        found = checks(home, "leaving", code=2)
        assert list(found) == ["our certificate", "name", "tcp"]
        assert "nothing listens there" in found["tcp"]["detail"]
        home.run("federation", "peer", "remove", "leaving")
    finally:
        work.start()
    assert "leaving" not in home.run("federation", "peer", "list")
