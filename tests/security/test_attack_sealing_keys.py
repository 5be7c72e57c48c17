"""Attacks on the key file: what it holds, whose it is, and what stands in its place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mosaic_gateway.sealing import KeyFile, Keyring, Keys, create_keys
from mosaic_hookspecs.errors import ConfigError

KEY = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0czE="

WRONG = [
    {"active": [], "keys": {"k": KEY}},
    {"active": {}, "keys": {"k": KEY}},
    {"active": None, "keys": {"k": KEY}},
    {"active": "", "keys": {"": KEY}},
    {"active": "k\u001b[2J", "keys": {"k\u001b[2J": KEY}},
    {"active": "k", "keys": {"k": KEY}, "made": []},
    {"active": "k", "keys": {"k": KEY}, "made": {"k": 5}},
    {"active": "\ud800", "keys": {"\ud800": KEY}},
    {"active": "k" * 65, "keys": {"k" * 65: KEY}},
    {"active": "k", "keys": [KEY]},
    ["active", "keys"],
]


@pytest.mark.parametrize("value", WRONG)
def test_a_strange_key_file_is_refused_and_nothing_of_it_told(tmp_path: Path, value: object) -> None:
    path = tmp_path / "keys.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(value))
    with pytest.raises(ConfigError, match="damaged") as caught:
        Keyring.read(path)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("value", WRONG)
def test_strange_keys_in_the_environment_are_refused(
    tmp_path: Path, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOSAIC_SEALING_KEYS", json.dumps(value))
    with pytest.raises(ConfigError, match="not the text of a key file") as caught:
        Keyring.load(tmp_path)
    assert KEY not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes files of others")
def test_a_rotation_by_root_leaves_the_file_to_whom_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_keys(path)
    os.chown(path, 12345, 54321)
    KeyFile(path).write(Keys.new())
    state = path.stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o777) == (12345, 54321, 0o600)


def test_a_file_of_somebody_else_laid_in_the_way_is_not_written_through(tmp_path: Path) -> None:
    path, victim = tmp_path / "keys.json", tmp_path / "victim"
    create_keys(path)
    victim.write_text("as it was")
    path.with_name("keys.json.new").symlink_to(victim)
    KeyFile(path).write(Keys.new())
    assert victim.read_text() == "as it was"
    assert not path.is_symlink()
