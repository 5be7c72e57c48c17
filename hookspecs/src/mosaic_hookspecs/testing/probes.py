"""What every health check has to do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.redaction import redact
from mosaic_hookspecs.types import Finding, Probe

PATIENCE = 5.0  # seconds; what a gateway gives
_TURN = 0.01  # seconds
_STILL = 50  # turns
_CUTS = (1, 2, 3, 5, 10, 30)  # turns of the loop after which a check is cancelled


async def found(probe: Probe) -> Finding:
    """What a gateway makes of a check: one of our errors is a red finding. Fails if there is none in time."""
    task = asyncio.ensure_future(probe.check())
    await asyncio.wait({task}, timeout=PATIENCE)  # not wait_for: it would wait for one that ignores it
    if not task.done():
        task.cancel()
        pytest.fail(f"no answer within {PATIENCE:g} s")
    try:
        finding = task.result()
    except MosaicError as error:
        return Finding("red", error.detail, error.remedy)
    assert isinstance(finding, Finding), f"it returned {type(finding).__name__}, no Finding"
    return finding


@asynccontextmanager
async def loop_going_round() -> AsyncIterator[None]:
    """Fail if the loop stood still: if meanwhile another thread woke 50 times, each after 10 ms.

    Counted in turns and not in seconds: on a busy machine both wait.
    """
    loop, over = asyncio.get_running_loop(), threading.Event()
    since = longest = 0

    def watch() -> None:
        nonlocal since, longest
        while not over.wait(_TURN):
            since += 1
            longest = max(longest, since)

    def beat() -> None:
        nonlocal since
        since = 0
        if not over.is_set():
            loop.call_later(_TURN, beat)

    beat()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert longest < _STILL, "it blocks: nothing else ran in this process while it looked"


class ProbeContract:
    """Inherit from this and give it a fixture ``probe``, and ``secrets`` if it knows any.

    A probe that can be green, yellow and red is worth a class for each.
    """

    @pytest.fixture
    def secrets(self) -> Sequence[str]:
        """What it knows and may never tell: passwords, tokens, keys."""
        return ()

    def test_it_has_a_name(self, probe: Probe) -> None:
        assert probe.name
        assert probe.name.isprintable()

    async def test_it_answers_in_time_with_a_finding(self, probe: Probe) -> None:
        """Within 5 s. An error of ours (``Unavailable``) is a red finding, any other is a fault of the probe."""
        finding = await found(probe)
        assert finding.status in ("green", "yellow", "red")
        assert finding.detail

    async def test_what_is_not_green_says_what_to_do(self, probe: Probe) -> None:
        finding = await found(probe)
        assert finding.status == "green" or finding.remedy, f"{finding.status}, and no remedy"

    async def test_no_secret_is_told(self, probe: Probe, secrets: Sequence[str]) -> None:
        """Neither one that it was given nor anything that looks like one: it is shown to whoever asks."""
        finding = await found(probe)
        said = f"{finding.detail}\n{finding.remedy}"
        assert redact(said) == said, f"it tells what looks like a secret: {redact(said)}"
        assert not [secret for secret in secrets if secret in said], "it tells a secret"

    async def test_it_awaits_and_never_blocks(self, probe: Probe) -> None:
        """Once what it imports is there: for half a second nothing else in the process may stand still."""
        await found(probe)
        async with loop_going_round():
            await found(probe)

    async def test_it_can_be_run_again_and_several_times_at_once(self, probe: Probe) -> None:
        first = await found(probe)
        findings = await asyncio.gather(*(found(probe) for _ in range(8)))
        assert {finding.status for finding in findings} == {first.status}

    async def test_it_ends_when_it_is_cancelled(self, probe: Probe) -> None:
        """At any moment, leaving no task behind, and it answers as well afterwards."""
        first = await found(probe)
        before = asyncio.all_tasks()
        for cut in _CUTS:
            task = asyncio.ensure_future(probe.check())
            for _ in range(cut):
                await asyncio.sleep(0)
            if task.cancel():
                await asyncio.wait({task}, timeout=PATIENCE)
                assert task.done(), "it goes on after it was cancelled"
                assert task.cancelled(), "it does not let itself be cancelled"
        left = asyncio.all_tasks() - before
        if left:
            await asyncio.wait(left, timeout=PATIENCE)
        assert all(task.done() for task in left), "it leaves tasks behind"
        assert (await found(probe)).status == first.status
