"""Private keys at rest, between two real gateways: found nowhere in clear, and sealed anew while they serve."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from folders import remove
from mosaic_gateway.sealing import ENVIRONMENT, KeyFile, Keyring, Keys
from mosaic_runs import run_mosaic

MOSAIC = Path(sys.executable).with_name("mosaic")
SEALED = {
    "federation_peers": "id",
    "federation_server_identity": "host",
    "embedded_ca_authority": "id",
}
MANY = 1500  # rows; sealing them anew takes about a second


@pytest.fixture(scope="module")
def shared(gateways: Any) -> Iterator[str]:
    """A grant of work that home has enrolled with as ``sealed``; yields the grant's id."""
    home, work = gateways
    for number in range(6):
        work.add("tasks", title=f"prune rose {number}")
    offer = work.offer()
    home.run("federation", "peer", "add", offer["url"], "--yes", "--name", "sealed")
    yield offer["id"]
    home.run("federation", "peer", "remove", "sealed")


def keys_of(gateway: Any) -> KeyFile:
    return KeyFile(gateway.directory / "data" / "keys.json")


async def plain_keys(gateway: Any) -> list[bytes]:
    """Every private key that a gateway keeps sealed."""
    ring = Keyring.read(keys_of(gateway).path)
    async with gateway.database() as database:
        return [
            ring.open(row["sealed_key"], place=f"{table}/{row[key]}/key")
            for table, key in SEALED.items()
            for row in await database.fetch(f"SELECT {key}, sealed_key FROM {table}")
            if row["sealed_key"] is not None
        ]


def traces(plain: bytes) -> set[bytes]:
    """What a private key looks like in clear: lines of PEM, DER, and the bare number."""
    if plain.startswith(b"-----"):
        key = load_pem_private_key(plain, password=None)
    else:
        key = load_der_private_key(plain, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    pem, der = (
        key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
        for encoding in (Encoding.PEM, Encoding.DER)
    )
    number = key.private_numbers().private_value.to_bytes(32, "big")
    lines = pem.splitlines()[1:3]  # the third holds but the public key, which is in the certificate too
    return {*lines, der, number, number.hex().encode(), base64.b64encode(number)}


async def test_no_private_key_is_in_any_file_or_column_in_clear(gateways: Any, shared: str) -> None:
    for gateway in gateways:
        needles = {b"PRIVATE KEY", b"EC PARAMETERS"}
        plain = await plain_keys(gateway)
        assert plain
        for key in plain:
            needles |= traces(key)
        for key in keys_of(gateway).read().keys.values():
            needles |= {key, base64.b64encode(key)}
        async with gateway.database() as database:
            for row in await database.fetch(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'mosaic'"
            ):
                for line in await database.fetch(f'SELECT t::text AS row FROM "{row["table_name"]}" AS t'):
                    text = line["row"].encode()
                    assert not [n for n in needles if n in text or n.hex().encode() in text]
        gateway.stop()  # its Postgres writes everything to its files, and to the log of changes
        try:
            files = [path for path in gateway.directory.rglob("*") if path.is_file()]
            content = {path: path.read_bytes() for path in files if path != keys_of(gateway).path}
        finally:
            gateway.start()
        assert any("pg_wal" in str(path) for path in content)
        assert any(b"BEGIN CERTIFICATE" in text for text in content.values())  # the scan sees what is there
        found = [path for path, text in content.items() for needle in needles if needle in text]
        assert not found


@contextmanager
def reading(client: Any, path: str) -> Iterator[list[int]]:
    """Ask again and again in the background; the statuses."""
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses.append(client.get(path).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


def test_both_gateways_rotate_while_they_serve(gateways: Any, shared: str) -> None:
    home, work = gateways
    with home.http() as client, work.http() as at_work:
        page = client.get("/v1/peers/sealed/tasks", params={"limit": "2"}).json()
        own = at_work.get("/v1/tasks", params={"limit": "2"}).json()
        with reading(home.http(), "/v1/peers/sealed/tasks") as statuses:
            for gateway in gateways:
                old = set(keys_of(gateway).read().keys)
                report = gateway.json("secrets", "rotate")
                assert report["added"]
                assert report["resealed"] >= 1
                assert not report["faults"]
                counts = {key["key"]: key["envelopes"] for key in gateway.json("secrets", "status")["keys"]}
                assert all(counts[key] == 0 for key in old)
            # the running process meets a key that it does not know:
            other = work.offer()
            home.run("federation", "peer", "add", other["url"], "--yes", "--name", "after")
            assert client.get("/v1/peers/after/tasks").status_code == 200
            # and pages that were begun before go on, whichever of the two workers answers:
            for _ in range(8):
                params = {"limit": "2", "cursor": page["next_cursor"]}
                assert client.get("/v1/peers/sealed/tasks", params=params).status_code == 200
                params = {"limit": "2", "cursor": own["next_cursor"]}
                assert at_work.get("/v1/tasks", params=params).status_code == 200
        assert len(statuses) > 5
        assert set(statuses) == {200}
        for gateway in gateways:
            assert "so new" in gateway.run("secrets", "retire", code=4)
            keys = keys_of(gateway).read()
            settled = {key: datetime.now(UTC) - timedelta(hours=1) for key in keys.keys}
            keys_of(gateway).write(replace(keys, made=settled))
            assert gateway.json("secrets", "retire")
            assert len(keys_of(gateway).read().keys) == 1
        assert client.get("/v1/peers/after/tasks").status_code == 200
        home.run("federation", "peer", "remove", "after")
    home.stop()
    home.start()
    with home.http() as client:
        assert client.get("/v1/peers/sealed/tasks").status_code == 200


def place_of(host: str) -> str:
    return f"federation_server_identity/{host}/key"


class Lone:
    """A gateway by itself, and `mosaic secrets` for it."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        self.config = directory / "mosaic.config.json"
        self.environment = {**os.environ, **environment}
        done = run_mosaic("gateway", "init", directory, "--name", "lone", env=self.environment)
        assert done.returncode == 0, done.stderr

    def start(self, *command: str) -> subprocess.Popen[str]:
        whole = [MOSAIC, "--config", self.config, "secrets", *command]
        pipe = subprocess.PIPE
        return subprocess.Popen(whole, stdout=pipe, stderr=pipe, text=True, env=self.environment)

    def run(self, *command: str) -> tuple[int, str, str]:
        done = run_mosaic("--config", self.config, "secrets", *command, env=self.environment)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
async def lone() -> Any:
    """A gateway that has listened as many hosts; its Postgres runs, so that commands join it."""
    from mosaic_gateway.boot import open_gateway
    from mosaic_gateway.compose import compose
    from mosaic_gateway.config import read_config

    parent = Path(tempfile.mkdtemp(prefix="mosaic-lone-", dir="/tmp"))
    parent.chmod(0o711)
    made = Lone(parent / "lone")
    try:
        async with open_gateway(compose(read_config(made.config)), serving=True) as gateway:
            hosts = [f"host-{number}" for number in range(MANY)]
            await gateway.database.executemany(
                "INSERT INTO federation_server_identity (host, chain, sealed_key, not_after)"
                " VALUES ($1, '', $2, now())",
                [(host, gateway.keyring.seal(host.encode(), place=place_of(host))) for host in hosts],
            )
            yield made, gateway
    finally:
        remove(parent)


async def sealed_with(gateway: Any) -> dict[str, int]:
    """How many values each key has, all of them opened."""
    counts: dict[str, int] = {}
    for row in await gateway.database.fetch("SELECT host, sealed_key FROM federation_server_identity"):
        host, sealed = row["host"], row["sealed_key"]
        assert gateway.keyring.open(sealed, place=place_of(host)) == host.encode()
        key = sealed[8 : 8 + sealed[7]].decode()
        counts[key] = counts.get(key, 0) + 1
    return counts


async def new_ones(gateway: Any, old: str) -> int:
    return int(
        await gateway.database.fetchval(
            "SELECT count(*) FROM federation_server_identity WHERE position($1::bytea IN sealed_key) = 0",
            old.encode(),
        )
    )


async def test_killed_in_the_middle_again_and_again_it_goes_on_and_ends(lone: Any) -> None:
    command, gateway = lone
    old = gateway.keyring.keys.active
    for goal in (1, MANY // 4, MANY // 2):
        process = command.start("rotate", "--json")
        while (done := await new_ones(gateway, old)) < goal:
            assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()
        assert done < MANY
        counts = await sealed_with(gateway)
        assert len(counts) == 2
        assert sum(counts.values()) == MANY
    begun = keys_of(command).read()
    assert begun.unfinished
    report = json.loads(command.run("rotate", "--json")[1])
    assert (report["key"], report["added"], report["faults"]) == (begun.active, False, [])
    assert 0 < report["resealed"] < MANY
    assert await sealed_with(gateway) == {begun.active: MANY}
    assert not keys_of(command).read().unfinished


async def test_a_second_rotation_at_the_same_time_is_refused(lone: Any) -> None:
    command, gateway = lone
    old = gateway.keyring.keys.active
    first = command.start("rotate", "--json")
    while not await new_ones(gateway, old):
        assert first.poll() is None, first.communicate()
    first.send_signal(signal.SIGSTOP)  # it keeps its lock
    try:
        for what in ("rotate", "retire"):
            code, _, error = command.run(what)
            assert (code, "another rotation" in error) == (4, True)
    finally:
        first.send_signal(signal.SIGCONT)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert await sealed_with(gateway) == {json.loads(out)["key"]: MANY}
    assert len(keys_of(command).read().keys) == 2


async def test_a_tampered_value_is_named_and_the_exit_code_says_so(lone: Any) -> None:
    command, gateway = lone
    await gateway.database.execute(
        "UPDATE federation_server_identity SET sealed_key = set_byte(sealed_key, 40, get_byte(sealed_key, 40) # 255)"
        " WHERE host = 'host-7'"
    )
    code, text, error = command.run("rotate", "--json")
    assert (code, error) == (1, "")
    report = json.loads(text)
    assert [fault["where"] for fault in report["faults"]] == [place_of("host-7")]
    assert report["resealed"] == MANY - 1
    code, _, error = command.run("rotate")
    assert code == 1
    assert f"left as it is: {place_of('host-7')}: the sealed data was changed or moved" in error


def test_a_gateway_with_its_keys_in_the_environment_has_no_key_file() -> None:
    parent = Path(tempfile.mkdtemp(prefix="mosaic-env-", dir="/tmp"))
    parent.chmod(0o711)
    keys = Keys.new()
    try:
        lone = Lone(parent / "lone", **{ENVIRONMENT: keys.dump()})
        assert not keys_of(lone).path.exists()
        code, text, _ = lone.run("status", "--json")
        assert (code, [key["key"] for key in json.loads(text)["keys"]]) == (0, [keys.active])
        code, text, error = lone.run("rotate")
        assert (code, ENVIRONMENT in error) == (3, True)
        lone.environment[ENVIRONMENT] = keys.dump().replace(":", "", 1)
        code, text, error = lone.run("status")
        assert (code, text) == (3, "")
        assert f"{ENVIRONMENT} is not the text of a key file" in error
        assert keys.dump().split('"')[9] not in error
        del lone.environment[ENVIRONMENT]
        code, _, error = lone.run("status")
        assert (code, "does not exist" in error) == (3, True)
    finally:
        remove(parent)
