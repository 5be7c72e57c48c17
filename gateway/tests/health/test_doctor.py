"""The doctor: one look at everything, bounded, whatever fails or hangs, and honest in what it publishes."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from free_ports import free_port
from mosaic_gateway.boot import prepare_data_dir
from mosaic_gateway.cli.doctor import run_bounded
from mosaic_gateway.compose import Owned
from mosaic_gateway.config import Source
from mosaic_gateway.health import Checked, run_probes
from mosaic_gateway.health.database import transport_probe
from mosaic_gateway.health.doctor import diagnosis, examine
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import DatabaseLocation, Finding, MigrationSet, Probe, QueueTarget, StorageTarget
from mosaic_migrations import CORE
from prepared import prepare

if TYPE_CHECKING:
    from conftest import Cluster

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs" / "reference" / "doctor.schema.json").read_text())
SECRET = "hunter2Zq7"


def conforms(report: Any) -> None:
    jsonschema_rs.validate(SCHEMA, report, validate_formats=True)


@dataclass
class There:
    """A storage that is where it is."""

    location: DatabaseLocation
    name: str = "postgres"

    @asynccontextmanager
    async def open(self, *, serving: bool) -> Any:
        yield self.location


def composition(
    data_dir: Path,
    location: DatabaseLocation,
    *probes: Probe,
    vector: bool = False,
    sets: tuple[MigrationSet, ...] = (CORE,),
) -> Any:
    """As much of a composition as the doctor reads; the services behind it are real."""
    host = SimpleNamespace(
        storage_target=StorageTarget("postgres", enable_vector=vector),
        queue_target=QueueTarget("postgres"),
        resources=(),
        database=None,
        identity=None,
        sealer=None,
        rows=None,
    )
    return SimpleNamespace(
        source=Source(data_dir.parent / "mosaic.config.json", {}),
        config=SimpleNamespace(name="home", data_dir=data_dir),
        tier=SimpleNamespace(name="standalone"),
        registry=SimpleNamespace(plugins=[]),
        host=host,
        storage=There(location),
        migrations=sets,
        probes=[Owned("third_party", probe) for probe in probes],
    )


def found(checked: list[Checked]) -> dict[str, Finding]:
    return {each.name: each.finding for each in checked}


def probe(name: str, check: Callable[[], Awaitable[Any]], *, standalone: bool = False) -> Probe:
    return Probe(name, check, standalone)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    prepare_data_dir(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def fresh(debian: Cluster) -> Iterator[DatabaseLocation]:
    """An empty database of the Debian server."""
    debian.sql("DROP DATABASE IF EXISTS mosaic WITH (FORCE)", "CREATE DATABASE mosaic OWNER gateway")
    return debian.location


async def hang() -> Finding:
    await asyncio.sleep(3600)
    raise AssertionError


async def hang_on() -> Finding:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def fail() -> Finding:
    raise RuntimeError(f"password={SECRET}")


async def leak() -> Finding:
    return Finding("yellow", f"lost postgres://u:{SECRET}@db/app", f"use token={SECRET}")


async def refuse() -> Finding:
    raise ConfigError(f"lost postgres://u:{SECRET}@db/app")


async def nothing() -> None:
    return None


class TestEverything:
    async def test_pending_migrations_are_yellow_and_the_fix_applies_them(
        self, data_dir: Path, fresh: DatabaseLocation
    ) -> None:
        made = composition(data_dir, fresh)
        before = found(await examine(made))
        assert before["schema"].status == "yellow"
        assert "core/0001" in before["schema"].detail
        assert before["schema"].fix
        await before["schema"].fix()
        after = found(await examine(made))
        assert {name: finding.status for name, finding in after.items()} == dict.fromkeys(
            [
                *("configuration", "data directory", "key file", "disk", "secret files", "storage"),
                *("database", "clock", "transport", "schema"),
            ],
            "green",
        )
        assert "core 00" in after["schema"].detail

    async def test_a_database_out_of_reach_hides_no_other_finding(self, data_dir: Path) -> None:
        nowhere = DatabaseLocation("127.0.0.1", "gateway", "mosaic", 1, SECRET)
        queue = probe("queue", leak, standalone=True)
        (data_dir / "keys.json").chmod(0o644)
        checked = await examine(composition(data_dir, nowhere, queue, vector=True))
        findings = found(checked)
        assert "nothing accepts connections at 127.0.0.1:1" in findings["database"].detail
        statuses = {name: finding.status for name, finding in findings.items()}
        assert statuses["data directory"] == "green"
        assert (statuses["database"], statuses["key file"]) == ("red", "red")
        assert {statuses[name] for name in ("clock", "pgvector", "schema", "queue")} == {"yellow"}
        assert SECRET not in repr(checked)

    async def test_a_storage_that_does_not_open_is_a_finding_too(self, data_dir: Path) -> None:
        class Broken(There):
            @asynccontextmanager
            async def open(self, *, serving: bool) -> Any:
                raise ConfigError("the password file is gone", remedy="put it back")
                yield

        made = composition(data_dir, DatabaseLocation("x", "y", "z"), probe("peers", nothing))
        made.storage = Broken(DatabaseLocation("x", "y", "z"))
        findings = found(await examine(made))
        assert (findings["storage"].status, findings["storage"].remedy) == ("red", "put it back")
        assert findings["peers"].status == "yellow"
        assert findings["disk"].status == "green"

    async def test_pgvector_and_clock_are_looked_at_where_they_are_wanted(
        self, data_dir: Path, fresh: DatabaseLocation
    ) -> None:
        assert "pgvector" not in found(await examine(composition(data_dir, fresh)))
        assert found(await examine(composition(data_dir, fresh, vector=True)))["pgvector"].status == "red"

    async def test_tables_of_a_plugin_that_are_not_there_yet(
        self, data_dir: Path, fresh: DatabaseLocation
    ) -> None:
        made = composition(data_dir, fresh)

        async def check() -> Finding:
            await made.host.database.fetch("SELECT * FROM not_there")
            raise AssertionError

        made.probes = [Owned("third_party", Probe("rows", check))]
        assert found(await examine(made))["rows"].status == "yellow"


class TestHanging:
    @pytest.mark.parametrize("check", [hang, hang_on])
    def test_a_probe_that_hangs_costs_its_own_time_only(self, check: Any) -> None:
        start = time.monotonic()
        probes = [Owned("third_party", probe(f"p{n}", check)) for n in range(5)]
        checked = run_bounded(run_probes([*probes, Owned("other", probe("leak", leak))], within=2.0))
        assert time.monotonic() - start < 9, "one after the other"
        assert [each.finding.status for each in checked] == ["red"] * 5 + ["yellow"]
        assert all(each.seconds < 9 for each in checked)

    async def test_a_database_that_stops_in_the_middle(
        self, data_dir: Path, fresh: DatabaseLocation, frozen: DatabaseLocation
    ) -> None:
        findings = found(await examine(composition(data_dir, fresh, probe("queue", leak, standalone=True))))
        assert "did not answer in time" in findings["database"].detail
        assert findings["queue"].status == "yellow"

    async def test_a_table_that_is_locked_is_told_from_a_database_that_is_down(
        self, data_dir: Path, fresh: DatabaseLocation, debian: Cluster
    ) -> None:
        made = composition(data_dir, fresh)
        fix = found(await examine(made))["schema"].fix
        assert fix
        await fix()
        from mosaic_gateway.database import open_pool

        async with open_pool(fresh) as pool, pool.transaction() as holder:
            await holder.execute("LOCK TABLE mosaic.migrations IN ACCESS EXCLUSIVE MODE")
            findings = found(await examine(made))
        assert findings["database"].status == "green"
        assert (findings["schema"].status, "5 s" in findings["schema"].detail) == ("red", True)


class TestThirdParty:
    @pytest.mark.parametrize(
        ("check", "words"),
        [(fail, "RuntimeError"), (nothing, "NoneType"), (leak, "lost"), (refuse, "lost")],
    )
    async def test_what_it_does_is_its_own_finding_without_secrets(self, check: Any, words: str) -> None:
        (checked,) = await run_probes([Owned("third_party", probe("mine", check))])
        assert (checked.plugin, checked.name) == ("third_party", "mine")
        assert words in checked.finding.detail
        assert SECRET not in checked.finding.detail + checked.finding.remedy
        if check in (fail, nothing):
            assert "third_party" in checked.finding.remedy


class TestFiles:
    @pytest.mark.parametrize(("name", "mode", "mended"), [("", 0o755, 0o700), ("keys.json", 0o640, 0o600)])
    async def test_modes_are_tightened_by_the_fix(
        self, data_dir: Path, fresh: DatabaseLocation, name: str, mode: int, mended: int
    ) -> None:
        path = data_dir / name
        path.chmod(mode)
        made = composition(data_dir, fresh)
        (red,) = [f for f in found(await examine(made)).values() if f.status == "red"]
        assert red.fix
        await red.fix()
        assert stat.S_IMODE(path.stat().st_mode) == mended
        assert "red" not in {f.status for f in found(await examine(made)).values()}

    async def test_no_key_file_and_no_directory(self, data_dir: Path, fresh: DatabaseLocation) -> None:
        (data_dir / "keys.json").unlink()
        assert "does not exist" in found(await examine(composition(data_dir, fresh)))["key file"].detail
        data_dir.rmdir()
        findings = found(await examine(composition(data_dir, fresh)))
        assert findings["data directory"].status == findings["disk"].status == "red"
        assert "not opened" in findings["storage"].detail
        assert not data_dir.exists()  # nothing was made on the way


class TestTransport:
    """Looked at in the config alone."""

    @pytest.mark.parametrize(
        ("host", "tls", "status"),
        [
            ("127.0.0.1", None, "green"),
            ("127.0.0.53", "prefer", "green"),
            ("::1", None, "green"),
            ("localhost", None, "green"),
            ("/run/postgresql", None, "green"),
            ("db.example.org", None, "yellow"),
            ("192.0.2.1", "prefer", "yellow"),
            ("2001:db8::1", "allow", "yellow"),
            ("localhost.example.org", None, "yellow"),
            ("db.example.org", "disable", "green"),  # said on purpose
            ("db.example.org", ssl.create_default_context(), "green"),
        ],
    )
    async def test_a_way_that_others_can_read_is_yellow(self, host: str, tls: Any, status: str) -> None:
        found = await transport_probe(DatabaseLocation(host, "gateway", "mosaic", ssl=tls)).check()
        assert found.status == status
        assert ("sslmode=verify-full" in found.remedy) == (status == "yellow")


class TestPublished:
    async def test_the_json_conforms_to_the_published_schema(
        self, data_dir: Path, fresh: DatabaseLocation
    ) -> None:
        made = composition(data_dir, fresh, probe("mine", fail))
        text = diagnosis(made, await examine(made), 0.1).model_dump_json()
        conforms(json.loads(text))
        assert json.loads(text)["status"] == "red"

    def test_the_schema_refuses_what_is_not_a_diagnosis(self) -> None:
        with pytest.raises(jsonschema_rs.ValidationError):
            conforms({"status": "blue"})


class TestCommand:
    """As an operator runs it."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        prepare(tmp_path / "home", port=free_port(), peer_port=free_port())
        return tmp_path / "home"

    def mosaic(self, *args: str, home: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        config = ["--config", str(home / "mosaic.config.json")] if home else []
        command = [sys.executable, "-m", "mosaic_gateway.cli", *config, *args]
        return subprocess.run(
            command, capture_output=True, check=False, text=True, timeout=60, env=os.environ | env,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def test_exit_codes_and_json(self, home: Path) -> None:
        green = self.mosaic("gateway", "doctor", "--json", home=home)
        assert green.returncode == 0, green.stdout
        conforms(json.loads(green.stdout))
        (home / "data" / "keys.json").chmod(0o644)
        red = self.mosaic("gateway", "doctor", home=home)
        assert (red.returncode, "chmod 600" in red.stdout) == (2, True)

    def test_a_configuration_that_cannot_be_used_conforms_too(self, home: Path) -> None:
        broken = self.mosaic("gateway", "doctor", "--json", home=home, MOSAIC_NOT_A_KEY="1")
        assert broken.returncode == 2
        report = json.loads(broken.stdout)
        conforms(report)
        assert (report["tier"], report["findings"][0]["probe"]) == (None, "configuration")

    def test_files_with_secrets_that_others_can_read_are_told_and_closed(self, home: Path) -> None:
        config, secret = home / "mosaic.config.json", home / "password"
        settings = json.loads(config.read_text()) | {
            "tier": "standalone",
            "storage": {"url": "postgresql://mosaic@127.0.0.1:1/mosaic", "password_file": str(secret)},
            "queue": {"url": f"redis://:{SECRET}@127.0.0.1:1/0"},
        }
        config.write_text(json.dumps(settings))
        secret.write_text(SECRET)
        (config.chmod(0o644), secret.chmod(0o640))

        def secret_files(**env: str) -> dict[str, Any]:
            report = json.loads(self.mosaic("gateway", "doctor", "--json", home=home, **env).stdout)
            found: dict[str, Any] = next(f for f in report["findings"] if f["probe"] == "secret files")
            return found

        loose = secret_files()
        assert (loose["status"], loose["fixable"]) == ("yellow", True)
        assert str(config) in loose["detail"]
        assert str(secret) in loose["detail"]
        assert SECRET not in json.dumps(loose)
        assert str(config) not in secret_files(MOSAIC_QUEUE__URL="redis://127.0.0.1:1/0")["detail"]
        self.mosaic("gateway", "doctor", "--fix", "--yes", home=home)
        assert [stat.S_IMODE(path.stat().st_mode) for path in (config, secret)] == [0o600, 0o600]
        assert secret_files()["status"] == "green"

    def test_a_config_without_secrets_may_be_open(self, home: Path) -> None:
        (home / "mosaic.config.json").chmod(0o644)
        assert self.mosaic("gateway", "doctor", home=home).returncode == 0

    def test_fix_asks_and_does_nothing_where_nobody_answers(self, home: Path) -> None:
        keys = home / "data" / "keys.json"
        keys.chmod(0o644)
        asked = self.mosaic("gateway", "doctor", "--fix", home=home)
        assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
        assert stat.S_IMODE(keys.stat().st_mode) == 0o644
        fixed = self.mosaic("gateway", "doctor", "--fix", "--yes", home=home)
        assert fixed.returncode == 0, fixed.stdout + fixed.stderr
        assert stat.S_IMODE(keys.stat().st_mode) == 0o600

    @pytest.mark.parametrize(("answer", "code", "mode"), [("y", 0, 0o600), ("n", 2, 0o644)])
    def test_fix_asks_on_a_terminal(self, home: Path, answer: str, code: int, mode: int) -> None:
        keys = home / "data" / "keys.json"
        keys.chmod(0o644)
        command = [sys.executable, "-m", "mosaic_gateway.cli", "--config", str(home / "mosaic.config.json")]
        person, terminal = pty.openpty()
        try:
            os.write(person, f"{answer}\n".encode())  # typed before the question is there
            asked = subprocess.run(
                [*command, "gateway", "doctor", "--fix"],
                stdin=terminal, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        finally:
            os.close(person)
            os.close(terminal)
        assert asked.stderr.count("do it? [y/N]") == 1
        assert f"chmod 600 {keys}" in asked.stderr
        assert (asked.returncode, stat.S_IMODE(keys.stat().st_mode)) == (code, mode)

    def test_watch_goes_on_until_it_is_stopped(self, home: Path) -> None:
        command = [sys.executable, "-m", "mosaic_gateway.cli", "--config", str(home / "mosaic.config.json")]
        process = subprocess.Popen(
            [*command, "gateway", "doctor", "--watch", "0.2", "--json"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        for _ in range(3):
            conforms(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
