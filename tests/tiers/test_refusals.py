"""A gateway that cannot run says why, once, with what to do, before it changes anything; and never a secret."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from free_ports import free_port

if TYPE_CHECKING:
    from conftest import Home, TcpPostgres

Start = Callable[..., subprocess.Popen[str]]

PROBE = """
import asyncio
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Finding, Probe

async def hang():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def fail():
    raise RuntimeError("postgres://u:hunter2@db/app")

async def leak():
    return Finding("yellow", "\\x1b[31mpostgres://u:hunter2@db/app", "token=hunter2")

@hookimpl
def mosaic_probes(host):
    return [Probe("hanging", hang), Probe("failing", fail, standalone=True), Probe("leaking", leak)]
"""


@pytest.fixture
def closed_port() -> int:
    return free_port()


def with_url(home: Home, change: Callable[[str], str]) -> dict[str, str]:
    """The environment that changes the config's ``storage.url``."""
    url = json.loads(home.config.read_text())["storage"]["url"]
    return {"MOSAIC_STORAGE__URL": change(url)}


def refused(home: Home, words: str, *, secret: str, **environment: str) -> str:
    """The boot and the doctor say the same, and no secret."""
    output = home.run("gateway", "start", code=5, **environment)
    assert words in output
    assert "→" in output
    report = home.run("gateway", "doctor", "--json", code=2, **environment)
    (finding, *_) = [each for each in json.loads(report)["findings"] if each["status"] == "red"]
    assert words in finding["detail"]
    assert finding["remedy"]
    for form in {secret, quote(secret, safe=""), quote(secret)}:
        assert form not in output + report
    return output


class TestPostgres:
    def test_wrong_password(self, standalone: Home, password_file: Path) -> None:
        password_file.write_text("wr@ng:w/rd%41\n")
        refused(standalone, "does not accept the password of role 'mosaic'", secret="wr@ng:w/rd%41")

    def test_nothing_listens(self, standalone: Home, closed_port: int, server_password: str) -> None:
        url = f"postgresql://mosaic@localhost:{closed_port}/mosaic"
        output = refused(
            standalone,
            f"nothing accepts connections at localhost:{closed_port}",
            secret=server_password,
            MOSAIC_STORAGE__URL=url,
        )
        assert "storage.url" in output

    def test_host_unknown(self, standalone: Home, server_password: str) -> None:
        environment = with_url(standalone, lambda url: url.replace("@localhost", "@nowhere.invalid"))
        refused(standalone, "'nowhere.invalid' is not known", secret=server_password, **environment)

    def test_database_missing(self, standalone: Home, server_password: str) -> None:
        environment = with_url(standalone, lambda url: url.replace("/test_", "/gone_"))
        refused(standalone, "does not exist", secret=server_password, **environment)

    def test_certificate_of_an_unknown_authority(self, standalone: Home, server_password: str) -> None:
        environment = with_url(standalone, lambda url: url.partition("&sslrootcert")[0])
        refused(standalone, "not signed by an authority", secret=server_password, **environment)

    def test_without_tls_where_the_server_wants_it(self, standalone: Home, server_password: str) -> None:
        environment = with_url(
            standalone, lambda url: url.replace("mosaic@", "tls_only@").partition("?")[0] + "?sslmode=disable"
        )
        refused(standalone, "only over TLS", secret=server_password, **environment)

    def test_pgvector_wanted_and_not_there(self, standalone: Home, server_password: str) -> None:
        environment = {"MOSAIC_STORAGE__ENABLE_VECTOR": "true"}
        refused(standalone, "the server has no pgvector", secret=server_password, **environment)


class TestValkey:
    def test_down(
        self, standalone: Home, server_postgres: TcpPostgres, closed_port: int, server_password: str
    ) -> None:
        """Also: nothing was changed in a database that was fine."""
        database = asyncio.run(server_postgres.new_database())
        environment = with_url(
            standalone, lambda url: url.replace(url.rpartition("/")[2].partition("?")[0], database, 1)
        )
        queue = f"redis://:hunter2@127.0.0.1:{closed_port}/0"
        output = refused(
            standalone, f"127.0.0.1:{closed_port}", secret="hunter2", MOSAIC_QUEUE__URL=queue, **environment
        )
        assert "not ready: valkey" in output
        assert asyncio.run(schemas(server_postgres, database)) == 0


async def schemas(server: TcpPostgres, database: str) -> int:
    from dataclasses import replace

    from mosaic_gateway.database import connect

    conn = await connect(replace(server.superuser, database=database))
    count: int = await conn.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = 'mosaic'")
    await conn.close()
    return count


def test_probes_of_a_third_party_fail_by_themselves_and_by_name(home: Home, tmp_path: Path) -> None:
    about = tmp_path / "site" / "outside_probes-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-probes\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[mosaic]\noutside_probes = outside_probes\n")
    (tmp_path / "site" / "outside_probes.py").write_text(PROBE)
    config = json.loads(home.config.read_text())
    config["plugins"]["outside_probes"] = {}
    home.config.write_text(json.dumps(config))
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    report = json.loads(home.run("gateway", "doctor", "--json", code=2, **environment))
    found: dict[str, Any] = {f["probe"]: f for f in report["findings"] if f["plugin"] == "outside_probes"}
    assert {name: f["status"] for name, f in found.items()} == {
        "hanging": "red", "failing": "red", "leaking": "yellow",
    }  # fmt: skip
    assert all("outside_probes" in found[name]["remedy"] for name in ("hanging", "failing"))
    assert {f["status"] for f in report["findings"] if f["plugin"] != "outside_probes"} == {"green"}
    assert report["milliseconds"] < 60_000
    text = home.run("--debug", "gateway", "doctor", code=2, **environment)
    assert "hunter2" not in json.dumps(report) + text
    assert "\x1b" not in text
    assert "RuntimeError" in text


def test_the_log_is_on_standard_error_at_the_level_asked_for_and_without_secrets(
    standalone: Home, running: Start, server_password: str
) -> None:
    logs = {}
    for level in ("debug", "error"):
        process = running(standalone, "--log-level", level, "--workers", "2")
        standalone.get("/v1/tasks")
        process.send_signal(signal.SIGTERM)
        _, logs[level] = process.communicate(timeout=60)
    assert "DEBUG   mosaic: logging at level debug" in logs["debug"]
    assert "DEBUG" not in logs["error"]
    for form in (server_password, quote(server_password, safe=""), standalone.token):
        assert form not in logs["debug"]


def test_the_config_sets_the_level_of_the_log(home: Home, running: Start) -> None:
    config = json.loads(home.config.read_text())
    home.config.write_text(json.dumps(config | {"log_level": "debug"}))
    process = running(home)
    process.send_signal(signal.SIGTERM)
    assert "logging at level debug" in process.communicate(timeout=60)[1]
