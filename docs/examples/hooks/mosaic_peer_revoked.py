from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import PeerNotice


@hookimpl
async def mosaic_peer_revoked(host: Host, peer: PeerNotice) -> None:
    """Take a peer off the colleagues' list."""
    await host.database.execute("DELETE FROM visitors WHERE peer = $1", peer.peer)
