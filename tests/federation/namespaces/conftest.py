"""Hosts of their own, in network namespaces: one switch, and on it each host with an address and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PATIENCE = 60.0  # seconds


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@dataclass
class Site:
    """One host: a namespace with a loopback, and a cable to the switch."""

    namespace: str
    address: str
    switch: str
    port: str
    hosts: list[Site] = field(repr=False)  # of that switch, itself included
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    sky: subprocess.Popen[bytes] | None = None

    @property
    def inside(self) -> tuple[str, ...]:
        """A command that runs another one on this host."""
        return ("ip", "netns", "exec", self.namespace)

    def unplug(self) -> None:
        """The switch's end goes down: the host keeps its address, and hears nothing."""
        ip("-n", self.switch, "link", "set", self.port, "down")

    def plug(self) -> None:
        """Return when it reaches the others: for a while the kernel goes on with what it found before."""
        ip("-n", self.switch, "link", "set", self.port, "up")
        others = [site.address for site in self.hosts if site is not self]
        probe = [*self.inside, sys.executable, Path(__file__).with_name("reach.py"), *others]
        subprocess.run(probe, check=True, timeout=PATIENCE)

    def have_weather(self) -> None:
        """Put a relay into the cable, which :meth:`weather` makes slow and lossy."""
        ends = (self.port, f"{self.port}-sky")
        ip("-n", self.switch, "link", "add", ends[1], "type", "veth", "peer", "name", f"{self.port}-air")
        ip("-n", self.switch, "link", "set", f"{self.port}-air", "master", "bridge", "up")
        ip("-n", self.switch, "link", "set", ends[1], "up")
        ip("-n", self.switch, "link", "set", self.port, "nomaster")
        relay = [sys.executable, Path(__file__).with_name("weather.py"), *ends]
        self.sky = subprocess.Popen(
            ["ip", "netns", "exec", self.switch, *relay], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.processes.append(self.sky)
        self.weather()

    def weather(self, *, delay: float = 0.0, loss: float = 0.0) -> None:
        """Seconds and part of the frames, each way. All of them lost: both ends stay up, and hear nothing."""
        assert self.sky is not None
        assert self.sky.stdin is not None
        assert self.sky.stdout is not None
        self.sky.stdin.write(json.dumps({"delay": delay, "loss": loss}).encode() + b"\n")
        self.sky.stdin.flush()
        assert self.sky.stdout.readline()

    def start(self, *command: str | Path, cwd: Path, port: int) -> subprocess.Popen[bytes]:
        """Run a program until the test ends, once it listens on ``port``. Its output is in ``cwd``/log."""
        with (cwd / "log").open("ab") as log:
            process = subprocess.Popen([*self.inside, *command], cwd=cwd, stdout=log, stderr=log)
        self.processes.append(process)
        deadline = time.monotonic() + PATIENCE
        while not self.sockets("listening", port):
            assert process.poll() is None, (cwd / "log").read_text()
            assert time.monotonic() < deadline, (cwd / "log").read_text()
            time.sleep(0.05)
        return process

    def sockets(self, state: str, port: int) -> list[list[str]]:
        """Bytes unread, bytes unsent, … of its TCP sockets on ``port`` that are in ``state``."""
        ask = [
            *self.inside,
            "ss",
            "--tcp",
            "--numeric",
            "--no-header",
            "state",
            state,
            f"( sport = :{port} )",
        ]
        listed = subprocess.run(ask, check=True, capture_output=True, text=True).stdout
        return [line.split() for line in listed.splitlines()]


@pytest.fixture(scope="session")
def new_site() -> Iterator[Callable[[str], Site]]:
    """Put hosts on one switch; all of it is deleted at the end."""
    _permitted()
    prefix = f"mosaic-{os.getpid()}"
    switch, made = f"{prefix}-switch", list[Site]()

    def new(name: str) -> Site:
        number = len(made) + 1
        site = Site(f"{prefix}-{name}", f"10.77.0.{number}", switch, f"port{number}", made)
        ip("netns", "add", site.namespace)
        made.append(site)
        cable = ("type", "veth", "peer", "name", "eth0", "netns", site.namespace)
        ip("-n", switch, "link", "add", site.port, *cable)
        ip("-n", switch, "link", "set", site.port, "master", "bridge", "up")
        ip("-n", site.namespace, "address", "add", f"{site.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", site.namespace, "link", "set", device, "up")
        return site

    ip("netns", "add", switch)
    try:
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        yield new
    finally:
        for site in made:
            for process in site.processes:
                process.kill()
                process.wait(60)
            ip("netns", "delete", site.namespace)
        ip("netns", "delete", switch)


def _permitted() -> None:
    """CI has to show it; elsewhere these tests are left out with the reason."""
    reason = None
    if os.getuid() != 0:
        reason = "needs root, to make network namespaces"
    elif not shutil.which("ip"):
        reason = "needs the command ip: apt-get install iproute2"
    else:
        probe = f"mosaic-{os.getpid()}-probe"
        done = subprocess.run(["ip", "netns", "add", probe], check=False, capture_output=True, text=True)
        if done.returncode:
            reason = f"network namespaces are not permitted here: {done.stderr.strip()}"
        else:
            ip("netns", "delete", probe)
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def tls_proxy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Site, int], Path]:
    """End TLS on port 443 of a host, before one of its ports; return what its certificate is verified by."""

    def start(site: Site, port: int) -> Path:
        folder = tmp_path_factory.mktemp("proxy")
        certificate, key = folder / "certificate", folder / "key"
        _self_signed(site.address, certificate, key)
        script = Path(__file__).with_name("tls_proxy.py")
        command = (sys.executable, script, site.address, str(port), certificate, key)
        site.start(*command, cwd=folder, port=443)
        return certificate

    return start


def _self_signed(address: str, certificate: Path, key: Path) -> None:
    private, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(private, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    certificate.write_bytes(signed.public_bytes(pem))
    key.write_bytes(private.private_bytes(pem, pkcs8, serialization.NoEncryption()))
