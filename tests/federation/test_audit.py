"""The record of what peers were given, on a real gateway: complete through kills, and readable, movable, provable."""

from __future__ import annotations

import asyncio
import json
import random
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from mosaic_federation.keys import client_context, key_pem, new_key, signing_request

KILLS = 2  # a start each
CLIENTS = 8


@dataclass
class Asking:
    """A peer that asks as fast as it can, and notes which requests it saw an answer to."""

    work: Any
    tls: ssl.SSLContext
    answered: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=count)

    async def until(self, answers: int) -> None:
        """Load the gateway; kill it, without a word, after so many answers."""
        clients = [asyncio.create_task(self._client()) for _ in range(CLIENTS)]
        while len(self.answered) < answers:
            assert not all(client.done() for client in clients), self.work.log.read_text()[-2000:]
            await asyncio.sleep(0.001)
        self.work.kill()
        await asyncio.gather(*clients)
        self.work.process.wait(60)

    async def _client(self) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.work.peer_port, ssl=self.tls)
            while True:
                name = f"asked-{next(self.numbers)}"
                writer.write(
                    b"GET /federation/v1/tasks?limit=3 HTTP/1.1\r\nHost: work\r\n"
                    b"X-Request-ID: " + name.encode() + b"\r\n\r\n"
                )
                head = await reader.readuntil(b"\r\n")
                if head.startswith(b"HTTP/1.1 200"):  # the first bytes of an answer are an answer
                    self.answered.add(name)
                headers = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", headers)
                assert length is not None, headers
                await reader.readexactly(int(length[1]))
        except (OSError, asyncio.IncompleteReadError):
            return  # it was killed


def redeemed(work: Any) -> ssl.SSLContext:
    """The way in of a peer whose certificate was asked for by hand."""
    offer, key = work.offer(), new_key()
    body = {"csr": signing_request(key).decode(), "name": "byhand"}
    answer = httpx.post(offer["url"].partition("#")[0], json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    issued = answer.json()
    return client_context(ca=issued["ca"].encode(), chain=issued["chain"].encode(), key=key_pem(key))


@pytest.fixture(scope="module")
def audited(new_gateway: Callable[..., Any]) -> Any:
    work = new_gateway("work")
    work.start()
    for number in range(3):
        work.add("tasks", title=f"Water plant {number}")
    return work


@pytest.fixture(scope="module")
def tls(audited: Any) -> ssl.SSLContext:
    return redeemed(audited)


@pytest.fixture(scope="module")
def asked(audited: Any, tls: ssl.SSLContext) -> Any:
    """Three requests of a peer are on record; the third is refused."""
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    with httpx.Client(verify=tls, base_url=audited.link, timeout=60) as client:
        for path, status in (("whoami", 200), ("tasks", 200), ("notes", 404)):
            answer = client.get(f"/federation/v1/{path}", headers={"X-Request-ID": f"asked-{path}", **trace})
            assert answer.status_code == status, answer.text
    return audited


async def test_no_answer_is_delivered_without_a_row_whenever_the_gateway_is_killed(
    audited: Any, tls: ssl.SSLContext
) -> None:
    rng = random.Random()
    asking = Asking(audited, tls)
    for _ in range(KILLS):
        await asking.until(len(asking.answered) + rng.randint(1, 60))
        audited.start()
    async with audited.database() as database:
        rows = await database.fetch("SELECT request_id FROM federation_audit_log WHERE outcome = 'ok'")
    assert len(asking.answered) >= KILLS
    assert asking.answered - {row["request_id"] for row in rows} == set()
    assert [r for r in audited.json("audit", "verify") if r["broken_at"] is not None] == []


def test_rows_are_found_by_what_they_say_page_by_page(asked: Any) -> None:
    [refused] = asked.json("audit", "query", "--outcome", "not-found", "--request", "asked-notes")
    assert (refused["peer"], refused["verb"], refused["resource"], refused["rows"]) == (
        "home",
        "list",
        "notes",
        0,
    )
    by = ("--peer", "home", "--grant", refused["grant_id"], "--subject", refused["subject_id"])
    options = (*by, "--verb", "list", "--resource", "tasks", "--since", "1h", "--request", "asked-tasks")
    assert [row["rows"] for row in asked.json("audit", "query", *options)] == [3]
    options = ("--limit", "2", "--grant", refused["grant_id"])
    done = subprocess.run(
        asked.mosaic("audit", "query", *options, "--json"), capture_output=True, text=True, check=True
    )
    place = re.search(r"--after (\S+)", done.stderr)
    assert place is not None
    seen = json.loads(done.stdout) + asked.json("audit", "query", *options, "--after", place[1])
    assert len({(row["stream"], row["seq"]) for row in seen}) == len(seen) > 2
    assert [row["at"] for row in seen] == sorted(row["at"] for row in seen)


@pytest.mark.parametrize("command", ["query", "tail"])
def test_a_filter_that_is_misspelt_is_no_all_clear(asked: Any, command: str) -> None:
    refused = asked.run("audit", command, "--verb", "offr", code=2)
    assert "'offer'" in refused
    notes = [
        subprocess.run(
            asked.mosaic("audit", command, "--outcome", outcome, "--peer", "nobody"),
            capture_output=True, text=True, check=True,
        ).stderr
        for outcome in ("not-fuond", "not-found")
    ]  # fmt: skip
    assert ["no row of the log has the outcome" in each for each in notes] == [True, False]


def test_tail_follows_what_comes(asked: Any, tls: ssl.SSLContext) -> None:
    command = asked.mosaic("audit", "tail", "--limit", "1", "--follow", "--json", "--resource", "tasks")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["resource"] == "tasks"
        with httpx.Client(verify=tls, base_url=asked.link, timeout=60) as client:
            client.get("/federation/v1/tasks", headers={"X-Request-ID": "followed"})
        assert json.loads(tail.stdout.readline())["request_id"] == "followed"
        tail.terminate()


def test_an_export_proves_itself_elsewhere(asked: Any, tmp_path: Path) -> None:
    file, key = tmp_path / "log.ndjson", asked.run("audit", "key").strip()
    asked.run("audit", "export", "--output", str(file))
    assert file.stat().st_mode & 0o077 == 0
    kept = tmp_path / "kept.json"
    kept.write_text(asked.run("audit", "checkpoint", "--json"))
    offline = [*asked.mosaic()[:1], "audit", "verify", "--file", str(file), "--key", key, "--json"]
    reports = json.loads(subprocess.run(offline, check=True, capture_output=True, cwd=tmp_path).stdout)
    assert sum(report["rows"] for report in reports if report["stream"]) >= 3
    file.write_text(file.read_text().replace('"rows": 3', '"rows": 0', 1))
    edited = subprocess.run(offline, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert edited.returncode == 1
    assert edited.stderr.splitlines()[-1].startswith("The log does not hold")
    assert asked.json("audit", "verify", "--checkpoint", str(kept))[0]["broken_at"] is None
    kept.write_text(kept.read_text().replace('\\"rows\\":', '\\"rows\\":1'))
    assert "not signed with this gateway's key" in asked.run(
        "audit", "verify", "--checkpoint", str(kept), code=2
    )


def test_other_systems_can_read_it(asked: Any) -> None:
    line = next(x for x in asked.run("audit", "export", "--format", "cef").splitlines() if "asked-tasks" in x)
    assert re.match(
        r"CEF:0\|Mosaic\|Gateway\|[\d.]+\|list\|peer list\|1\|rt=\d{13} suser=home suid=\S+ ", line
    )
    line = next(
        x for x in asked.run("audit", "export", "--format", "syslog").splitlines() if "asked-notes" in x
    )
    assert re.match(
        r'<108>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ mosaic - list \[mosaic@99999 (\w+="[^"]*" ?)+\]\Z', line
    )


def test_the_present_month_is_not_dropped(asked: Any) -> None:
    assert asked.json("audit", "retain", "--older-than", "1d", "--yes") == []
    assert "no time" in asked.run("audit", "retain", "--older-than", "soon", code=2)


async def test_a_database_that_takes_no_rows_means_503_and_no_row_leaves(
    asked: Any, tls: ssl.SSLContext
) -> None:
    async with asked.database() as database:
        month = await database.fetchval("SELECT tableoid::regclass::text FROM federation_audit_log LIMIT 1")
        await database.execute(f"ALTER TABLE {month} ADD CONSTRAINT full_up CHECK (seq < 0) NOT VALID")
        try:
            async with httpx.AsyncClient(verify=tls, base_url=asked.link, timeout=60) as client:
                answer = await client.get("/federation/v1/tasks")
            assert (answer.status_code, "plant" in answer.text) == (503, False)
        finally:
            await database.execute(f"ALTER TABLE {month} DROP CONSTRAINT full_up")
        async with httpx.AsyncClient(verify=tls, base_url=asked.link, timeout=60) as client:
            assert (await client.get("/federation/v1/tasks")).status_code == 200
