"""Binding a listener's socket."""

from __future__ import annotations

import errno
import socket

from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import Listener

_BACKLOG = 1024  # connections that wait to be accepted; the kernel lowers it to net.core.somaxconn


def bind(listener: Listener) -> socket.socket:
    """Return a listening, non-blocking TCP socket; port 0 lets the system choose. ``::`` takes IPv4 too.

    It listens at once: with SO_REUSEADDR, a port in use may show no earlier.
    Raises :class:`ConfigError` naming the listener and its address.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.create_server(
            (address[0], listener.port),  # getaddrinfo wraps a port that is none
            family=family,
            backlog=_BACKLOG,
            dualstack_ipv6=address[0] == "::" and socket.has_dualstack_ipv6(),
        )
    except (OSError, OverflowError, UnicodeError) as error:
        raise _unusable(listener, error) from error
    # Accepted sockets inherit it; asyncio itself misses sockets made with protocol 0, as these are: 40 ms each time.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.setblocking(False)
    return bound


def _unusable(listener: Listener, error: Exception) -> ConfigError:
    """Say in the reader's words why the address cannot be had."""
    port, host = _keys(listener.name)
    match error:
        case OSError(errno=errno.EADDRINUSE):
            cause, remedy = "the port is in use", f"stop the process that uses it, or set another {port}"
        case OSError(errno=errno.EACCES | errno.EPERM):
            cause, remedy = (
                "permission denied",
                f"set {port} to a port above 1023, or grant the right to bind it",
            )
        case OSError(errno=errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT):
            cause, remedy = "this machine does not have that address", f"set {host} to one that it has"
        case socket.gaierror() | UnicodeError():
            cause, remedy = "the host name has no address", f"set {host} to an address of this machine"
        case OverflowError():
            cause, remedy = "there is no such port", f"set {port} to a port from 0 to 65535"
        case _:
            cause, remedy = str(error), f"set another {port} or {host}"
    where = f"[{listener.host}]" if ":" in listener.host else listener.host
    return ConfigError(
        f"listener {listener.name!r} cannot use {where}:{listener.port}: {cause}", remedy=remedy
    )


def _keys(name: str) -> tuple[str, str]:
    """Name the settings for port and host. Only the public listener's are known here; a plugin names its own."""
    if name == "public":
        return "`listen.public.port`", "`listen.public.host`"
    return f"port for listener {name!r}", f"the host of listener {name!r}"
