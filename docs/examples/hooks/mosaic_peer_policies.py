from datetime import time
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host, PeerPolicy
from mosaic_hookspecs.types import PeerRequest, Verdict


class Settings(BaseModel):
    """When and from where peers may ask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str = "Europe/Oslo"
    opens: time = time(8)
    closes: time = time(17)
    networks: tuple[IPv4Network | IPv6Network, ...] = (
        ip_network("192.0.2.0/24"),
        ip_network("2001:db8::/32"),
    )


class BusinessHours:
    """Peers may ask while somebody is there, on working days."""

    name = "business hours"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.zone = ZoneInfo(settings.zone)

    async def decide(self, request: PeerRequest) -> Verdict:
        now = request.at.astimezone(self.zone)
        if now.weekday() < 5 and self.settings.opens <= now.time() < self.settings.closes:
            return Verdict.allow()
        hours = f"{self.settings.opens:%H:%M} to {self.settings.closes:%H:%M}"
        return Verdict.deny(
            "this gateway is closed", remedy=f"ask on working days from {hours}, {self.zone.key}"
        )


class Networks:
    """Peers may ask from known networks only: those of a country, say, or of a partner's office."""

    name = "known networks"

    def __init__(self, settings: Settings) -> None:
        self.networks = settings.networks

    async def decide(self, request: PeerRequest) -> Verdict:
        try:
            address = ip_address(request.address)
        except ValueError:  # it is not known
            address = None
        if address and any(address in network for network in self.networks):
            return Verdict.allow()
        return Verdict.deny("not from this network", remedy="ask from the network that was agreed on")


@hookimpl
def mosaic_settings() -> type[Settings]:
    return Settings


@hookimpl
def mosaic_peer_policies(host: Host) -> list[PeerPolicy]:
    settings = host.settings(Settings)
    return [BusinessHours(settings), Networks(settings)]
