"""List 50 of many tasks as a peer: mTLS, grant, scope, limits and audit, against the same query with no checks at all.

Three floors in the same run: stock Hypercorn and Quart, uvicorn with a bare ASGI handler (both with the same TLS), and
the asyncpg loop alone. Then audit off. Rounds alternate; the medians are compared. What more rows and grants cost is
measured in `growth`.

Environment: BENCH_ROUNDS (3), BENCH_SECONDS of each (3), and BENCH_ONLY, the only targets to be run, with semicolons
between.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.bench import Row
from tests.bench._certificates import make_certificates
from tests.bench._cpu import processor_seconds
from tests.bench._seeding import seed_tasks
from tests.bench.listing import _listening, _mosaic, free_port

from mosaic_federation.keys import new_key, signing_request
from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config

_ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
_SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
_ONLY = [name for name in os.environ.get("BENCH_ONLY", "").split(";") if name]
_CONNECTIONS = 16
_ROWS = 100_000
_RATES = ("requests_per_grant", "requests_per_peer", "requests_per_address")
_LIMITS = dict.fromkeys(_RATES, 6_000_000) | {"concurrency": 2 * _CONNECTIONS}  # counted, and never reached

_SEED_GRANTS = """
WITH made AS (
    INSERT INTO federation_grants
        (subject_id, peer_name, peer_gateway, scope, status, serial, not_after, created_by, activated_at)
    SELECT g.subject_id, 'peer-' || n, 'peer-' || n, g.scope, 'active', md5(n::text), g.not_after, 'bench', now()
    FROM federation_grants g CROSS JOIN generate_series(1, $1::bigint) n WHERE g.status = 'active'
    RETURNING id, serial, not_after)
INSERT INTO federation_certificates (serial, grant_id, key_sha256, not_after)
SELECT serial, id, sha256(serial::bytea), not_after FROM made
"""


@dataclass(frozen=True)
class Site:
    """A gateway that shares, and one peer's way in."""

    port: int
    owner: str
    postgres: str  # directory of its socket
    keys: Path
    processes: Callable[[], list[int]]


@dataclass(frozen=True)
class Target:
    """What is loaded: returns answers per second, p50 and p99 in ms, and CPU time of the server per answer in µs."""

    name: str
    load: Callable[[float], tuple[float, ...]]


async def measure() -> list[Row]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mosaic-bench-", dir="/tmp")))
        directory.chmod(0o711)
        targets = await _targets(stack, directory)
        return _rows(_rounds(targets))


def _wanted(name: str) -> bool:
    return not _ONLY or name in _ONLY


async def _targets(stack: ExitStack, directory: Path) -> list[Target]:
    targets: list[Target] = []

    async def site(name: str, *, workers: int = 1, audit: bool = True) -> None:
        if _wanted(name):
            made = await _site(stack, directory / name.replace(" ", "-"), _ROWS, 0, workers, audit=audit)
            targets.append(
                Target(name, _over_tls(made.port, "/federation/v1/tasks?limit=50", made.keys, made.processes))
            )
            sites[name] = made

    sites: dict[str, Site] = {}
    await site("gateway")
    await site("gateway, 2 workers", workers=2)
    await site("gateway, audit off", audit=False)
    if sites:
        targets += await _floors(stack, directory, next(iter(sites.values())))
    return targets


async def _floors(stack: ExitStack, directory: Path, site: Site) -> list[Target]:
    """The three, over the rows of ``site``."""
    environment = os.environ | {"BENCH_POSTGRES": site.postgres, "BENCH_OWNER": site.owner}
    keys = make_certificates(directory / "floors")
    floors = []
    for workers in (1, 2):
        suffix = "" if workers == 1 else ", 2 workers"
        for name, make in (("Hypercorn and Quart", _hypercorn), ("uvicorn, bare", _uvicorn)):
            if _wanted(name + suffix):
                port = free_port()
                process = _process(stack, make(port, keys, workers), environment)
                await _listening(port)
                floors.append(Target(name + suffix, _over_tls(port, "/", keys, process)))
    if _wanted("asyncpg loop"):
        floors.append(Target("asyncpg loop", _loop(environment)))
    return floors


def _hypercorn(port: int, keys: Path, workers: int) -> list[str]:
    tls = [
        "--certfile",
        f"{keys}/server.pem",
        "--keyfile",
        f"{keys}/server.key",
        "--ca-certs",
        f"{keys}/ca.pem",
    ]
    verify = ["--verify-mode", "CERT_REQUIRED"]
    bind = ["--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--error-logfile", "/dev/null"]
    return ["hypercorn", *bind, *tls, *verify, "tests.bench._floors:quart_app"]


def _uvicorn(port: int, keys: Path, workers: int) -> list[str]:
    tls = [
        f"--ssl-certfile={keys}/server.pem",
        f"--ssl-keyfile={keys}/server.key",
        f"--ssl-ca-certs={keys}/ca.pem",
    ]
    return [
        "uvicorn", "--port", str(port), "--workers", str(workers), *tls, "--ssl-cert-reqs=2",
        "--no-access-log", "--log-level", "error", "tests.bench._floors:bare_app",
    ]  # fmt: skip


def _over_tls(
    port: int, path: str, keys: Path, processes: Callable[[], list[int]]
) -> Callable[[float], tuple[float, ...]]:
    def load(seconds: float) -> tuple[float, ...]:
        before = processor_seconds(processes())
        arguments = (str(port), path, str(_CONNECTIONS), str(seconds), str(keys))
        command = [sys.executable, "-m", "tests.bench._mtls_load", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        answers, *latency = json.loads(done.stdout)
        return answers, *latency, (processor_seconds(processes()) - before) / (answers * seconds) * 1e6

    return load


def _loop(environment: dict[str, str]) -> Callable[[float], tuple[float, ...]]:
    def load(seconds: float) -> tuple[float, ...]:
        command = [sys.executable, "-m", "tests.bench._floors", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return (float(done.stdout), 0.0, 0.0, 0.0)

    return load


def _rounds(targets: list[Target]) -> dict[str, list[float]]:
    results: dict[str, list[tuple[float, ...]]] = {target.name: [] for target in targets}
    for number in range(_ROUNDS + 1):  # the first one warms up
        for target in targets:
            result = target.load(1.0 if number == 0 else _SECONDS)
            if number:
                results[target.name].append(result)
    return {
        name: [median(column) for column in zip(*rounds, strict=True)] for name, rounds in results.items()
    }


def _rows(middle: dict[str, list[float]]) -> list[Row]:
    rows = []

    def compare(ours: str, plain: str) -> None:
        if ours in middle and plain in middle:
            for i, (what, unit) in enumerate(
                (("throughput", "req/s"), ("p99", "ms"), ("server CPU", "µs/req"))
            ):
                at = (0, 2, 3)[i]
                if middle[plain][at]:
                    rows.append(Row(f"{ours}, {what} | {plain}", unit, middle[ours][at], middle[plain][at]))

    for suffix in ("", ", 2 workers"):
        for floor in ("Hypercorn and Quart", "uvicorn, bare"):
            compare(f"gateway{suffix}", floor + suffix)
        compare(f"gateway{suffix}", "asyncpg loop")
    compare("gateway", "gateway, audit off")
    return rows


async def _site(
    stack: ExitStack, directory: Path, rows: int, grants: int, workers: int, *, audit: bool
) -> Site:
    """A gateway with seeded rows and a peer enrolled by hand."""
    public, peers = free_port(), free_port()
    _mosaic(
        "gateway", "init", str(directory), "--port", str(public), "--federation-port", str(peers), "--json"
    )
    config = directory / "mosaic.config.json"
    settings = json.loads(config.read_text()) | {"workers": workers}
    settings["plugins"]["federation"]["limits"] = _LIMITS
    config.write_text(json.dumps(settings))
    owner = json.loads(_mosaic("--config", str(config), "user", "list", "--json"))[0]["id"]
    module = "mosaic_gateway.cli" if audit else "tests.bench._no_audit"
    start = ["-m", module, "--config", str(config), "gateway", "start"]
    processes = _process(stack, start, dict(os.environ), python=True)
    await _listening(public)
    keys = _enroll(config, directory / "keys")
    return Site(peers, owner, await _seed(config, owner, rows, grants), keys, processes)


def _enroll(config: Path, keys: Path) -> Path:
    grant = ["grant", "create", "--subject", "admin", "--peer", "home", "--resource", "tasks", "--personal"]
    offer = json.loads(_mosaic("--config", str(config), "federation", *grant, "--json"))
    key = new_key()
    body = json.dumps({"csr": signing_request(key).decode(), "name": "bench"}).encode()
    request = urllib.request.Request(
        offer["url"].partition("#")[0], body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        issued = json.loads(answer.read())
    keys.mkdir()
    (keys / "ca.pem").write_text(issued["ca"])
    (keys / "chain.pem").write_text(issued["chain"])
    (keys / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return keys


async def _seed(config: Path, owner: str, rows: int, grants: int) -> str:
    async with open_gateway(compose(read_config(config)), serving=False) as gateway:
        await seed_tasks(gateway.location, owner, rows)
        if grants:
            await gateway.database.execute(_SEED_GRANTS, grants)
        for table in ("federation_grants", "federation_certificates"):
            await gateway.database.execute(f"VACUUM ANALYZE {table}")
        return gateway.location.host


def _process(
    stack: ExitStack, command: list[str], environment: dict[str, str], *, python: bool = False
) -> Callable[[], list[int]]:
    """Start it, for as long as the stack lives; return what tells its Python processes' ids."""
    module = [] if python else ["-m"]
    process: Any = subprocess.Popen([sys.executable, *module, *command], env=environment)

    def end() -> None:
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    stack.callback(end)
    return lambda: [process.pid, *_children(process.pid)]


def _children(pid: int) -> list[int]:
    """Its workers, and not the database that the first process runs."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            command = Path(os.fsdecode(Path(f"/proc/{child}/cmdline").read_bytes().partition(b"\0")[0]))
            if command.name.startswith("python"):  # the database's path may hold the word, too
                found.append(int(child))
    return found
