"""Runs ``mosaic`` commands in forks of itself, so that none has to import everything anew: see mosaic_runs.py."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from importlib import import_module
from typing import Any, NoReturn

from mosaic_gateway.cli.main import main

PRELOADED = (
    *("mosaic_gateway.boot", "mosaic_gateway.compose", "mosaic_gateway.config", "rich.console", "rich.table"),
    "mosaic_gateway.cli.start",
    *("mosaic_federation.cli", "mosaic_federation.grants", "mosaic_federation.joining"),
    *(
        "mosaic_federation.lifespan",
        "mosaic_federation.probes",
        "mosaic_audit.cli",
        "mosaic_audit.writer",
        "mosaic_embedded_ca.authority",
    ),
    *("mosaic_tier_local.storage", "mosaic_tier_local.queue", "mosaic_workspace.resources"),
)
STREAMS = 3  # input, output, errors


def serve(place: str) -> None:
    """Until whoever started this closes standard input, or ends."""
    for module in PRELOADED:
        import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            connection, _ = listening.accept()
            with connection:
                if os.fork() == 0:
                    listening.close()
                    _answer(connection)


def _answer(connection: socket.socket) -> NoReturn:
    """Fork once more; pass signals on (a byte is one; whoever asked being gone is SIGKILL); say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, *_ = socket.recv_fds(connection, 8, STREAMS)
    asked = json.loads(connection.recv(int(size), socket.MSG_WAITALL))
    if (pid := os.fork()) == 0:
        connection.close()
        _become(streams, **asked)
    for stream in streams:
        os.close(stream)
    child = os.pidfd_open(pid)
    while child not in select.select([child, connection], [], [])[0]:
        number = connection.recv(1)
        signal.pidfd_send_signal(child, number[0] if number else signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(streams: list[int], arguments: list[str], environment: dict[str, str], folder: str) -> NoReturn:
    code: Any = 70
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["mosaic", *arguments]
        main()
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else bool(code))


if __name__ == "__main__":
    serve(sys.argv[1])
