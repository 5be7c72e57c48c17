"""The command on a terminal, as a person sees it: plan, question, progress, and the offer to change the config."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Home, Postgres

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and movements of a terminal


def on_a_terminal(command: list[str], answers: Mapping[str, str], env: dict[str, str]) -> tuple[int, str]:
    """Run a command, give each answer when its question stands there; return exit code and all that was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    shown, waiting, deadline = "", dict(answers), time.monotonic() + 100
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                shown += os.read(ours, 4096).decode(errors="replace")
            except OSError:  # the other end is closed: it has ended
                break
        for question in [question for question in waiting if question in shown]:
            os.write(ours, waiting.pop(question).encode() + b"\n")
    os.close(ours)
    assert not waiting, shown
    return process.wait(60), _CONTROL.sub("", shown)


def migrate(home: Home, url: str, answers: Mapping[str, str]) -> tuple[int, str]:
    command = [*home.command("storage", "migrate-tier", "--to", "standalone", "--target", url)]
    return on_a_terminal(command, answers, home.environment() | {"TERM": "xterm", "COLUMNS": "120"})


async def test_asked_shown_moved_and_the_config_changed(filled: Home, debian: Postgres) -> None:
    url, old = await debian.new_database(), filled.config.read_text()
    answers = {"Move these rows to the tier 'standalone'? [y/N]": "y", "Write the new tier into": "y"}
    try:
        code, shown = await asyncio.to_thread(migrate, filled, url, answers)
        changed = json.loads(filled.config.read_text())
    finally:
        filled.config.write_text(old)
    assert code == 0, shown
    assert "estimated seconds" in shown
    assert "note: jobs that wait in the queue 'postgres'" in shown
    assert re.search(r"copying .*\d+/\d+ [\d,]+ rows/s +\d:\d\d:\d\d", shown), shown
    assert "cutting over" in shown
    assert (changed["tier"], changed["storage"]["url"]) == ("standalone", url)
    assert "the old one is" in shown
    assert await debian.content(url) == await filled.content()


async def test_no_is_no(small: Home, debian: Postgres) -> None:
    url, old = await debian.new_database(), small.config.read_text()
    code, shown = await asyncio.to_thread(migrate, small, url, {"Move these rows": "n"})
    assert code == 130, shown
    async with debian.database(url) as conn:
        assert await conn.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'mosaic%'") == 0
    assert small.config.read_text() == old
