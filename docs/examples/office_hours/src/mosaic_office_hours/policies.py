"""When, and from where. Both deny what they cannot tell."""

from collections.abc import Sequence
from ipaddress import ip_network
from zoneinfo import ZoneInfo

from mosaic_hookspecs.types import PeerRequest, Verdict
from mosaic_office_hours.settings import Network, Settings

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Hours:
    """Peers may ask while somebody is there."""

    name = "office hours"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._zone = ZoneInfo(settings.zone)
        self._told = (
            f"ask between {settings.opens:%H:%M} and {settings.closes:%H:%M} {settings.zone}, "
            f"{', '.join(settings.days)}"
        )

    async def decide(self, request: PeerRequest) -> Verdict:
        """By the clock of the zone, its summer time included."""
        now = request.at.astimezone(self._zone)
        if _DAYS[now.weekday()] in self._settings.days and (
            self._settings.opens <= now.time() < self._settings.closes
        ):
            return Verdict.allow()
        return Verdict.deny("this gateway is closed at this hour", remedy=self._told)


class KnownNetworks:
    """Peers may ask from these networks: those of a partner's office, or of a country."""

    name = "known networks"

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks

    async def decide(self, request: PeerRequest) -> Verdict:
        """The address is IPv4, or the first of an IPv6 network of 64 bits, or not known."""
        try:
            address = ip_network(request.address)[0]
        except ValueError:
            return _ELSEWHERE
        known = any(address in network for network in self._networks)
        return Verdict.allow() if known else _ELSEWHERE


_ELSEWHERE = Verdict.deny("not from this network", remedy="ask from the network that was agreed on")
