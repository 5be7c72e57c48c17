"""Has mosaic_server.py run a command: as a module, and as the program that a shell finds as ``mosaic``."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

#: What a received signal is for the command. SIGKILL cannot be received: SIGUSR1 stands for it.
PASSED_ON = {number: number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)}
PASSED_ON[signal.SIGUSR1] = signal.SIGKILL


def ask(
    place: str, arguments: Sequence[str], environment: Mapping[str, str], streams: Sequence[int]
) -> socket.socket:
    """Begin a command in this folder; a byte sent is a signal for it, a closed socket is SIGKILL."""
    wanted = {"arguments": arguments, "environment": dict(environment), "folder": os.getcwd()}  # noqa: PTH109
    message = json.dumps(wanted).encode()
    server = socket.socket(socket.AF_UNIX)
    server.connect(place)
    socket.send_fds(server, [b"%8d" % len(message)], streams)
    server.sendall(message)
    return server


def answer(server: socket.socket) -> int:
    """Its exit code; that of a signal is negative."""
    return int(server.makefile().readline())


def be_the_command(place: str, arguments: Sequence[str]) -> None:
    """Behave as the command would in this process: its streams, signals and end."""
    for number in PASSED_ON:
        signal.signal(number, lambda received, _: server.send(bytes([PASSED_ON[signal.Signals(received)]])))
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    server = ask(place, arguments, os.environ, (0, 1, 2))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    code = answer(server)
    if code < 0:
        if -code in PASSED_ON:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    be_the_command(sys.argv[1], sys.argv[2:])
