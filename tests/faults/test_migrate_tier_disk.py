"""A target whose disk is too small: nothing half is put to use, and with more room the same command goes on."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import chown
from typing import TYPE_CHECKING

import pytest

from mosaic_tier_local.account import postgres_account

if TYPE_CHECKING:
    from conftest import Home, Postgres

TABLESPACE = "CREATE TABLESPACE tiny LOCATION '{}'"


@pytest.fixture
def tiny() -> Iterator[Path]:
    """A file system of 40 MB that the server may write to."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("needs root: it mounts a tmpfs")
    directory = Path(tempfile.mkdtemp(prefix="mosaic-tiny-", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", directory], check=True)
    account = postgres_account(None, directory)
    chown(directory, account.uid, account.gid)
    yield directory
    subprocess.run(["umount", directory], check=True)
    directory.rmdir()


def enlarge(directory: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=400m", directory], check=True)


async def test_a_full_disk_is_said_and_with_more_room_it_goes_on(
    filled: Home, debian: Postgres, tiny: Path
) -> None:
    async with debian.administration() as conn:
        await conn.execute(TABLESPACE.format(tiny))
    url = await debian.new_database("TABLESPACE tiny")
    said = filled.migrate(url, "--yes", code=5)
    assert "No space left on device" in said
    assert "make room on the target's server" in said
    assert "give the same command again" in said
    enlarge(tiny)  # before one looks: a new connection may want to write a file, too
    async with debian.database(url) as conn:
        assert await conn.fetchval("SELECT to_regnamespace('mosaic')") is None
    assert filled.move(url)["resumed"]
    assert await debian.content(url) == await filled.content()
    async with debian.administration() as conn:
        await conn.execute(f"DROP DATABASE {url.rsplit('/', 1)[1]} WITH (FORCE)")
        await conn.execute("DROP TABLESPACE tiny")
