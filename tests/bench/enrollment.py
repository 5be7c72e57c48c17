"""Enrollment against step-ca's own `/1.0/sign`: the POST that gives a certificate, and all that a peer does.

One step-ca serves both, in alternating rounds of one run. Both sides make a key and a CSR for each certificate, both
keep their connections, and the plain one asks with the plugin's own client and tokens. Two ratios, since `/1.0/sign`
is one POST: "POST alone" is the like of it, with limits, the grant's transition and the audit log; "GET and POST" has
the look at the offer, too, which every peer takes first, and which step-ca knows nothing of.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.bench import Row
from tests.bench.listing import _listening, _mosaic, _process, free_port

from mosaic_federation.grants import Grants
from mosaic_federation.keys import new_key, signing_request
from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_step_ca.client import Client
from mosaic_step_ca.store import load_provisioner
from mosaic_step_ca.tokens import bound_to

ROUNDS = 7
EACH = 24  # certificates in a round
POST, BOTH = "POST alone", "GET and POST"
SCOPE = {"resources": ["tasks"], "include_personal": True}

One = Callable[[], Awaitable[None]]


async def measure() -> list[Row]:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config, ca = await _services(stack, directory)
        view = (await stack.enter_async_context(_opened(config))).composition.view
        plain = await stack.enter_async_context(_plain(view("step_ca"), ca))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        grants, rows = Grants(view("federation")), []
        for concurrency in (1, 8):
            times: dict[str, list[float]] = {POST: [], BOTH: [], "plain": []}
            for number in range(ROUNDS + 1):  # the first one warms up
                for name, taken in times.items():
                    urls = iter([await _offered(grants) for _ in range(EACH)]) if name != "plain" else None
                    one = _enrolling(session, urls, looks=name == BOTH) if urls else plain
                    seconds = await _round(one, concurrency)
                    if number:
                        taken.append(seconds * 1000 / EACH)
            for name in (POST, BOTH):
                what = f"enroll, {name}, against step-ca's own POST, {concurrency} at once"
                rows.append(Row(what, "ms", median(times[name]), median(times["plain"])))
        return rows


async def _offered(grants: Grants) -> str:
    return (await grants.create(subject="admin", peer="home", scope=SCOPE, actor="bench")).url


async def _round(one: One, concurrency: int) -> float:
    """Seconds for all certificates of a round."""
    left = iter(range(EACH))

    async def client() -> None:
        for _ in left:
            await one()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    return time.perf_counter() - began


_addresses = count(1)


def _enrolling(session: aiohttp.ClientSession, urls: Iterator[str], *, looks: bool) -> One:
    """As peers do, each from an address of its own: one may ask 60 times a minute."""

    async def one() -> None:
        url, number = next(urls).partition("#")[0], next(_addresses)
        headers = {"X-Forwarded-For": f"198.51.{number // 250}.{number % 250}"}
        if looks:
            async with session.get(url, headers=headers) as response:
                assert response.status == 200, await response.text()
                await response.read()
        body = {"csr": signing_request(new_key()).decode(), "name": "home"}
        async with session.post(url, headers=headers, json=body) as response:
            assert response.status == 200, await response.text()
            assert (await response.json())["chain"]

    return one


@asynccontextmanager
async def _plain(host: Any, ca: dict[str, str]) -> AsyncIterator[One]:
    provisioner = await load_provisioner(host.database, host.sealer, "grants")
    root = (Path(ca["directory"]) / "certs" / "root_ca.crt").read_bytes()
    path, url = "/1.0/sign", ca["url"]

    async def one() -> None:
        pem = signing_request(new_key())
        der = x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)
        ends = datetime.now(UTC) + timedelta(hours=24)
        ids = {"grantId": str(uuid4()), "subjectUserId": str(uuid4()), "oidArc": "1.3.6.1.4.1.99999"}
        claims = {**ids, **bound_to(der), "certExp": int(ends.timestamp())}

        async def body() -> dict[str, str]:
            return {"csr": pem.decode(), "ott": provisioner.token(url + path, ids["grantId"], claims)}

        reply = await client.post(path, body)
        assert reply.status == 201, reply.body
        assert reply.json()["certChain"]

    async with Client(url, root=root, timeout=10) as client:
        yield one


@asynccontextmanager
async def _opened(config: Path) -> AsyncIterator[Any]:
    """Beside the running gateway, as a command: to make grants."""
    async with open_gateway(compose(read_config(config)), serving=False) as gateway:
        yield gateway


async def _services(stack: AsyncExitStack, directory: Path) -> tuple[Path, dict[str, str]]:
    """A gateway and its step-ca, both running: its config, and what `ca init` said."""
    port, federation, ca_port = free_port(), free_port(), free_port()
    options = ("--port", str(port), "--federation-port", str(federation), "--authority", "step_ca")
    _mosaic("gateway", "init", str(directory / "g"), *options)
    config, url = directory / "g" / "mosaic.config.json", f"https://localhost:{ca_port}"
    init = ("federation", "ca", "init", str(directory / "ca"), "--url", url, "--json")
    ca: dict[str, str] = json.loads(_mosaic("--config", str(config), *init))
    settings = json.loads(config.read_text())
    settings["plugins"]["step_ca"] = {"url": ca["url"], "fingerprint": ca["fingerprint"]}
    settings["listen"]["public"]["trusted_proxies"] = ["127.0.0.1"]  # so that addresses can be told apart
    config.write_text(json.dumps(settings))
    stack.enter_context(_step_ca(Path(ca["directory"])))
    stack.enter_context(_process("-m", "mosaic_gateway.cli", "--config", str(config), "gateway", "start"))
    await asyncio.gather(_listening(ca_port), _listening(port))
    return config, ca


@contextmanager
def _step_ca(directory: Path) -> Iterator[None]:
    program = subprocess.run([".ci/step-ca"], capture_output=True, text=True, check=True).stdout.strip()
    command = [program, "config/ca.json", "--password-file", "secrets/password"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
