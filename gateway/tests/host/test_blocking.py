"""What blocks instead of waiting is named by somebody whom it does not block."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from mosaic_gateway.compose import Owned
from mosaic_gateway.health import run_probes
from mosaic_hookspecs.types import Finding, Probe

BLOCKING = """
from mosaic_hookspecs.types import Probe
async def check():
    import asyncio, threading
    await asyncio.sleep(0)
    threading.Event().wait()
@hookimpl
def mosaic_probes(host): return [Probe("disk", check, standalone=True)]
"""


async def test_a_probe_that_blocks_a_gateway_is_named_in_its_log_while_it_does() -> None:
    logged, said = threading.Event(), list[str]()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            logged.set()

    handler = Handler()
    logger = logging.getLogger("mosaic.health")

    async def blocking() -> Finding:
        logged.wait()
        return Finding("green", "at last")

    async def patient() -> Finding:
        return Finding("green", "fine")

    logger.addHandler(handler)
    try:
        await run_probes(
            [Owned("odd", Probe("disk", blocking)), Owned("fine", Probe("fine", patient))], within=0.05
        )
    finally:
        logger.removeHandler(handler)
    assert "plugin 'odd': probe 'disk' blocks" in said[0]


def test_a_probe_that_blocks_the_doctor_is_its_finding(config: Callable[..., Path], tmp_path: Path) -> None:
    path = config(odd=BLOCKING)
    impatient = (
        "import sys; from mosaic_gateway.health import probes; probes.PROBE_TIMEOUT = 0.2;"
        f"sys.argv = ['mosaic', '--config', {str(path)!r}, 'gateway', 'doctor', '--json'];"
        "from mosaic_gateway.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", impatient],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["detail"] == "plugin 'odd': probe 'disk' blocks: it did not give way within 0.2 s"
    assert "asyncio.to_thread" in finding["remedy"]
