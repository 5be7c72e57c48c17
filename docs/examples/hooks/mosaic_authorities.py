from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import CertificateAuthority, Host


class Offline:
    """An authority whose key is in a safe: it says whom to trust, and signs nothing."""

    name = "offline"

    def __init__(self, host: Host) -> None:
        self.root_file = host.data_dir / "root.pem"

    async def root(self) -> bytes:
        return self.root_file.read_bytes()

    async def issue_client(self, csr: bytes, **_: object) -> object:
        raise Unavailable("the authority is offline", remedy="open the safe")

    issue_server = issue_client

    async def revoke(self, serial: str) -> None:
        raise Unavailable("the authority is offline", remedy="open the safe")

    async def crl(self) -> None:
        return None


@hookimpl
def mosaic_authorities(host: Host) -> list[CertificateAuthority]:
    return [Offline(host)]
