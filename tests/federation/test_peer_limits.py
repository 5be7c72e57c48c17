"""Limits and policies as a peer meets them over mTLS, and as the admin changes them while the gateway runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asked_again import ask_until
from mosaic_federation.keys import client_context, key_pem, new_key, signing_request

# What is in the file decides, so that a test can change its mind.
POLICY = """
import asyncio
import logging
from pathlib import Path

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Verdict

MOOD = Path({mood!r})


class Moody:
    name = "moody"

    async def decide(self, request):
        mood = MOOD.read_text()
        if mood == "raise":
            raise ValueError("at /srv/secret")
        if mood == "hang":
            await asyncio.Event().wait()
        return Verdict.deny(f"closed to {{request.peer}}") if mood == "deny" else Verdict.allow()


@hookimpl
def mosaic_peer_policies():
    return [Moody()]


@hookimpl
async def mosaic_peer_enrolled(host, peer):
    logging.getLogger("moody").warning("told by %s that %s has enrolled", host.gateway_name, peer.gateway)
"""


@pytest.fixture(scope="module")
def mood(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that says how the policy decides."""
    mood = tmp_path_factory.mktemp("policy") / "mood"
    mood.write_text("allow")
    return mood


@pytest.fixture(scope="module")
def careful(new_gateway: Callable[..., Any], mood: Path) -> Any:
    """A gateway with a policy of its own, from a distribution beside the installed ones."""
    folder = mood.parent
    (folder / "moody_policy.py").write_text(POLICY.format(mood=str(mood)))
    metadata = folder / "moody_policy-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: moody-policy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[mosaic]\nmoody = moody_policy\n")
    work = new_gateway("work")
    work.environment["PYTHONPATH"] = str(folder)
    config = json.loads(work.config.read_text())
    config["plugins"]["moody"] = {}
    config["plugins"]["federation"]["policy_timeout"] = 0.2
    work.config.write_text(json.dumps(config))
    work.start()
    return work


@pytest.fixture(scope="module")
def peer(careful: Any) -> Iterator[tuple[str, httpx.Client]]:
    """A grant's id, and what asks with it, over one connection."""
    offer, key = careful.offer("--resource", "tasks", "--personal", "--rate", "5000"), new_key()
    body = {"csr": signing_request(key).decode(), "name": "byhand"}
    issued = httpx.post(offer["url"].partition("#")[0], json=body, timeout=60).json()
    tls = client_context(ca=issued["ca"].encode(), chain=issued["chain"].encode(), key=key_pem(key))
    with httpx.Client(verify=tls, base_url=careful.link, timeout=60) as client:
        yield offer["id"], client


@pytest.mark.parametrize("path", ["tasks", "whoami"])
def test_answers_say_what_the_limits_are_and_how_much_is_left(
    peer: tuple[str, httpx.Client], path: str
) -> None:
    answer = peer[1].get(f"/federation/v1/{path}")
    assert answer.status_code == 200
    assert '"grant";q=5000;w=60, "peer";q=12000;w=60' in answer.headers["RateLimit-Policy"]
    assert re.fullmatch(r'"grant";r=\d+, "peer";r=\d+, "address";r=\d+', answer.headers["RateLimit"])


def test_a_rate_is_changed_while_the_peer_asks_and_its_refusals_are_on_record(
    careful: Any, peer: tuple[str, httpx.Client]
) -> None:
    grant_id, client = peer
    changed = careful.json("federation", "grant", "update", grant_id, "--rate", "2")
    assert (changed["requests_per_minute"], changed["concurrency"]) == (2, None)
    answers = list[httpx.Response]()
    while len(answers) < 3 or '"grant";q=2;w=60' not in answers[-3].headers["RateLimit-Policy"]:
        answers.append(client.get("/federation/v1/tasks"))  # the last three by the new rate
    refused = answers[-1]
    assert refused.status_code == 429
    assert "2 requests a minute" in refused.json()["detail"]
    assert refused.json()["errors"][0]["where"] == "limits.grant"
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert '"grant";q=2;w=60' in refused.headers["RateLimit-Policy"]
    assert '"grant";r=0;t=' in refused.headers["RateLimit"]
    outcomes = [row["outcome"] for row in careful.json("audit", "tail") if row["verb"] == "list"]
    assert outcomes.count("too-many") == [answer.status_code for answer in answers].count(429)
    careful.run("federation", "grant", "update", grant_id, "--rate", "default", "--concurrency", "3")
    answer = ask_until(client, "/federation/v1/tasks", 200)
    assert '"grant";q=6000;w=60' in answer.headers["RateLimit-Policy"]
    assert '"concurrency";q=3;' in answer.headers["RateLimit-Policy"]


@pytest.mark.parametrize(
    ("what", "told", "logged"),
    [
        ("deny", "closed to home", "policy 'moody' denies 'home'"),
        ("raise", "could not be asked", "policy 'moody' failed"),
        ("hang", "could not be asked", "policy 'moody' did not decide within 0.2 s"),
    ],
)
def test_a_policy_that_denies_raises_or_hangs_denies(
    careful: Any, peer: tuple[str, httpx.Client], mood: Path, what: str, told: str, logged: str
) -> None:
    _, client = peer
    mood.write_text(what)
    try:
        refused = client.get("/federation/v1/tasks")
    finally:
        mood.write_text("allow")
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:mosaic:problem:policy")
    assert told in refused.json()["detail"]
    assert "secret" not in refused.text
    assert "moody" not in refused.text
    assert f"plugin 'moody': {logged}" in careful.log.read_text()
    assert client.get("/federation/v1/tasks").status_code == 200


def test_a_plugin_is_told_that_a_peer_has_enrolled(careful: Any, peer: tuple[str, httpx.Client]) -> None:
    assert peer[0]
    assert "told by work that byhand has enrolled" in careful.log.read_text()
