"""The whole path with certificates of a real step-ca: one that both gateways share, and one on each side."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from cryptography import x509

from mosaic_federation.keys import client_context, key_pem, new_key, signing_request
from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config


@dataclass
class Pair:
    """Two gateways, and the authority of the one that shares."""

    home: Any
    work: Any
    authority: Any
    process: subprocess.Popen[bytes]


def over(gateway: Any, authority: Any) -> Any:
    """Have ``gateway`` use ``authority`` in place of the embedded one, and start it."""
    config = json.loads(gateway.config.read_text())
    del config["plugins"]["embedded_ca"]
    config["plugins"]["step_ca"] = authority.settings
    gateway.config.write_text(json.dumps(config))

    async def adopt() -> None:
        async with open_gateway(compose(read_config(gateway.config)), serving=False) as opened:
            await authority.adopt(opened.composition.view("step_ca"))

    asyncio.run(adopt())
    gateway.start()
    return gateway


@pytest.fixture(scope="module", params=["shared", "own"])
def pair(
    request: pytest.FixtureRequest, new_gateway: Callable[..., Any], new_step_ca: Callable[[], Any]
) -> Iterator[Pair]:
    theirs = new_step_ca()
    ours = theirs if request.param == "shared" else new_step_ca()
    with ExitStack() as stack:
        process = stack.enter_context(theirs.running())
        if ours is not theirs:
            stack.enter_context(ours.running())
        home = over(new_gateway(f"home-{request.param}"), ours)
        stack.callback(home.stop)
        work = over(new_gateway(f"work-{request.param}"), theirs)
        stack.callback(work.stop)
        yield Pair(home, work, theirs, process)


@pytest.fixture
def peer(pair: Pair) -> Iterator[dict[str, Any]]:
    """A grant that home has enrolled for as ``work``."""
    offer: dict[str, Any] = pair.work.offer()
    pair.home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "work")
    yield offer
    pair.home.run("federation", "peer", "remove", "work")


def redeem(offer: dict[str, Any], *, timeout: float = 60) -> httpx.Response:
    body = {"csr": signing_request(new_key()).decode(), "name": "byhand"}
    return httpx.post(offer["url"].partition("#")[0], json=body, timeout=timeout)


def status(gateway: Any, offer: dict[str, Any]) -> str:
    return str(gateway.json("federation", "grant", "show", offer["id"])["status"])


def test_rows_are_read_with_a_chain_of_leaf_and_intermediate(pair: Pair, peer: dict[str, Any]) -> None:
    row = pair.work.add("tasks", title="over step-ca")
    with pair.home.http() as client:
        items = client.get("/v1/peers/work/tasks").json()["items"]
    assert row in {item["id"] for item in items}
    tested = json.loads(pair.home.run("federation", "peer", "test", "work", "--json"))
    assert {check["status"] for check in tested["checks"]} == {"green"}
    issued = redeem(pair.work.offer()).json()
    leaf, *others = x509.load_pem_x509_certificates(issued["chain"].encode())
    [root] = x509.load_pem_x509_certificates(issued["ca"].encode())
    assert len(others) == 1
    leaf.verify_directly_issued_by(others[0])
    others[0].verify_directly_issued_by(root)


def test_a_certificate_is_renewed_over_the_link(pair: Pair, peer: dict[str, Any]) -> None:
    before = pair.home.json("federation", "peer", "show", "work")["serial"]
    pair.home.run("federation", "peer", "renew", "work")
    after = pair.home.json("federation", "peer", "show", "work")["serial"]
    assert after != before
    with pair.home.http() as client:
        assert client.get("/v1/peers/work/tasks").status_code == 200
    assert pair.work.json("federation", "grant", "show", peer["id"])["serial"] == after
    assert int(after, 16) not in revoked_serials(pair)


def test_a_replayed_url_quarantines_and_a_new_one_mends_it(pair: Pair, peer: dict[str, Any]) -> None:
    assert redeem(peer).status_code == 410
    with pair.home.http() as client:
        refused = client.get("/v1/peers/work/tasks")
    assert (refused.status_code, "quarantined" in refused.json()["detail"]) == (403, True)
    pair.work.run("federation", "grant", "release", peer["id"])
    url = pair.work.json("federation", "grant", "reissue", peer["id"])["url"]
    before = pair.home.json("federation", "peer", "show", "work")["serial"]
    pair.home.run("federation", "peer", "add", url, "--yes")
    after = pair.home.json("federation", "peer", "show", "work")["serial"]
    with pair.home.http() as client:
        assert client.get("/v1/peers/work/tasks").status_code == 200
    revoked = revoked_serials(pair)
    assert int(before, 16) in revoked
    assert int(after, 16) not in revoked


def revoked_serials(pair: Pair) -> set[int]:
    async def crl() -> bytes | None:
        async with open_gateway(compose(read_config(pair.work.config)), serving=False) as opened:
            found: bytes | None = await opened.composition.view("federation").authority().crl()
            return found

    der = asyncio.run(crl())
    assert der is not None
    return {entry.serial_number for entry in x509.load_der_x509_crl(der)}


def test_a_certificate_on_the_authoritys_list_makes_no_connection(pair: Pair) -> None:
    offer, key = pair.work.offer(), new_key()
    body = {"csr": signing_request(key).decode(), "name": "byhand"}
    issued = httpx.post(offer["url"].partition("#")[0], json=body, timeout=60).json()
    tls = client_context(ca=issued["ca"].encode(), chain=issued["chain"].encode(), key=key_pem(key))

    def whoami() -> int:
        with httpx.Client(verify=tls, base_url=pair.work.link, timeout=30) as client:
            return client.get("/federation/v1/whoami").status_code

    assert whoami() == 200
    pair.work.run("federation", "grant", "revoke", offer["id"])
    deadline = time.monotonic() + 60
    with pytest.raises(httpx.TransportError):
        while time.monotonic() < deadline:
            assert whoami() == 403, "the grant decides at once, and TLS as soon as the list is there"


def test_an_authority_that_hangs_and_a_gateway_killed_meanwhile_leave_the_url_usable(pair: Pair) -> None:
    offer = pair.work.offer()
    pair.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(httpx.TimeoutException):
            redeem(offer, timeout=3)
        pair.work.kill()
        pair.work.process.wait(60)
    finally:
        pair.process.send_signal(signal.SIGCONT)
    pair.work.start()
    assert status(pair.work, offer) == "pending"
    pair.home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "survivor")
    assert status(pair.work, offer) == "active"
    serial = pair.home.json("federation", "peer", "show", "survivor")["serial"]
    assert pair.work.json("federation", "grant", "show", offer["id"])["serial"] == serial
    pair.home.run("federation", "peer", "remove", "survivor")


def test_an_authority_that_is_down_leaves_the_url_usable(pair: Pair) -> None:
    offer = pair.work.offer()
    pair.process.kill()
    pair.process.wait(60)
    refused = redeem(offer)
    assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
    assert status(pair.work, offer) == "pending"
    with pair.authority.running():
        assert redeem(offer).status_code == 200
    assert status(pair.work, offer) == "active"
