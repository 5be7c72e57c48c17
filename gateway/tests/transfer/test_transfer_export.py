from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from mosaic_gateway.transfer import export_rows
from mosaic_hookspecs.errors import Invalid

RECORDS = [{"title": f"Ž{n}", "external_id": str(n)} for n in range(3)]


@pytest.fixture
async def full(rows, ada):
    await rows.store_many(ada, "tasks", RECORDS, team_id=None, dry_run=False)
    return rows


async def test_every_row_is_one_line_of_a_file_only_its_owner_reads(full, ada, tmp_path):
    target = tmp_path / "out.ndjson"
    assert await export_rows(full, ada, "tasks", target) == 3
    lines = target.read_text().splitlines()
    assert sorted(json.loads(line)["title"] for line in lines) == ["Ž0", "Ž1", "Ž2"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [target]


async def test_only_what_the_user_sees_leaves(full, identities, tmp_path):
    await identities.add_user("bob")
    assert await export_rows(full, await identities.user("bob"), "tasks", tmp_path / "out.ndjson") == 0
    assert (tmp_path / "out.ndjson").read_bytes() == b""


async def test_an_export_that_breaks_off_leaves_the_old_file(full, ada, tmp_path):
    target = tmp_path / "out.ndjson"
    target.write_text("old")

    def interrupt(step, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await export_rows(full, ada, "tasks", target, progress=interrupt)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


async def test_a_link_is_followed_not_replaced(full, ada, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real.ndjson")
    await export_rows(full, ada, "tasks", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real.ndjson").read_text().count("\n") == 3


async def test_a_device_a_pipe_and_a_folder_are_never_replaced(full, ada, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for target in (Path("/dev/null"), tmp_path / "pipe", tmp_path):
        with pytest.raises(Invalid, match="not a regular file"):
            await export_rows(full, ada, "tasks", target)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)  # noqa: PTH116


async def test_a_folder_that_is_not_there_is_a_clear_error(full, ada, tmp_path):
    with pytest.raises(Invalid, match="cannot be written: No such file or directory"):
        await export_rows(full, ada, "tasks", tmp_path / "gone" / "out.ndjson")


async def test_a_full_disk_is_a_clear_error_and_leaves_nothing(full, ada, tmp_path):
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # a write beyond 100 bytes fails
    try:
        with pytest.raises(Invalid, match="cannot be written: File too large"):
            await export_rows(full, ada, "tasks", tmp_path / "out.ndjson")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


async def test_without_a_file_the_rows_go_to_standard_output(full, ada, capfdbinary):
    assert await export_rows(full, ada, "tasks", None) == 3
    assert capfdbinary.readouterr().out.count(b"\n") == 3
