"""Grants on the command line, and what their peer is answered over mTLS."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from asked_again import ask_until
from mosaic_federation.keys import client_context, key_pem, new_key, signing_request
from mosaic_runs import run_mosaic

MOSAIC = Path(sys.executable).with_name("mosaic")
SCOPE = {
    "resources": ["tasks"], "include_personal": True, "fields": {"tasks": ["title", "status"]},
    "max_rows_per_query": 2, "max_rows_per_day": 5, "expires_at": "2030-01-31T12:00:00Z",
}  # fmt: skip


def grant(work: Any, *command: str, stdin: str = "", code: int = 0) -> str:
    """Run ``mosaic federation …`` with something on standard input."""
    environment = {**os.environ, "NO_COLOR": "1"}
    done = run_mosaic("--config", work.config, "federation", *command, stdin=stdin, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def enroll(offer: Any) -> Any:
    """Redeem an offer by hand; return what a client of the listener needs."""
    key = new_key()
    body = {"csr": signing_request(key).decode(), "name": "byhand"}
    answer = httpx.post(offer["url"].partition("#")[0], json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    issued = answer.json()
    return client_context(ca=issued["ca"].encode(), chain=issued["chain"].encode(), key=key_pem(key))


def test_a_grant_by_a_whole_scope_from_making_to_taking_back(work: Any) -> None:
    for n in range(4):
        work.add("tasks", title=f"counted {n}", body="hidden")
    made = json.loads(grant(
        work, "grant", "create", "--subject", "admin", "--peer", "counter", "--scope", "-", "--json",
        stdin=json.dumps(SCOPE),
    ))  # fmt: skip
    assert made["scope"] == {"excluded_resources": [], "include_teams": [], **SCOPE}
    assert made["expires_at"].startswith("2030-01-31T12:00:00")
    with httpx.Client(verify=enroll(made), base_url=f"{work.link}/federation/v1", timeout=60) as peer:
        page = peer.get("/tasks").json()
        assert [set(row) for row in page["items"]] == [{"id", "title", "status"}] * 2
        assert peer.get("/tasks", params={"body": "hidden"}).status_code == 400
        assert peer.get("/tasks", params={"cursor": page["next_cursor"]}).status_code == 200
        assert len(peer.get("/tasks").json()["items"]) == 1  # the last of the day
        refused = peer.get("/tasks")
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:mosaic:problem:too-many")
        assert 1 <= int(refused.headers["Retry-After"]) <= 24 * 3600

        explained = work.run("federation", "scope", "explain", made["id"], "tasks", page["items"][0]["id"])
        assert "is hidden:" in explained
        assert "5 of 5 rows of this day" in explained
        assert "only id, title, status" in explained

        told = work.run(
            "federation", "grant", "update", made["id"], "--max-rows-per-day", "100", "--reason", "as agreed",
            "--expected-version", "2",
        )  # fmt: skip
        assert "is at version 3" in told
        assert "at most 100 rows per day" in told
        assert ask_until(peer, "/tasks", 200).json()["items"]
        stale = work.run("federation", "grant", "revoke", made["id"], "--expected-version", "2", code=4)
        assert "at version 3, not 2" in stale
        work.run("federation", "grant", "revoke", made["id"], "--reason", "over")
        assert "revoked" in ask_until(peer, "/tasks", 403).json()["detail"]

    shown = work.json("federation", "grant", "show", made["id"])
    assert [(each["change"], each["reason"]) for each in shown["history"]] == [
        ("created", None), ("enrolled", None), ("updated", "as agreed"), ("revoked", "over"),
    ]  # fmt: skip
    assert shown["history"][1]["actor"] == "peer:byhand"
    assert "revoked" in work.run("federation", "grant", "show", made["id"])
    listed = work.json("federation", "grant", "list", "--status", "revoked", "--peer", "counter")
    assert [one["id"] for one in listed] == [made["id"]]
    assert work.json("federation", "grant", "list", "--status", "active", "--peer", "counter") == []


def test_a_user_of_home_is_told_when_the_days_rows_are_given(home: Any, work: Any) -> None:
    work.add("tasks", title="one")
    offer = work.offer("--resource", "tasks", "--personal", "--max-rows-per-day", "1")
    home.run("federation", "peer", "add", offer["url"], "--name", "counted", "--yes")
    with home.http() as client:
        assert len(client.get("/v1/peers/counted/tasks").json()["items"]) == 1
        refused = client.get("/v1/peers/counted/tasks")
        assert refused.status_code == 429, refused.text
        assert "1 rows of this day (UTC) are given" in refused.json()["detail"]
        assert 1 <= int(refused.headers["Retry-After"]) <= 24 * 3600
    assert "after midnight UTC" in home.run("federation", "list", "counted", "tasks", code=5)


def test_a_scope_can_be_checked_before_it_is_used(work: Any) -> None:
    assert "the scope is valid" in grant(work, "scope", "check", "-", stdin=json.dumps(SCOPE))
    wrong = json.dumps(SCOPE | {"fields": {"tasks": ["titel"]}, "expires_at": "2020-01-01T00:00:00Z"})
    told = grant(work, "scope", "check", "-", stdin=wrong, code=2)
    assert "scope.fields.tasks[0]: 'titel' is no column of tasks; did you mean 'title'?" in told
    assert "scope.expires_at: is in the past" in told
    assert "more than once" in grant(
        work, "scope", "check", "-", stdin='{"resources": ["tasks"], "resources": []}', code=2
    )
    offer = work.offer()
    same = grant(work, "scope", "simulate", offer["id"], "--scope", "-", "--json", stdin=json.dumps(SCOPE))
    assert json.loads(same)["lost"] == 0  # nobody has asked yet
    schema = json.loads(grant(work, "scope", "schema"))
    assert set(schema["properties"]) >= set(SCOPE)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--scope", "-", "--personal"], "leave out the options"),
        (["--resource", "tasks", "--personal", "--days", "1", "--expires", "2030-01-01T00:00Z"], "not both"),
        (["--resource", "tasks", "--personal", "--field", "title"], "RESOURCE=COLUMN"),
        (["--resource", "tasks", "--personal", "--field", "notes=title"], "'notes' is not in resources"),
        (["--resource", "tasks", "--personal", "--expires", "2030-01-01"], "does not match"),
        (["--resource", "tasks", "--team", "nobodys", "--all-teams"], "not both"),
        (["--personal"], "scope.resources"),
    ],
)
def test_options_that_contradict_each_other_are_refused(work: Any, options: list[str], says: str) -> None:
    told = grant(
        work, "grant", "create", "--subject", "admin", "--peer", "home", *options, stdin="{}", code=2
    )
    assert says in " ".join(told.split())


def test_an_update_of_nothing_is_refused(work: Any) -> None:
    told = grant(work, "grant", "update", "0b9f7c1e-5d0c-4d0e-9a53-5f3f6d0f9f11", code=2)
    assert "nothing to change" in told


@pytest.mark.parametrize(
    ("columns", "options", "blocks"), [(100, [], True), (100, ["--no-qr"], False), (40, [], False)]
)
def test_a_qr_code_is_for_terminals_that_are_wide_enough(
    work: Any, columns: int, options: list[str], blocks: bool
) -> None:
    command = ["grant", "create", "--subject", "admin", "--peer", "home", "--resource", "tasks", "--personal"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [MOSAIC, "--config", work.config, "federation", *command, *options],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": str(columns), "LINES": "24"},
    ) as process:  # fmt: skip
        os.close(theirs)
        printed = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                printed += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert process.returncode == 0
    lines = printed.decode().replace("\r", "").splitlines()
    drawn = [line for line in lines if "▀" in line or "▄" in line or "█" in line]
    assert bool(drawn) is blocks
    assert len(drawn) <= 40
    assert "/federation/v1/enroll/" in printed.decode()
    piped = grant(work, *command)
    assert "█" not in piped
