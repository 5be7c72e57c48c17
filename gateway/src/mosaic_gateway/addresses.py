"""No two listeners of one gateway at one address."""

from __future__ import annotations

from collections.abc import Iterable

from mosaic_gateway.bound import invalid
from mosaic_gateway.config import Source
from mosaic_hookspecs.errors import Fault
from mosaic_hookspecs.types import Listener

_KEYS = {"public": "listen.public.port", "metrics": "metrics.bind"}  # by the gateway's own listeners


def refuse_shared(source: Source, offers: Iterable[tuple[str, Listener]]) -> None:
    """Raise :class:`ConfigError` if two listeners, each with its plugin, are to have one host and port, save port 0.

    The second could not be bound, and the error then would be to stop whoever has the port: this gateway.
    """
    taken: dict[tuple[str, int], str] = {}
    faults = []
    for plugin, listener in offers:
        where = _KEYS.get(listener.name, f"plugins.{plugin}")
        address = (listener.host, listener.port)
        if listener.port and address in taken:
            said = f"listener {listener.name!r} has port {listener.port} of {listener.host}"
            faults.append(
                Fault(where, f"{said}, and so has {taken[address]}: set another port for one of them")
            )
        taken.setdefault(address, f"{listener.name!r} ({where})")
    if faults:
        raise invalid(source, faults)
