from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import PeerNotice


@hookimpl
async def mosaic_peer_enrolled(host: Host, peer: PeerNotice) -> None:
    """Keep a list of who has been here, for the colleagues."""
    await host.database.execute(
        "INSERT INTO visitors (peer, gateway) VALUES ($1, $2) ON CONFLICT DO NOTHING", peer.peer, peer.gateway
    )
