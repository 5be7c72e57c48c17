"""What this plugin offers."""

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host, PeerPolicy
from mosaic_office_hours.policies import Hours, KnownNetworks
from mosaic_office_hours.settings import Settings


@hookimpl
def mosaic_settings() -> type[Settings]:
    return Settings


@hookimpl
def mosaic_peer_policies(host: Host) -> list[PeerPolicy]:
    settings = host.settings(Settings)
    policies: list[PeerPolicy] = [Hours(settings)]
    return policies if settings.networks is None else [*policies, KnownNetworks(settings.networks)]
