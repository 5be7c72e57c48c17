"""A config is rewritten where others may have laid links, and is at no moment more open than it was."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from mosaic_gateway.bound import find_tier
from mosaic_gateway.cli.tier_change import TierChange
from mosaic_gateway.config import read_config

URL = "postgresql://mosaic@db.example.org/mosaic"


def change(path: Path) -> TierChange:
    path.write_text(json.dumps({"tier": "local", "name": "home", "data_dir": "data"}))
    path.chmod(0o600)
    (before, _), (after, _) = find_tier("local"), find_tier("standalone")
    assert before
    assert after
    return TierChange(read_config(path), before, after, {"url": URL}, {})


@pytest.mark.parametrize("laid", ["mosaic.config.json.new", "mosaic.config.json.before-standalone"])
def test_a_link_in_the_place_of_a_copy_is_not_followed(tmp_path: Path, laid: str) -> None:
    made = change(tmp_path / "mosaic.config.json")
    theirs = tmp_path / "theirs"
    (tmp_path / laid).symlink_to(theirs)
    try:
        made.write()
    except Exception as error:
        assert "cannot be rewritten" in str(error)
    assert not theirs.exists()


def test_no_copy_is_open_before_it_has_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = change(tmp_path / "mosaic.config.json")
    modes = []

    def look(source: Any, copy: Any, **_options: Any) -> None:
        modes.append(stat.S_IMODE(Path(copy).stat().st_mode))

    monkeypatch.setattr(shutil, "copystat", look)  # what gives a copy its mode, once its content is there
    made.write()
    assert modes
    assert set(modes) == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes files of others")
def test_a_change_by_root_leaves_the_config_to_whom_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "mosaic.config.json"
    made = change(path)
    os.chown(path, 12345, 54321)
    for file in (path, made.write()):
        state = file.stat()
        assert (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (12345, 54321, 0o600)
