"""Setting an authority up: all of it or nothing, also when two do it at once, or the gateway cannot keep the keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mosaic_hookspecs.errors import ConfigError, Conflict
from mosaic_step_ca.directory import Plan, new_authority
from mosaic_step_ca.setting_up import SetUp, set_up
from mosaic_step_ca.store import known_provisioners, load_root

HostOf = Callable[..., Any]
PLAN = Plan("work", "https://localhost:9000", ("localhost",), ":9000", 24)


async def do(host: Any, directory: Path, *, replace: bool = False) -> SetUp:
    return await set_up(host, PLAN, directory, directory.with_name(f"{directory.name}-root"), replace=replace)


async def test_of_two_at_once_one_succeeds_and_the_other_leaves_nothing(
    host_of: HostOf, tmp_path: Path
) -> None:
    host = host_of()
    places = [tmp_path / f"ca{number}" for number in range(4)]
    results = await asyncio.gather(*(do(host, place) for place in places), return_exceptions=True)
    (done,) = [result for result in results if isinstance(result, SetUp)]
    assert sum(isinstance(result, Conflict) for result in results) == 3
    (place,) = [place for place in places if place.exists()]
    assert sorted(path.name for path in tmp_path.iterdir()) == [place.name, f"{place.name}-root"]
    assert await load_root(host.database, done.fingerprint) == (place / "certs" / "root_ca.crt").read_bytes()
    assert await do(host, place) == SetUp(created=False, fingerprint=done.fingerprint)


async def test_a_root_that_was_exchanged_is_not_told_as_ours(host_of: HostOf, tmp_path: Path) -> None:
    """The key ids alone prove nothing: the authority tells them to anyone."""
    host = host_of()
    await do(host, tmp_path / "ca")
    await do(host_of(), tmp_path / "ca")
    theirs = new_authority(PLAN)
    (tmp_path / "ca" / "certs" / "root_ca.crt").write_bytes(theirs.root)
    with pytest.raises(Conflict, match="whose keys this gateway does not have"):
        await do(host, tmp_path / "ca")


async def test_keys_that_cannot_be_sealed_leave_nothing(host_of: HostOf, tmp_path: Path) -> None:
    class NoKeys:
        def seal(self, plain: bytes, *, place: str) -> bytes:
            raise ConfigError(f"{place}: no key")

    host = host_of()
    host.sealer = NoKeys()
    with pytest.raises(ConfigError, match="no key"):
        await do(host, tmp_path / "ca")
    assert list(tmp_path.iterdir()) == []
    assert await known_provisioners(host.database) == {}


async def test_a_replacement_that_fails_keeps_the_keys_there_were(host_of: HostOf, tmp_path: Path) -> None:
    host = host_of()
    await do(host, tmp_path / "ca")
    before = await known_provisioners(host.database)
    (tmp_path / "taken-root").mkdir()
    (tmp_path / "taken-root" / "mine").touch()
    with pytest.raises(Conflict, match="taken-root exists already"):
        await do(host, tmp_path / "taken", replace=True)
    assert not (tmp_path / "taken").exists()
    assert (tmp_path / "taken-root" / "mine").exists()
    assert await known_provisioners(host.database) == before
    await do(host, tmp_path / "new", replace=True)
    assert set(await known_provisioners(host.database)).isdisjoint(before)


async def test_what_stands_in_the_way_is_left_as_it_is(host_of: HostOf, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(Conflict, match="exists already"):
            await do(host_of(), tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]
