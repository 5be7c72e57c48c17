"""A real rsyslogd, on a Unix socket and on TCP, that writes each message as it came to a file."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from folders import remove
from free_ports import free_port

PATIENCE = 20.0  # seconds
_CONFIG = """
global(workDirectory="{home}")
module(load="imuxsock" SysSock.Use="off")
module(load="imtcp")
input(type="imuxsock" Socket="{home}/log" RateLimit.Interval="0")
input(type="imtcp" Address="127.0.0.1" Port="{port}" SupportOctetCountedFraming="on")
template(name="raw" type="string" string="%rawmsg%\\n")
template(name="parsed" type="string" string="%app-name%|%msgid%|%pri%|%structured-data%\\n")
action(type="omfile" file="{home}/raw" template="raw")
action(type="omfile" file="{home}/parsed" template="parsed")
"""


@dataclass(frozen=True)
class Daemon:
    """One that a test may stop and start again."""

    home: Path
    port: int

    @property
    def unix(self) -> str:
        return f"unix://{self.home}/log"

    @property
    def tcp(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start, wait until it takes messages, and stop it by its process."""
        program = shutil.which("rsyslogd")
        if not program:
            pytest.skip("needs a syslog daemon: apt-get install rsyslog")
        (self.home / "log").unlink(missing_ok=True)
        config = self.home / "rsyslog.conf"
        config.write_text(_CONFIG.format(home=self.home, port=self.port))
        process = subprocess.Popen([program, "-n", "-f", config, "-i", self.home / "pid"])
        try:
            _until(lambda: process.poll() is None and self._listens())
            yield
        finally:
            process.kill()
            process.wait(60)
            (self.home / "pid").unlink(missing_ok=True)

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return (self.home / "log").exists() and sock.connect_ex(("127.0.0.1", self.port)) == 0

    def lines(self, name: str = "raw") -> list[str]:
        """What it has written so far."""
        file = self.home / name
        return file.read_text().splitlines() if file.exists() else []

    def settled(self) -> list[str]:
        """What it has written once all is that its Unix socket had taken before."""
        mark = uuid4().hex
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(f"<14>1 - - mark - - - {mark}".encode(), str(self.home / "log"))
        return self.until(mark)

    def until(self, text: str, name: str = "raw") -> list[str]:
        """What it has written as soon as this is there: it writes one file after the other."""
        _until(lambda: any(text in line for line in self.lines(name)))
        return self.lines(name)


def _until(condition: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="session")
def new_daemon() -> Iterator[object]:
    """Make daemons; a test starts them with ``running``."""
    homes: list[Path] = []

    def make() -> Daemon:
        homes.append(Path(tempfile.mkdtemp(prefix="mosaic-log-", dir="/tmp")))  # short: a socket's path
        return Daemon(homes[-1], free_port())

    yield make
    for home in homes:
        remove(home)


@pytest.fixture(scope="module")
def daemon(new_daemon: object) -> Iterator[Daemon]:
    """One that runs for all tests of a module."""
    daemon: Daemon = new_daemon()  # type: ignore[operator]
    with daemon.running():
        yield daemon
