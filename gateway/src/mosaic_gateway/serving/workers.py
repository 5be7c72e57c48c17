"""Several worker processes on the same sockets.

By hand: Hypercorn's and multiprocessing's supervisors fork or pickle the application, and neither backs off.
A pipe that only the parent can write to tells a worker of the parent's death, kill -9 included.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import Coroutine, Sequence
from typing import Any

from mosaic_hookspecs.errors import Unavailable

log = logging.getLogger("mosaic.serving")

_ENVIRONMENT = (
    "_MOSAIC_WORKER_FDS"  # "pipe,socket,socket…": descriptors of one worker; no setting, hence the underscore
)
_EARLY = 10.0  # seconds: a worker that dies sooner has failed to start
_ATTEMPTS = 5
_BACKOFF = (0.1, 5.0)  # seconds, first and longest


async def supervise(
    argv: Sequence[str],
    sockets: Sequence[socket.socket],
    *,
    workers: int,
    stop: asyncio.Event,
    patience: float = 15.0,
) -> None:
    """Run ``workers`` processes of ``argv`` until ``stop`` is set; restart those that die.

    A stop closes ``sockets`` and sends SIGTERM; what still runs ``patience`` seconds later (more than the
    workers' own drain) is killed. Raises :class:`Unavailable` when one dies 5 times in a row within 10 s of
    starting. POSIX only. The worker's side is :func:`inherited`.
    """
    pipe, ours = os.pipe()
    descriptors = [pipe, *(s.fileno() for s in sockets)]
    spawning = asyncio.Lock()  # no socket is closed while a process is being made from it
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(1, workers + 1):
                group.create_task(_Worker(number, argv, descriptors, spawning, patience).keep(stop))
            await stop.wait()
            async with spawning:
                _close(sockets)
    except ExceptionGroup as failures:  # not `except*`: before Python 3.11.4 it wraps what is raised in it
        raise failures.exceptions[0] from None
    finally:
        os.close(ours)
        os.close(pipe)
        _close(sockets)


def inherited(stop: asyncio.Event) -> list[socket.socket]:
    """Return the sockets given to :func:`supervise`, in its order; the death of the parent sets ``stop``.

    For a worker, once, inside its running loop. Raises KeyError in a process that is no worker.
    """
    pipe, *descriptors = map(int, os.environ.pop(_ENVIRONMENT).split(","))
    for descriptor in (pipe, *descriptors):
        os.set_inheritable(descriptor, False)
    loop = asyncio.get_running_loop()

    def parent_died() -> None:
        loop.remove_reader(pipe)
        stop.set()

    loop.add_reader(pipe, parent_died)  # nothing is ever written: readable means end of file
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


class _Worker:
    """One place among the workers, and the process that fills it."""

    def __init__(
        self,
        number: int,
        argv: Sequence[str],
        descriptors: list[int],
        spawning: asyncio.Lock,
        patience: float,
    ) -> None:
        self._number = number
        self._argv = argv
        self._descriptors = descriptors
        self._spawning = spawning
        self._patience = patience

    async def keep(self, stop: asyncio.Event) -> None:
        """Have a process running until the stop. Raises :class:`Unavailable`."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not stop.is_set():
            started = loop.time()
            status = await self._run(stop)
            if stop.is_set():
                return
            failures = failures + 1 if loop.time() - started < _EARLY else 1
            log.warning("worker %d ended with status %d; starting another", self._number, status)
            if failures == _ATTEMPTS:
                raise Unavailable(
                    f"worker {self._number} ended {failures} times within {_EARLY:.0f} s of its start, "
                    f"last with status {status}",
                    remedy="read what the worker printed above; one worker alone shows the same error",
                )
            await _either(stop, asyncio.sleep(min(_BACKOFF[0] * 2 ** (failures - 1), _BACKOFF[1])))

    async def _run(self, stop: asyncio.Event) -> int:
        """Run one process to its end, or to the stop; return its exit status."""
        async with self._spawning:
            if stop.is_set():
                return 0
            process = await create_subprocess_exec(
                *self._argv,
                stdin=DEVNULL,
                pass_fds=self._descriptors,
                env=os.environ | {_ENVIRONMENT: ",".join(map(str, self._descriptors))},
            )
        try:
            await _either(stop, process.wait())
        finally:
            await self._end(process)
        return await process.wait()

    async def _end(self, process: Process) -> None:
        if process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(self._patience):
                await process.wait()
        except TimeoutError:
            log.warning("worker %d did not end in %.0f s: killed", self._number, self._patience)
            process.kill()


async def _either(stop: asyncio.Event, other: Coroutine[Any, Any, Any]) -> None:
    """Wait for the stop or for ``other``, whichever is first."""
    tasks = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(other)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
