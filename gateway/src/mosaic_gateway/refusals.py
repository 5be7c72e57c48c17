"""Why Postgres cannot be used, as a sentence and a remedy: one table, and what turns an error into its row.

docs/how-to/troubleshooting.md is written from the table. Nothing that a server says is repeated: only
what the config itself names stands in a message.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import asyncpg

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import DatabaseLocation, Finding

Status = Literal["yellow", "red"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way in which Postgres fails us. Both texts are templates over the fields of a location."""

    detail: str
    remedy: str

    def finding(self, location: DatabaseLocation, *, status: Status = "red", **values: object) -> Finding:
        """The refusal as a finding, and nothing secret in it."""
        return Finding(status, *self._fill(location, values))

    def error(self, location: DatabaseLocation, **values: object) -> Unavailable:
        """The refusal as an error."""
        detail, remedy = self._fill(location, values)
        return Unavailable(detail, remedy=remedy)

    def _fill(self, location: DatabaseLocation, values: dict[str, object]) -> tuple[str, str]:
        fields = {
            "address": _address(location),
            "host": location.host,
            "port": location.port,
            "user": location.user,
            "database": location.database,
        }
        sql = {"user": _identifier(location.user), "database": _identifier(location.database)}
        return self.detail.format(**fields, **values), self.remedy.format(**fields | sql, **values)


_URL = "storage.url"
_HBA = "add a line for this role, database and address to the server's pg_hba.conf and reload it"

REFUSALS = {
    "host-unknown": Refusal(
        "the host name {host!r} is not known", f"check the spelling in {_URL}, and this machine's DNS"
    ),
    "refused": Refusal(
        "nothing accepts connections at {address}",
        f"start Postgres there, or mend host and port in {_URL}; from elsewhere it must listen on more than localhost",
    ),
    "unreachable": Refusal(
        "there is no way to {address} from this machine", "check the network, its routes and its firewalls"
    ),
    "timed-out": Refusal(
        "{address} did not answer in time",
        f"check host and port in {_URL}, this machine's DNS, and the firewall between; a server that hangs must be "
        "restarted",
    ),
    "socket-missing": Refusal(
        "there is no Postgres socket in {host}",
        f"start Postgres, or name the directory of its socket (unix_socket_directories) in {_URL}",
    ),
    "socket-closed": Refusal(
        "this user may not open the Postgres socket in {host}",
        "run the gateway as a user who may, or connect over TCP",
    ),
    "not-postgres": Refusal(
        "what answers at {address} does not speak the protocol of Postgres", f"mend the port in {_URL}"
    ),
    "pooler": Refusal(
        "what answers at {address} is a connection pooler, and refuses the settings of a session",
        f"name Postgres itself in {_URL}: the gateway has a pool of its own",
    ),
    "tls-required": Refusal(
        "the server lets role {user!r} into database {database!r} from here only over TLS, or not at all",
        f"set sslmode=verify-full (or require) in {_URL}; if that is refused too, {_HBA}",
    ),
    "tls-refused": Refusal(
        "{address} offers no TLS, and the config demands it",
        f"switch ssl on in the server's postgresql.conf, or, on a network you trust, set sslmode=disable in {_URL}",
    ),
    "tls-optional": Refusal(
        "the connection to {address} has TLS only if the server, or whoever stands between, wants it",
        f"set sslmode=verify-full in {_URL}, or, on a network you trust, sslmode=disable",
    ),
    "tls-failed": Refusal(
        "the TLS handshake with {address} failed",
        "compare the TLS versions of both sides, and the client certificate if there is one",
    ),
    "certificate-untrusted": Refusal(
        "the certificate of {address} is not signed by an authority that is trusted here",
        f"name the authority's certificate as sslrootcert=/path/root.pem in {_URL}",
    ),
    "certificate-expired": Refusal(
        "the certificate of {address} has expired or is not valid yet",
        "renew it on the server; if it is fresh, check the clocks of both machines",
    ),
    "certificate-name": Refusal(
        "the certificate of {address} is for another name than {host!r}",
        f"use the name in the certificate as host in {_URL}, or sign one for this name",
    ),
    "certificate-wanted": Refusal(
        "the server wants a client certificate of role {user!r}",
        f"name one with sslcert=/path/client.pem and sslkey=/path/client.key in {_URL}",
    ),
    "not-allowed": Refusal(
        "the server lets role {user!r} not into database {database!r} from here (pg_hba.conf)",
        f"{_HBA}; if its lines say hostnossl, set sslmode=disable in {_URL}",
    ),
    "wrong-password": Refusal(
        "the server does not accept the password of role {user!r}",
        f"mend the password in {_URL} or in the file of storage.password_file; a server with passwords says the "
        "same of a role that does not exist: look with \\du in psql",
    ),
    "role-unknown": Refusal(
        "the role {user!r} does not exist, or may not log in",
        "as a superuser: CREATE ROLE {user} LOGIN PASSWORD …, or ALTER ROLE {user} LOGIN",
    ),
    "authentication": Refusal(
        "the server does not accept who {user!r} is (peer, ident, GSSAPI, LDAP …)",
        "look into the server's log and its pg_hba.conf; scram-sha-256 and a password always work",
    ),
    "database-missing": Refusal(
        "the database {database!r} does not exist",
        "as a superuser: CREATE DATABASE {database} OWNER {user}",
    ),
    "database-closed": Refusal(
        "role {user!r} may not connect to database {database!r}",
        "as a superuser: GRANT CONNECT ON DATABASE {database} TO {user}",
    ),
    "too-many-connections": Refusal(
        "the server has no connection left for role {user!r}",
        "raise max_connections, or the CONNECTION LIMIT of the role or database, or lower storage.pool and workers",
    ),
    "starting": Refusal(
        "the server at {address} is starting, stopping or recovering", "wait a moment and start again"
    ),
    "closed": Refusal(
        "the server at {address} closed the connection",
        f"look into the server's log: it may be restarting; if it knows nothing of it, mend the port in {_URL}",
    ),
    "other": Refusal("the server at {address} refused the connection", "look into the server's log"),
    "too-old": Refusal(
        "PostgreSQL {version} is too old: the gateway's SQL needs {oldest} or newer",
        "upgrade the server, or use another one",
    ),
    "replica": Refusal("{address} is a read-only replica", f"name the primary in {_URL}"),
    "read-only": Refusal(
        "the database {database!r} is read-only for role {user!r}",
        "as a superuser: ALTER DATABASE {database} RESET default_transaction_read_only, and the same for the role",
    ),
    "clock-skew": Refusal(
        "this machine's clock and that of the database differ by {skew:.0f} s",
        "keep both machines' clocks by NTP (timedatectl set-ntp true)",
    ),
    "vector-not-installed": Refusal(
        "the server has no pgvector",
        "install it on the server (Debian: apt install postgresql-{major}-pgvector), or set "
        "storage.enable_vector to false",
    ),
    "vector-not-permitted": Refusal(
        "the extension vector is not in database {database!r}, and role {user!r} may not create it",
        "as a superuser, in this database: CREATE EXTENSION vector",
    ),
    "vector-too-old": Refusal(
        "pgvector {version} is too old: searches need {oldest} or newer",
        "install a newer pgvector on the server, then as its owner, in this database: ALTER EXTENSION vector UPDATE",
    ),
    "no-schema-public": Refusal(
        "there is no schema public in database {database!r}, where the extension vector belongs",
        "as its owner, in this database: CREATE SCHEMA public",
    ),
    "vector-hidden": Refusal(
        "the extension vector is in a schema that the gateway does not look into",
        "as its owner, in this database: ALTER EXTENSION vector SET SCHEMA public",
    ),
}

_BY_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.ENOENT: "socket-missing",
    errno.EACCES: "socket-closed",
    errno.EPERM: "socket-closed",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ETIMEDOUT: "timed-out",
    errno.ECONNRESET: "closed",
    errno.EPIPE: "closed",
}

#: Class of asyncpg's error → refusal; the first that fits.
_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "host-unknown"),
    (TimeoutError, "timed-out"),
    (asyncpg.InvalidPasswordError, "wrong-password"),
    (asyncpg.InvalidCatalogNameError, "database-missing"),
    (asyncpg.InsufficientPrivilegeError, "database-closed"),
    (asyncpg.ObjectNotInPrerequisiteStateError, "database-closed"),
    (asyncpg.TooManyConnectionsError, "too-many-connections"),
    (asyncpg.CannotConnectNowError, "starting"),
    (asyncpg.AdminShutdownError, "starting"),
    (asyncpg.ProtocolViolationError, "not-postgres"),
    (asyncpg.PostgresConnectionError, "closed"),
    (asyncpg.InternalClientError, "not-postgres"),
)

#: Words in a refusal to authenticate (SQLSTATE 28000): the server's own, which lc_messages does not
#: translate before the role is known … and if it does, "other" is still true.
_BY_WORDS = (
    ("no encryption", "tls-required"),
    ("client certificate", "certificate-wanted"),
    ("pg_hba.conf", "not-allowed"),
    ("does not exist", "role-unknown"),
    ("not permitted to log in", "role-unknown"),
    ("authentication failed", "authentication"),
)

_EXPIRED = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_OTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


@contextmanager
def explained(location: DatabaseLocation) -> Iterator[None]:
    """Turn what connecting to ``location`` raises into :class:`Unavailable` that says what to do."""
    try:
        yield
    except Exception as error:  # a server that makes no sense makes asyncpg raise almost anything
        raise REFUSALS[why(error, location)].error(location) from error


def why(error: Exception, location: DatabaseLocation) -> str:
    """The key in :data:`REFUSALS` of an error that connecting to ``location`` raised."""
    if isinstance(error, ssl.SSLError):
        return _why_tls(error)
    words = str(error)
    if "startup parameter" in words:  # PgBouncer's words
        return "pooler"
    for kind, name in _BY_CLASS:
        if isinstance(error, kind):
            return name
    if isinstance(error, OSError):
        return _why_os(error, location)
    if not isinstance(error, asyncpg.PostgresError):
        return "not-postgres"
    return next((name for part, name in _BY_WORDS if part in words), "other")


def _why_tls(error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return "tls-failed"
    if error.verify_code in _EXPIRED:
        return "certificate-expired"
    return "certificate-name" if error.verify_code in _OTHER_NAME else "certificate-untrusted"


def _why_os(error: OSError, location: DatabaseLocation) -> str:
    if "rejected SSL upgrade" in str(error):  # asyncpg's ConnectionError; a mere "no" suits sslmode=prefer
        return "tls-refused" if isinstance(location.ssl, ssl.SSLContext) else "not-postgres"
    # A name with several addresses: asyncio joins their errors to one without a number of its own.
    numbers = {error.errno} if error.errno else {int(n) for n in re.findall(r"\[Errno (\d+)\]", str(error))}
    return next((_BY_ERRNO[n] for n in numbers if n in _BY_ERRNO), "closed")


def _identifier(name: str) -> str:
    return name if re.fullmatch("[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def _address(location: DatabaseLocation) -> str:
    if location.host.startswith("/"):
        return f"the socket in {location.host}"
    host = f"[{location.host}]" if ":" in location.host else location.host
    return f"{host}:{location.port}"
