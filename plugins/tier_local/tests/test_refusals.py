from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from mosaic_hookspecs.errors import ConfigError
from mosaic_tier_local import account, binaries
from mosaic_tier_local.settings import Settings
from mosaic_tier_local.storage import EmbeddedStorage

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def contents(path: Path) -> dict[str, tuple[int, int, bytes]]:
    every = [path, *path.rglob("*")]
    return {
        str(p): (p.stat().st_mode, p.stat().st_uid, p.read_bytes() if p.is_file() else b"") for p in every
    }


async def refused(storage: EmbeddedStorage) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        async with storage.open(serving=True):
            pass
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"thesis.txt": "do not lose"}, "did not make"),
        ({"PG_VERSION": "16\n", "postgresql.conf": ""}, "did not make"),
        ({"PG_VERSION": "14\n", "mosaic-cluster": ""}, "of Postgres '14'"),
    ],
)
async def test_a_directory_of_something_else_is_refused_and_untouched(storage, data_dir, files, reason):
    cluster = data_dir / "postgres"
    cluster.mkdir(parents=True)
    for name, text in files.items():
        (cluster / name).write_text(text)
    if os.geteuid() == 0 and "mosaic-cluster" in files:
        owner = account.postgres_account(None, cluster)
        os.chown(cluster, owner.uid, owner.gid)
    before = contents(cluster)
    error = await refused(storage)
    assert reason in str(error) and str(cluster) in str(error) and "untouched" in str(error)
    assert contents(cluster) == before


async def test_a_file_in_the_place_of_the_directory_is_refused(storage, data_dir):
    data_dir.mkdir()
    (data_dir / "postgres").write_text("mine")
    assert "not a directory" in str(await refused(storage))
    assert (data_dir / "postgres").read_text() == "mine"


@as_root
async def test_a_cluster_of_another_user_is_refused_and_untouched(storage, data_dir, connected):
    async with storage.open(serving=True):
        pass
    cluster = data_dir / "postgres"
    os.chown(cluster, 12345, 12345)
    before = contents(cluster)
    assert "belongs to user id 12345" in str(await refused(storage))
    assert contents(cluster) == before


@as_root
async def test_a_data_directory_of_another_user_is_refused_and_untouched(storage, data_dir):
    data_dir.mkdir()
    os.chown(data_dir, 12345, 12345)
    assert "belongs to user id 12345" in str(await refused(storage))
    assert list(data_dir.iterdir()) == []


async def test_a_data_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    error = await refused(EmbeddedStorage(tmp_path / "file" / "data", Settings()))
    assert str(tmp_path / "file" / "data") in str(error)


async def test_an_empty_directory_is_taken(storage, data_dir, connected):
    (data_dir / "postgres").mkdir(parents=True)
    async with storage.open(serving=True) as location, connected(location):
        pass
    assert (data_dir / "postgres").stat().st_mode & 0o777 == 0o700


@as_root
@pytest.mark.parametrize(("name", "reason"), [("no-such-user", "no OS user"), ("root", "is root")])
async def test_an_impossible_run_as_is_refused(data_dir, name, reason):
    error = await refused(EmbeddedStorage(data_dir, Settings(run_as=name)))
    assert reason in str(error) and "plugins.tier_local.run_as" in str(error)


@as_root
async def test_run_as_decides_who_postgres_runs_as(data_dir, hold, postgres_pid):
    holder = hold(data_dir, "--run-as", "nobody")
    holder.location()
    assert Path(f"/proc/{postgres_pid(data_dir)}").stat().st_uid == 65534


async def test_an_ordinary_user_cannot_run_postgres_as_somebody_else(person, hold):
    if person.name == "root":
        pytest.skip("root can")
    said = hold(person.data_dir, "--run-as", "root", person=person).said()
    assert "run_as" in said and said.startswith("refused ConfigError")


@as_root
async def test_binaries_below_a_private_directory_are_copied_to_where_postgres_reaches_them(
    storage, connected, monkeypatch, tmp_path
):
    installed = binaries._installed()
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for package in (installed.parents[1], Path(f"{installed.parents[1]}.libs")):
        shutil.copytree(package, private / package.name)
    hidden = private / installed.relative_to(installed.parents[2])
    public = Path(tempfile.mkdtemp())
    monkeypatch.setattr(binaries, "_installed", lambda: hidden)
    monkeypatch.setattr(binaries, "SHARED_COPY", public / "copy")
    public.chmod(0o755)
    umask = os.umask(0o077)
    try:
        async with storage.open(serving=True) as location, connected(location) as conn:
            assert await conn.fetchval("SELECT 1") == 1
        assert private.stat().st_mode & 0o777 == 0o700
        assert [path.name for path in (public / "copy").iterdir()] == [
            f"{binaries.DISTRIBUTION}-{binaries.version(binaries.DISTRIBUTION)}"
        ]
    finally:
        os.umask(umask)
        shutil.rmtree(public)


@as_root
async def test_a_copy_that_cannot_be_made_is_explained(storage, monkeypatch, tmp_path):
    hidden = tmp_path / "package" / "pg" / "bin"
    monkeypatch.setattr(binaries, "_installed", lambda: hidden)
    monkeypatch.setattr(binaries, "SHARED_COPY", Path("/proc/nowhere"))
    error = await refused(storage)
    assert "cannot reach Postgres in" in str(error) and str(hidden) in str(error)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_a_full_disk_is_explained_and_nothing_half_made_is_left(small_disk):
    error = await refused(EmbeddedStorage(small_disk / "data", Settings()))
    assert "No space left on device" in str(error)
    assert "free 100 MB" in error.remedy
    assert not list((small_disk / "data").glob("postgres*/"))


async def test_nobody_connects_as_superuser_not_even_the_gateway(storage, connected):
    async with storage.open(serving=True) as location:
        for role in ("postgres", "root", "nobody"):
            with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
                async with connected(location, user=role):
                    pass


CONNECT = """
import asyncio, asyncpg, sys
async def main():
    try:
        await asyncpg.connect(host=sys.argv[1], user=sys.argv[2], database="mosaic", timeout=5)
    except Exception as error:
        print(type(error).__name__)
asyncio.run(main())
"""


def attempt(command: list[str], user: object, directory: int) -> str:
    command = ["setpriv", "--reuid", str(user), *command]
    answer = subprocess.run(
        command, pass_fds=[directory], cwd="/", capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


@as_root
async def test_another_os_user_cannot_connect_even_with_the_socket_in_hand(storage, data_dir, person):
    if person.name == "root":
        pytest.skip("root is the gateway here")
    async with storage.open(serving=True) as location:
        postgres = (data_dir / "postgres").stat()
        directory = os.open(data_dir / "postgres", os.O_RDONLY)
        attempts = [
            (person.name, location.host, "gateway", "PermissionError"),
            (postgres.st_uid, f"/proc/self/fd/{directory}", "gateway", "InvalidAuthorizationSpecificationError"),
            (postgres.st_uid, f"/proc/self/fd/{directory}", "postgres", "InvalidAuthorizationSpecificationError"),
        ]  # fmt: skip
        for user, host, role, expected in attempts:
            assert attempt([*person.python[3:], "-c", CONNECT, host, role], user, directory) == expected
        os.close(directory)
