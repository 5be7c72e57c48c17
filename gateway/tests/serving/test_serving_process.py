"""Signals and the event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest
import uvloop

from mosaic_gateway.serving import run, stop_event

STUBBORN = """
import asyncio
from mosaic_gateway.serving import run, stop_event
async def main():
    with stop_event() as stop:
        print("ready", flush=True)
        await stop.wait()
        print("stopping", flush=True)
        await asyncio.sleep(30)
run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_sets_the_event_and_handlers_are_restored(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_event() as stop:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 30)
    assert signal.getsignal(number) is before


def test_a_second_interrupt_ends_the_process_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for said in ("ready\n", "stopping\n"):
            assert process.stdout.readline() == said
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT


def test_run_uses_uvloop_and_returns_the_result() -> None:
    async def main() -> type:
        return type(asyncio.get_running_loop())

    assert run(main()) is uvloop.Loop


def test_run_does_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> bool:
        return isinstance(asyncio.get_running_loop(), uvloop.Loop)

    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(main()) is False
