from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import StorageTarget
from mosaic_tier_local import cluster, server
from mosaic_tier_local.plugin import mosaic_settings, mosaic_storages, mosaic_tiers
from mosaic_tier_local.settings import Settings
from mosaic_tier_local.storage import EmbeddedStorage


async def test_a_cold_start_gives_an_empty_database_of_an_ordinary_role(storage, connected):
    async with storage.open(serving=True) as location, connected(location) as conn:
        row = await conn.fetchrow(
            "SELECT current_user AS role, current_database() AS db, current_setting('is_superuser') AS super, "
            "current_setting('search_path') AS path, current_setting('server_encoding') AS encoding, "
            "(SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'mosaic') AS owner"
        )
    assert dict(row) == {
        "role": "gateway", "db": "mosaic", "super": "off",
        "path": "mosaic, public", "encoding": "UTF8", "owner": "gateway",
    }  # fmt: skip


async def test_letters_beyond_ascii_have_case_whatever_the_locale_of_the_system(
    storage, connected, monkeypatch
):
    monkeypatch.setenv("LC_ALL", "xx_XX.nonsense")
    async with storage.open(serving=False) as location, connected(location) as conn:
        assert await conn.fetchval("SELECT lower('ÄÖŁΣ')") == "äöłσ"


async def test_environment_variables_of_postgres_do_not_lead_it_astray(storage, connected, monkeypatch):
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "PGHOST": "/nowhere", "PGOPTIONS": "-x"}.items():
        monkeypatch.setenv(name, value)
    async with storage.open(serving=False) as location:
        monkeypatch.delenv("PGOPTIONS")
        async with connected(location) as conn:
            assert await conn.fetchval("SELECT 1") == 1


async def test_data_is_there_after_a_warm_start(storage, connected):
    async with storage.open(serving=True) as location, connected(location) as conn:
        await conn.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS x")
    async with storage.open(serving=False) as location, connected(location) as conn:
        assert await conn.fetchval("SELECT count(*) FROM mosaic.t") == 1000


async def test_a_cluster_of_release_0_1_is_given_the_role_that_peers_are_answered_as(
    storage, connected, monkeypatch
):
    asked = (
        "SELECT pg_has_role('gateway_peer', 'MEMBER') AND NOT rolcanlogin AND NOT rolsuper AND NOT rolbypassrls"
        " FROM pg_roles WHERE rolname = 'gateway_peer'"
    )
    with monkeypatch.context() as before:
        before.setattr(cluster, "BOOTSTRAP", cluster.BOOTSTRAP.replace(cluster.PEERS, ""))
        async with storage.open(serving=True) as location, connected(location) as conn:
            assert await conn.fetchval(asked) is None
    for _first_then_after_a_crash_before_the_marker in range(2):
        [marker] = storage._data_dir.glob(f"*/{cluster.PEERS_MARKER}")
        marker.unlink()
        async with storage.open(serving=True) as location, connected(location) as conn:
            assert await conn.fetchval(asked)
            assert await conn.fetchval("SELECT proleakproof FROM pg_proc WHERE proname = 'ts_match_vq'")


@pytest.mark.parametrize("loop", [(), ("--uvloop",)], ids=["asyncio", "uvloop"])
async def test_starts_and_stops_for_root_and_for_an_ordinary_user(person, hold, loop, postgres_pid, lives):
    for _cold_then_warm in range(2):
        holder = hold(person.data_dir, "--serving", *loop, person=person)
        holder.location()
        pid = postgres_pid(person.data_dir)
        assert pid
        assert Path(f"/proc/{pid}").stat().st_uid != 0
        assert holder.leave() == 0
        assert postgres_pid(person.data_dir) is None
        assert not lives(pid)


async def test_no_tcp_port_is_open(storage, connected, data_dir, postgres_pid):
    async with storage.open(serving=True) as location, connected(location) as conn:
        assert await conn.fetchval("SHOW listen_addresses") == ""
        tables = "".join(Path("/proc/net", name).read_text() for name in ("tcp", "tcp6", "udp", "udp6"))
        inodes = {line.split()[9] for line in tables.splitlines() if line.split()[9].isdigit()}
        links = [str(fd.readlink()) for fd in Path(f"/proc/{postgres_pid(data_dir)}/fd").iterdir()]
        sockets = [link for link in links if link.startswith("socket:")]
        assert sockets
        assert not [link for link in sockets if link[8:-1] in inodes]


async def test_others_may_read_nothing_below_the_data_directory(storage, data_dir):
    async with storage.open(serving=True):
        modes = {path: mode_of(path) for path in (data_dir, *data_dir.rglob("*"))}
    assert {path: stat.filemode(mode) for path, mode in modes.items() if mode & 0o077} == {}


def mode_of(path: Path) -> int:
    """0 of what is gone already: a running Postgres makes and removes files all the time."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


async def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path, connected):
    data_dir = tmp_path / ("long" * 25) / ("path" * 30)
    async with EmbeddedStorage(data_dir, Settings()).open(serving=True) as location:
        assert len(location.host) < 93
        async with connected(location) as conn:
            assert await conn.fetchval("SELECT 1") == 1
        async with (
            EmbeddedStorage(data_dir, Settings()).open(serving=False) as joined,
            connected(joined) as conn,
        ):
            assert await conn.fetchval("SELECT 1") == 1


async def test_a_spaced_and_accented_path_is_no_obstacle(tmp_path, connected):
    async with (
        EmbeddedStorage(tmp_path / "my dätä 'dir'", Settings()).open(serving=True) as location,
        connected(location),
    ):
        pass


async def test_the_data_may_live_behind_a_link_on_another_disk(data_dir, storage, tmp_path, connected):
    data_dir.mkdir(mode=0o700)
    (data_dir / "postgres").symlink_to(tmp_path / "elsewhere")
    async with storage.open(serving=True) as location, connected(location) as conn:
        assert await conn.fetchval("SELECT 1") == 1
    assert (tmp_path / "elsewhere" / "PG_VERSION").is_file()


async def test_failed_statements_and_their_values_are_not_logged(storage, connected, data_dir):
    async with storage.open(serving=True) as location, connected(location) as conn:
        await conn.execute("CREATE TABLE t (x text PRIMARY KEY); INSERT INTO t VALUES ('s3cret')")
        with pytest.raises(Exception, match="duplicate key"):
            await conn.execute("INSERT INTO t VALUES ($1)", "s3cret")
        with pytest.raises(Exception, match="syntax error"):
            await conn.execute("SELEC 's3cret'")
    assert "s3cret" not in (data_dir / "postgres.log").read_text()


async def test_when_postgres_will_not_start_its_own_reason_is_given_and_nothing_is_left(
    storage, data_dir, monkeypatch, postgres_pid, connected
):
    monkeypatch.setitem(server.SETTINGS, "shared_buffers", "no-number")
    with pytest.raises(Unavailable, match=r"FATAL.*shared_buffers") as caught:
        async with storage.open(serving=True):
            pass
    assert "postgres.log" in caught.value.remedy
    assert postgres_pid(data_dir) is None
    monkeypatch.undo()
    async with storage.open(serving=True) as location, connected(location):
        pass


async def test_an_interrupted_first_start_leaves_nothing_half_made(storage, data_dir, eventually, connected):
    async def start() -> None:
        async with storage.open(serving=True):
            await asyncio.sleep(60)

    task = asyncio.create_task(start())
    await eventually(lambda: list(data_dir.glob("postgres.init-*/base")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(data_dir.glob("postgres*/"))
    async with storage.open(serving=True) as location, connected(location):
        pass


def test_the_plugin_offers_the_tier_its_storage_and_strict_settings(tmp_path):
    class Host:
        data_dir = tmp_path
        storage_target = StorageTarget("embedded")

        def settings(self, model):
            return model()

    (tier,) = mosaic_tiers()
    (storage,) = mosaic_storages(Host())
    assert (tier.name, tier.storage, tier.ready_when) == ("local", storage.name, ("database",))
    with pytest.raises(ValidationError, match="runas"):
        mosaic_settings()(runas="postgres")
