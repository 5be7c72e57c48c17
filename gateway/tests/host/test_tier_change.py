"""What migrate-tier writes into a config of any language, and what it says is still missing."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from mosaic_gateway.bound import find_tier
from mosaic_gateway.cli.tier_change import TierChange
from mosaic_gateway.config import read_config
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import Tier

URL = "postgresql://mosaic@db.example.org/mosaic?sslmode=verify-full"

FILES = {
    "mosaic.config.json": """{
  "tier": "local", "name": "work", "data_dir": "żółw",
  "storage": {"pool": 3}, "plugins": {"workspace": {}}
}""",
    "mosaic.config.toml": """# The gateway of the crew
tier = "local"  # until we have a server
name = "work"
data_dir = "data"

[storage]
pool = 3  # enough

[plugins.workspace]
""",
    "mosaic.config.yaml": """# The gateway of the crew
tier: local  # until we have a server
name: "work"
data_dir: data
storage:
  pool: 3  # enough
plugins:
  workspace: {}
""",
}


def tier(name: str) -> Tier:
    found, _ = find_tier(name)
    assert found
    return found


def changed(path: Path, *, before: str = "local", to: str = "standalone", **queue: str) -> TierChange:
    storage = {"url": URL, "password_file": "/run/secrets/db"}
    return TierChange(read_config(path), tier(before), tier(to), storage, queue)


@pytest.mark.parametrize("name", FILES)
def test_the_file_keeps_its_language_its_comments_and_its_mode(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FILES[name])
    path.chmod(0o640)
    kept = changed(path, url="redis://valkey.example.org/0").write()
    data = read_config(path).data
    assert (data["tier"], data["storage"]["pool"], data["storage"]["url"]) == ("standalone", 3, URL)
    assert data["queue"] == {"url": "redis://valkey.example.org/0"}
    assert data["plugins"] == {"workspace": {}}
    assert [line for line in FILES[name].splitlines() if "#" in line and "tier" not in line] == [
        line for line in path.read_text().splitlines() if "#" in line and "tier" not in line
    ]
    assert ("until we have a server" in path.read_text()) == ("until" in FILES[name])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (kept.name, kept.read_text()) == (f"{name}.before-standalone", FILES[name])
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([name, kept.name])


def test_no_old_config_is_ever_written_over(tmp_path: Path) -> None:
    path = tmp_path / "mosaic.config.json"
    path.write_text(FILES[path.name])
    first, second = changed(path).write(), changed(path).write()
    assert first.read_text() == FILES[path.name]
    assert second.name == "mosaic.config.json.before-standalone-2"


def test_the_new_tier_is_given_the_queue_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "mosaic.config.json"
    path.write_text(FILES[path.name])
    changed(path).write()
    assert read_config(path).data["queue"] == {"url": "redis://localhost:6379/0"}


def test_a_default_of_the_old_tier_stays_where_it_was(tmp_path: Path) -> None:
    """The federated tier looks for Valkey on another port: the jobs that wait are in the old one."""
    path = tmp_path / "mosaic.config.json"
    path.write_text(FILES[path.name].replace("local", "standalone"))
    changed(path, before="standalone", to="federated").write()
    assert read_config(path).data["queue"]["url"] == "redis://localhost:6379/0"


def test_a_password_is_neither_printed_nor_moved_into_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mosaic.config.json"
    config = json.loads(FILES[path.name]) | {"tier": "standalone", "queue": {"url": "redis://:hunter2@h/0"}}
    path.write_text(json.dumps(config))
    monkeypatch.setenv("MOSAIC_STORAGE__URL", "postgresql://me:sw0rdfish@h/d")
    change = changed(path, before="standalone", to="federated")
    shown = change.text() + "".join(change.notes()) + repr(change)
    assert "hunter2" not in shown
    assert "sw0rdfish" not in shown
    change.write()
    assert "sw0rdfish" not in path.read_text()
    assert json.loads(path.read_text())["queue"]["url"] == "redis://:hunter2@h/0"  # it was there


def test_what_the_change_alone_does_not_do_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mosaic.config.json"
    path.write_text(json.dumps(json.loads(FILES[path.name]) | {"plugins": {"embedded_ca": {}}}))
    monkeypatch.setenv("MOSAIC_STORAGE__POOL", "5")
    assert [note.split(" ", 1)[0] for note in changed(path).notes()] == ["jobs"]
    monkeypatch.setenv("MOSAIC_TIER", "local")
    notes = changed(path, to="federated").notes()
    assert "the tier 'federated' will not start yet" in notes[0]
    assert "embedded_ca" in notes[0]
    assert "MOSAIC_TIER in the environment goes before the config: change it, too" in notes
    assert any("jobs that wait in the queue 'postgres'" in note for note in notes)


def test_a_file_that_cannot_be_written_is_refused_before_anything_moves(tmp_path: Path) -> None:
    path = tmp_path / "there" / "mosaic.config.json"
    path.parent.mkdir()
    path.write_text(FILES[path.name])
    change = changed(path)
    path.unlink()
    with pytest.raises(ConfigError, match="read-only"):
        change.check()
