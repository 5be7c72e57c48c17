"""Where Valkey is, and what its refusals mean. The URL is a secret: nothing here shows more than host and port."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hiredis
from redis.asyncio.connection import parse_url

from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.secret_file import read_secret
from mosaic_valkey.settings import Settings

PATIENCE = 5.0  # seconds for anything a server is asked

_FORM = "expected redis://host:port/0, rediss://… for TLS, or unix:///path"
#: Read strictly: of a mistyped URL, redis-py may take a piece of the password for the host, which is shown.
_URL = re.compile(
    r"(?:rediss?://(?:[^/?#@\s]*@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?(?:/\d*)?"
    r"|unix://(?:[^/?#@\s]*@)?/[^?#@\s]+)(?:\?db=\d+)?"
)


@dataclass(frozen=True, slots=True)
class Server:
    """A Valkey server, and the prefix of everything that is ours there."""

    host: str
    port: int
    path: str | None  # of a Unix socket
    database: int
    username: str | None
    password: str | None = field(repr=False)
    tls: bool
    ca_file: Path | None
    prefix: str

    @property
    def place(self) -> str:
        """What may be shown of it."""
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")

    def ssl_context(self) -> ssl.SSLContext | None:
        """None for a server without TLS. Raises :class:`ConfigError` for a CA file that cannot be used."""
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError):
            raise ConfigError(
                f"plugins.valkey.ca_file: {self.ca_file} cannot be read as PEM", remedy="name a PEM file"
            ) from None


def server_of(host: Host) -> Server:
    """The server that the config's ``queue`` names. Raises :class:`ConfigError`."""
    settings, target = host.settings(Settings), host.queue_target
    parts = _parts(target.url)
    password = parts.get("password")
    if target.password_file is not None:
        password = read_secret(target.password_file, where="queue.password_file")
    return Server(
        host=parts.get("host", "localhost"),
        port=parts.get("port", 6379),
        path=parts.get("path"),
        database=parts.get("db", 0),
        username=parts.get("username"),
        password=password,
        tls=(target.url or "").startswith("rediss:"),
        ca_file=settings.ca_file,
        prefix=settings.prefix or f"mosaic:{host.gateway_name}",
    )


def check_url(host: Host) -> None:
    """Raise :class:`ConfigError` for a ``queue.url`` that is none, before anything is started."""
    if host.queue_target.url is not None:
        _parts(host.queue_target.url)


def _parts(url: str | None) -> dict[str, Any]:
    try:
        if not _URL.fullmatch(url or ""):
            raise ValueError
        return dict(parse_url(url or ""))
    except (ValueError, TypeError):
        raise ConfigError(
            f"queue.url: {_FORM}",
            remedy="mend it, in the config or its variable: other characters than letters and digits "
            "percent-encoded in a password, plugins.valkey.ca_file for the authorities of TLS",
        ) from None


def explain(error: BaseException, server: Server) -> Unavailable:
    """What went wrong with ``server``, in words that hold nothing of what was sent to it."""
    detail, remedy = _cause(error, server)
    return Unavailable(f"Valkey at {server.place} {detail}", remedy=remedy)


def _cause(error: BaseException, server: Server) -> tuple[str, str]:
    words = str(error)
    if _REFUSED.search(words):
        error = ConnectionRefusedError()
    if isinstance(error, TimeoutError) and server.tls:  # a server without TLS waits for the rest of a line
        return (
            f"does not answer within {PATIENCE:g} s, or does not speak TLS",
            "if so, write redis:// in queue.url",
        )
    for kind, detail, remedy in FAILURES:
        if isinstance(error, kind):
            return detail, remedy
    for start, detail, remedy in REPLIES:
        if words.startswith(start):
            return detail, remedy
    if isinstance(error, ConnectionError) and not server.tls:
        return "closed the connection", "if it speaks TLS, write rediss:// in queue.url; else read its log"
    return f"failed ({type(error).__name__})", "read its log; `mosaic gateway doctor` says more"


#: What asyncio says of a name with several addresses, and redis-py of any.
_REFUSED = re.compile(rf"\[Errno {errno.ECONNREFUSED}\]|^Error {errno.ECONNREFUSED} ")

#: Failures of the network, the more particular ones first.
FAILURES: tuple[tuple[type[BaseException], str, str], ...] = (
    (socket.gaierror, "cannot be found: its host name is unknown", "check the host in queue.url"),
    (ConnectionRefusedError, "refuses connections: nothing listens there", "start it, or mend queue.url"),
    (FileNotFoundError, "is not there: there is no such socket", "start it, or mend queue.url"),
    (
        ssl.SSLCertVerificationError,
        "shows a certificate that is not trusted, or not for its name",
        "name its authority in plugins.valkey.ca_file, and its certificate's name in queue.url",
    ),
    (ssl.SSLError, "does not speak TLS as asked", "write redis:// in queue.url if it speaks none"),
    (
        hiredis.ProtocolError,
        "does not speak the protocol of Valkey",
        "mend host and port in queue.url; if it speaks TLS, write rediss://",
    ),
    (TimeoutError, f"does not answer within {PATIENCE:g} s", "check the network, its DNS, and the load"),
)

#: Beginnings of error replies.
REPLIES: tuple[tuple[str, str, str], ...] = (
    ("NOAUTH", "wants a password", "set queue.password_file, or the password in queue.url"),
    ("HELLO must be", "wants a password", "set queue.password_file, or the password in queue.url"),
    ("WRONGPASS", "refuses the user or the password", "mend queue.password_file or queue.url"),
    (
        "NOPERM",
        "does not let this user do what is needed",
        "allow it `~<prefix>* &<prefix>* +@all -@dangerous +info`",
    ),
    ("LOADING", "is still loading its data", "wait a moment and try again"),
    ("READONLY", "is a read-only replica", "point queue.url at the primary"),
    ("MASTERDOWN", "is a replica that has lost its primary", "point queue.url at the primary"),
    ("MISCONF", "cannot write to its disk", "read its log and make room"),
    (
        "DENIED",
        "is in protected mode: it lets in its own machine only",
        "give it a password, and a bind address",
    ),
    (
        "ERR max number of clients",
        "has no connection left",
        "raise its maxclients, or lower the number of workers",
    ),
    ("OOM", "is out of memory", "raise its maxmemory"),
    ("unknown command", "is too old", "upgrade to Valkey 7.2 or newer, or to Redis 6.2 or newer"),
    ("ERR unknown command", "is too old", "upgrade to Valkey 7.2 or newer, or to Redis 6.2 or newer"),
)
