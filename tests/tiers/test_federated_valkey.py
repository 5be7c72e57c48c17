"""Valkey stops and comes back under a whole gateway of the federated tier: what its peers and its operator see."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mosaic_federation.keys import client_context, key_pem, new_key, signing_request

if TYPE_CHECKING:
    from conftest import Authority, Home, RedisServer

LIST, PATIENCE = "/federation/v1/tasks", 30.0  # seconds


@dataclass
class Place:
    """A gateway with a Valkey of its own, and a peer that asks over one connection."""

    home: Home
    peer: httpx.Client
    valkey: RedisServer
    stack: ExitStack  # holds what runs

    def stop_valkey(self) -> None:
        self.stack.close()

    def start_valkey(self) -> None:
        self.stack.enter_context(self.valkey.running())

    def findings(self, code: int) -> dict[str, Any]:
        printed = self.home.run("gateway", "doctor", "--json", code=code)
        told, _ = json.JSONDecoder().raw_decode(printed)  # what follows is from the other stream
        return {each["probe"]: each for each in told["findings"]}

    def unready(self) -> str:
        """What /readyz says while the gateway is not."""
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{self.home.url}/readyz", timeout=60)
        assert caught.value.code == 503
        return caught.value.read().decode()


@pytest.fixture
def place(
    new_federated: Callable[..., Home],
    set_up_authority: Callable[[Home], Authority],
    new_redis: Callable[..., RedisServer],
    running: Callable[..., Any],
    request: pytest.FixtureRequest,
) -> Iterator[Place]:
    with ExitStack() as rest, ExitStack() as stack:
        valkey = new_redis()
        stack.enter_context(valkey.running())
        home = new_federated("--queue-url", valkey.url)
        authority = set_up_authority(home).start()
        rest.callback(authority.wait, 60)
        rest.callback(authority.kill)
        config = json.loads(home.config.read_text())
        config["plugins"]["federation"]["limits"] = {"when_unavailable": request.param}
        home.config.write_text(json.dumps(config))
        running(home)
        peer = rest.enter_context(_enrolled(home, config["plugins"]["federation"]["listen"]["port"]))
        yield Place(home, peer, valkey, stack)


def _enrolled(home: Home, port: int) -> httpx.Client:
    grant = ("--subject", "admin", "--peer", "home", "--resource", "tasks", "--personal", "--rate", "3")
    offer, key = home.json("federation", "grant", "create", *grant), new_key()
    body = {"csr": signing_request(key).decode(), "name": "home"}
    issued = httpx.post(offer["url"].partition("#")[0], json=body, timeout=60).json()
    tls = client_context(ca=issued["ca"].encode(), chain=issued["chain"].encode(), key=key_pem(key))
    return httpx.Client(verify=tls, base_url=f"https://127.0.0.1:{port}", timeout=60)


def answered_again(place: Place) -> None:
    """By itself: nobody does anything but ask."""
    deadline = time.monotonic() + PATIENCE
    while place.peer.get(LIST).status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert place.home.is_ready()
    findings = place.findings(code=1)  # yellow: tests' Postgres has no fsync
    assert (findings["valkey"]["status"], findings["peer limits"]["status"]) == ("green", "green")


@pytest.mark.parametrize("place", ["deny"], indirect=True)
def test_peers_are_refused_until_it_is_back(place: Place) -> None:
    assert place.peer.get(LIST).status_code == 200
    place.stop_valkey()
    for _ in range(2):
        refused = place.peer.get(LIST)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert "cannot be counted" in refused.json()["detail"]
        assert str(place.valkey.port) not in refused.text  # where it is, is not for peers
    assert "peer limits" in place.unready()
    findings = place.findings(code=2)
    assert (findings["valkey"]["status"], findings["peer limits"]["status"]) == ("red", "red")
    assert findings["peer limits"]["remedy"]
    assert place.home.get("/v1/tasks")["items"] == []  # its own users read on
    place.start_valkey()
    answered_again(place)


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_where_the_config_says_so_each_process_counts_alone_meanwhile(place: Place) -> None:
    assert place.peer.get(LIST).status_code == 200
    place.stop_valkey()
    answers = [place.peer.get(LIST) for _ in range(4)]  # of a rate of 3
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert '"grant";r=0' in answers[-1].headers["RateLimit"]
    findings = place.findings(code=2)
    assert (findings["valkey"]["status"], findings["peer limits"]["status"]) == ("red", "yellow")
    place.start_valkey()
    answered_again(place)
