"""The host's own part of the config. Each plugin brings the model of its own table."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    StringConstraints,
)

from mosaic_hookspecs.models import Model

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Port = Annotated[int, Field(ge=0, le=65535)]


def _usable(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("no path can hold the character U+0000")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("~ names a user that this system does not know") from None


Location = Annotated[Path, AfterValidator(_usable)]


def _not_everyone(network: IPvAnyNetwork) -> IPvAnyNetwork:
    if network.prefixlen == 0:
        raise ValueError("everyone's address would be whatever they claim: name your proxies' networks")
    return network


Proxies = Annotated[IPvAnyNetwork, AfterValidator(_not_everyone)]


class PublicListener(Model):
    """The listener for users, scripts and enrolling peers. Put a TLS-terminating proxy before it."""

    host: str = "127.0.0.1"
    """Address to bind."""
    port: Port = 8080
    """TCP port to bind; 0 picks a free one."""
    trusted_proxies: tuple[Proxies, ...] = ()
    """Networks of your reverse proxies, such as `127.0.0.1` or `10.0.0.0/8`: what these say in X-Forwarded-For is
    believed, so that limits count clients and not the proxy."""


class Listen(Model):
    """Sockets of the host itself; plugins bring their own."""

    public: PublicListener = PublicListener()


class Limits(Model):
    """Bounds on what one client may ask for."""

    body_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    """Largest request body, bytes."""
    connections: Annotated[int, Field(ge=1)] = 1000
    """Most open connections per listener and worker."""
    requests: Annotated[int, Field(ge=1)] = 512
    """Most requests under way per listener and worker; more are answered 503 with Retry-After."""
    unsent_bytes: Annotated[int, Field(ge=1024 * 1024)] = 256 * 1024 * 1024
    """Most bytes, per worker, of answers that clients have not read yet, a quarter of them of one peer's certificate;
    further requests are answered 503 with Retry-After."""
    lag_seconds: Annotated[float, Field(gt=0)] = 1.0
    """How late a worker may come to its work before further requests are answered 503, seconds."""
    source_seconds: Annotated[float, Field(gt=0, le=10)] = 2.0
    """How long a request with `sources=` waits for all of them, unless it says `timeout=`, seconds."""
    drain_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long running requests may take after SIGTERM, seconds."""


class Serving(Model):
    """How requests are served."""

    fast: bool = True
    """Whether HTTP/1.1 is parsed by llhttp and the most frequent requests of peers are answered ahead of the framework.
    Nothing but the speed depends on it: turn it off to tell whether a fault is there or elsewhere."""


_LAST_PORT = 65535
_BOUND = re.compile(r"(\d[\d.]+|\[[0-9a-f:]+\]):([1-9]\d{0,4})")


def _nearby(text: str) -> str:
    found = _BOUND.fullmatch(text)
    if not found or int(found[2]) > _LAST_PORT:
        raise ValueError("expected an address and a port, such as 127.0.0.1:9464 or [::1]:9464")
    address = ip_address(found[1].strip("[]"))
    if address.is_unspecified or not address.is_private:
        raise ValueError("figures are for this machine or a private network: name one address of those")
    return text


class Metrics(Model):
    """Figures for Prometheus, at `/metrics` on an address of its own, without a token: let nobody else reach it."""

    bind: Annotated[str, AfterValidator(_nearby)] | None = None
    """Address and port, such as `127.0.0.1:9464`: of this machine, or of a private network; default: no figures."""

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port."""
        host, _, port = (self.bind or "").rpartition(":")
        return (host.strip("[]"), int(port)) if self.bind else None


class Storage(Model):
    """Where Postgres is. What is not set comes from the tier."""

    type: str | None = None
    """Name of the storage, such as `embedded` or `postgres`; default: the tier's."""
    url: SecretStr | None = None
    """As in `postgresql://user@host:5432/database?sslmode=verify-full`; default: the tier's."""
    password_file: Location | None = None
    """File that holds the password, relative to the config file."""
    enable_vector: bool | None = None
    """Whether to create the extension pgvector in the database; default: the tier's."""
    pool: Annotated[int, Field(ge=1, le=500)] = 10
    """Most connections to Postgres, per process."""


class Queue(Model):
    """Where the queue is. What is not set comes from the tier."""

    type: str | None = None
    """Name of the queue, such as `postgres` or `bullmq`; default: the tier's."""
    url: SecretStr | None = None
    """As in `redis://host:6379/0`, or `rediss://` for TLS; default: the tier's."""
    password_file: Location | None = None
    """File that holds the password, relative to the config file."""


Language = Literal[
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german", "greek",
    "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese",
    "romanian", "russian", "serbian", "simple", "spanish", "swedish", "tamil", "turkish", "yiddish",
]  # fmt: skip  # what every Postgres from 15 on has


class Search(Model):
    """How text is searched unless a request says otherwise."""

    language: Language = "english"
    """Language of the rows and of the words looked for: which endings and stop words do not count; `simple`: all do.
    For another than `english`, `mosaic index language` makes a search as quick."""


class Config(Model):
    """The whole configuration of a gateway."""

    tier: str
    """Which tier to run: `local`, `standalone` or `federated`."""
    name: Name
    """What peers see this gateway called."""
    data_dir: Location
    """Where keys and the embedded database live; relative to the config file."""
    public_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/?#]+(/[^?#]*[^/?#])?$")] | None = None
    """How users and peers reach the public listener, without a trailing slash; default: its address."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Worker processes."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What `gateway start` logs on standard error."""
    storage: Storage = Storage()
    queue: Queue = Queue()
    search: Search = Search()
    listen: Listen = Listen()
    limits: Limits = Limits()
    serving: Serving = Serving()
    metrics: Metrics = Metrics()
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """One table for each plugin to load, in this order; the tier's own plugins are loaded first."""


class NoSettings(Model):
    """The table of a plugin without settings: empty."""
