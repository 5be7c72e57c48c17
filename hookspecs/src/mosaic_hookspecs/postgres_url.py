"""Postgres URLs: the part of libpq's that a gateway needs, read strictly (PostgreSQL manual, 34.1.1.2).

By hand: asyncpg reads them only while it connects, and names the values in its errors. Nothing of a URL is
ever repeated here, since a mistyped one may have its password in any part.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import DatabaseLocation

UNVERIFIED = ("disable", "allow", "prefer")
VERIFIED = ("require", "verify-ca", "verify-full")  # require: encrypted, and verified only with sslrootcert
_FILES = ("sslrootcert", "sslcert", "sslkey")
_PARAMETERS = ("host", "sslmode", *_FILES)
_HOST = re.compile(r"[A-Za-z0-9._:-]+\Z")
_FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full"
_ALPN = ["postgresql"]  # what PostgreSQL 17 answers to


@dataclass(frozen=True, slots=True)
class PostgresURL:
    """A URL in its parts."""

    host: str  # or the directory of a Unix socket
    port: int
    user: str
    database: str
    password: str | None = field(default=None, repr=False)
    sslmode: str | None = None
    sslrootcert: str | None = None  # PEM files
    sslcert: str | None = None
    sslkey: str | None = None

    def location(self, password: str | None = None) -> DatabaseLocation:
        """What to connect to. Raises :class:`ConfigError` for a certificate file that cannot be used."""
        return DatabaseLocation(
            host=self.host,
            port=self.port,
            user=self.user,
            database=self.database,
            password=self.password if password is None else password,
            ssl=self._context() if self.sslmode in VERIFIED else self.sslmode,
        )

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(_ALPN)
        context.check_hostname = self.sslmode == "verify-full"
        if self.sslrootcert:
            _use("sslrootcert", lambda: context.load_verify_locations(cafile=self.sslrootcert))
        elif self.sslmode == "require":
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_default_certs()
        if cert := self.sslcert:
            # A key that wants a passphrase would ask for it on the terminal: an empty one fails instead.
            _use("sslcert or sslkey", lambda: context.load_cert_chain(cert, self.sslkey, password=""))
        return context


def parse_postgres_url(url: str, *, where: str = "storage.url") -> PostgresURL:
    """Read a URL. Raises :class:`ConfigError` that names ``where`` it stood and nothing of the URL itself."""
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _wrong(where, "is not a URL") from None
    _check_query(where, query)
    host = query.get("host") or parts.hostname or ""
    if parts.scheme not in ("postgresql", "postgres"):
        raise _wrong(where, "does not begin with postgresql://")
    if parts.fragment or not parts.username or not parts.path.strip("/") or "/" in parts.path[1:]:
        raise _wrong(where, "must name a user and one database")
    if not (host.startswith("/") if "host" in query else _HOST.match(host)):
        raise _wrong(where, "must name one host, or the directory of a socket as ?host=/absolute/path")
    return PostgresURL(
        host=host,
        port=port,
        user=_decoded(where, parts.username),
        database=_decoded(where, parts.path[1:]),
        password=_decoded(where, parts.password) if parts.password else None,
        **_tls(where, query),
    )


def _decoded(where: str, part: str) -> str:
    try:
        text = unquote(part, errors="strict")
        text.encode()  # a variable of the environment may hold what is no text
    except UnicodeError:
        raise _wrong(where, "is not UTF-8 once it is decoded") from None
    if "\0" in text:  # would end it, and the rest be taken for another parameter of the session
        raise _wrong(where, "holds the character U+0000")
    return text


def _check_query(where: str, query: dict[str, str]) -> None:
    for name in query:
        if name not in _PARAMETERS:
            close = get_close_matches(name, _PARAMETERS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(_PARAMETERS)}"
            raise _wrong(where, f"has an unknown parameter; {hint}")


def _tls(where: str, query: dict[str, str]) -> dict[str, Any]:
    mode = query.get("sslmode")
    if mode is not None and mode not in UNVERIFIED + VERIFIED:
        raise _wrong(where, f"sslmode is none of {', '.join(UNVERIFIED + VERIFIED)}")
    files = {name: query[name] for name in _FILES if name in query}
    if files and mode not in VERIFIED:
        raise _wrong(where, f"{', '.join(files)} need sslmode {' or '.join(VERIFIED)}")
    if ("sslcert" in files) != ("sslkey" in files):
        raise _wrong(where, "sslcert and sslkey are needed together")
    for name, value in files.items():
        if not Path(value).is_absolute():
            raise _wrong(where, f"{name} must be an absolute path")
    return {"sslmode": mode, **files}


def _wrong(where: str, why: str) -> ConfigError:
    return ConfigError(
        f"{where}: {why}",
        remedy=f"write it like {_FORM}, other characters than letters and digits percent-encoded",
    )


def _use(parameter: str, load: Any) -> None:
    try:
        load()
    except OSError as error:  # ssl.SSLError is one
        reason = "is not PEM, or does not fit" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(
            f"storage.url: the file of {parameter} cannot be used: {reason}",
            remedy="name PEM files that this user can read",
        ) from None
