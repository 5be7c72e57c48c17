"""Errors, warnings, tracebacks and logs: a terminal obeys nothing in them, and none shows a secret."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mosaic_gateway.cli.logs import log_to_stderr

EVIL = "\x1b]0;owned\x07\u009b31m\u202e"
SECRET = "hunter2Zq7"


def said(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


@pytest.mark.parametrize("debug", [[], ["--debug"]])
@pytest.mark.parametrize("options", [["gateway", "config", "check"], ["gateway", "doctor"]])
def test_a_config_of_somebody_else_is_told_without_obeying_it(
    tmp_path: Path, options: list[str], debug: list[str]
) -> None:
    config = {"tier": "local", "name": "home", "data_dir": "data", EVIL: 1}
    (tmp_path / "mosaic.config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "mosaic_gateway.cli", *debug, *options]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in (2, 3)
    assert "unknown key" in ended.stdout + ended.stderr
    assert said(ended.stdout + ended.stderr), ended


_COMMAND = f"""
import importlib, sys, warnings
cli = importlib.import_module("mosaic_gateway.cli.main")
def fail(**_):
    warnings.warn_explicit("lost redis://:{SECRET}@cache {EVIL}", DeprecationWarning, "x", 1, module="mosaic_x")
    import logging
    logging.getLogger("asyncio").error("lost redis://:{SECRET}@cache")
    raise RuntimeError("lost redis://:{SECRET}@cache {EVIL}")
cli.mosaic.main = fail
sys.argv = ["mosaic", *sys.argv[1:]]
cli.main()
"""


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_what_nobody_expected_is_told_without_secrets(debug: list[str]) -> None:
    command = [sys.executable, "-c", _COMMAND, *debug]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "RuntimeError" in ended.stderr
    assert SECRET not in ended.stderr
    assert said(ended.stderr), ended.stderr


def test_a_log_line_is_obeyed_by_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        log_to_stderr("warning")
        logging.getLogger("mosaic.jobs").warning("job %s failed", EVIL)
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    text = capsys.readouterr().err
    assert "failed" in text
    assert said(text)
