"""What is sealed opens only with its key, unchanged, and in its own place."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_gateway.sealing import KeyFile, Keyring, Keys, create_keys
from mosaic_hookspecs.errors import ConfigError

RING = Keyring(Keys("k1", {"k1": b"\x01" * 32}))
PLACE = "federation_peers/1/key"


@given(plain=st.binary(max_size=300), place=st.text(max_size=50))
def test_round_trip(plain: bytes, place: str) -> None:
    sealed = RING.seal(plain, place=place)
    assert RING.open(sealed, place=place) == plain
    assert len(plain) < 8 or plain not in sealed


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    sealed = bytearray(RING.seal(b"-----BEGIN PRIVATE KEY-----", place=PLACE))
    index = data.draw(st.integers(0, len(sealed) - 1))
    sealed[index] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ConfigError):
        RING.open(bytes(sealed), place=PLACE)


@given(st.binary(max_size=40))
def test_rubbish_is_refused(rubbish: bytes) -> None:
    with pytest.raises(ConfigError):
        RING.open(rubbish, place=PLACE)


def test_a_moved_value_does_not_open() -> None:
    with pytest.raises(ConfigError, match="changed or moved"):
        RING.open(RING.seal(b"x", place=PLACE), place="federation_peers/2/key")


def test_a_key_that_is_gone_is_named() -> None:
    other = Keyring(Keys("k2", {"k2": b"\x02" * 32}))
    with pytest.raises(ConfigError, match="does not hold"):
        other.open(RING.seal(b"x", place=PLACE), place=PLACE)


def test_an_older_key_still_opens() -> None:
    both = Keyring(Keys("k2", {"k1": b"\x01" * 32, "k2": b"\x02" * 32}))
    assert both.open(RING.seal(b"x", place=PLACE), place=PLACE) == b"x"


def test_what_any_key_sealed_it_opens_whatever_its_name() -> None:
    ring = Keyring(Keys("clé-1", {"clé-1": b"\x01" * 32}))
    assert ring.open(ring.seal(b"x", place=PLACE), place=PLACE) == b"x"


def test_cursor_key_differs_from_the_sealing_key() -> None:
    assert RING.cursor_keys()[0] != b"\x01" * 32


class TestKeyFile:
    def test_is_made_closed_and_never_overwritten(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        create_keys(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(FileExistsError):
            create_keys(path)
        sealed = Keyring.read(path).seal(b"x", place=PLACE)
        assert Keyring.read(path).open(sealed, place=PLACE) == b"x"

    def test_open_to_others_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        create_keys(path)
        path.chmod(0o640)
        with pytest.raises(ConfigError, match="chmod 600"):
            Keyring.read(path)

    @pytest.mark.parametrize(
        "text",
        ["", "[]", "{}", '{"active": "k1", "keys": {"k1": "c2hvcnQ="}}', '{"active": "k2", "keys": {}}'],
    )
    def test_damage_is_told_without_the_content(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "keys.json"
        path.touch(mode=0o600)
        path.write_text(text)
        with pytest.raises(ConfigError, match="damaged") as caught:
            Keyring.read(path)
        assert "c2hvcnQ" not in str(caught.value)

    def test_absent(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="does not exist"):
            Keyring.read(tmp_path / "keys.json")

    def test_content_is_an_aes_256_key(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        create_keys(path)
        data = json.loads(path.read_text())
        assert list(data["keys"]) == [data["active"]]


class TestAChangedKeyFile:
    """What a gateway that runs does about it."""

    def test_new_secrets_are_sealed_with_the_new_key_at_once(self, tmp_path: Path) -> None:
        file = KeyFile(tmp_path / "keys.json")
        create_keys(file.path)
        running = Keyring.read(file.path)
        before = running.seal(b"x", place=PLACE)
        file.write(file.read().with_new())
        after = running.seal(b"x", place=PLACE)
        assert after.startswith(Keyring.read(file.path).header())
        assert not before.startswith(running.header())
        assert running.open(before, place=PLACE) == running.open(after, place=PLACE) == b"x"
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]

    def test_a_key_it_does_not_know_is_looked_for_in_the_file(self, tmp_path: Path) -> None:
        file = KeyFile(tmp_path / "keys.json")
        create_keys(file.path)
        running = Keyring.read(file.path)
        file.write(file.read().with_new())
        assert running.open(Keyring.read(file.path).seal(b"x", place=PLACE), place=PLACE) == b"x"

    def test_a_page_under_way_goes_on_whichever_process_is_asked(self, tmp_path: Path) -> None:
        file = KeyFile(tmp_path / "keys.json")
        create_keys(file.path)
        stale = Keyring.read(file.path)
        before = stale.cursor_keys()[0]
        file.write(file.read().with_new())
        fresh = Keyring.read(file.path)
        assert before in fresh.cursor_keys()
        assert fresh.cursor_keys()[0] != before
        assert stale.cursor_keys() == fresh.cursor_keys()

    def test_without_its_file_nothing_is_sealed_that_a_restart_could_not_open(self, tmp_path: Path) -> None:
        create_keys(tmp_path / "keys.json")
        running = Keyring.read(tmp_path / "keys.json")
        sealed = running.seal(b"x", place=PLACE)
        (tmp_path / "keys.json").unlink()
        with pytest.raises(ConfigError, match="does not exist"):
            running.seal(b"x", place=PLACE)
        assert running.open(sealed, place=PLACE) == b"x"

    def test_what_a_killed_writer_left_behind_does_no_harm(self, tmp_path: Path) -> None:
        file = KeyFile(tmp_path / "keys.json")
        create_keys(file.path)
        (tmp_path / "keys.json.new").write_text("half of")
        file.write(file.read().with_new())
        assert len(file.read().keys) == 2

    def test_one_as_the_first_release_wrote_it_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"active": "k1", "keys": {"k1": "AQEB" * 10 + "AQE="}}))
        assert Keyring.read(path).open(RING.seal(b"x", place=PLACE), place=PLACE) == b"x"


def test_a_full_disk_leaves_no_half_made_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, "fsync", full)
        create_keys(tmp_path / "keys.json")
    create_keys(tmp_path / "keys.json")
    Keyring.read(tmp_path / "keys.json")
