"""The certificate of the listener for peers, the same in every worker, signed anew when it nears its end."""

from __future__ import annotations

from mosaic_federation.keys import key_pem, new_key, signing_request
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import TLS

RENEW_BEFORE = 30  # days

_sql = load_queries("mosaic_federation", "queries.sql")


async def listener_tls(host: Host) -> TLS:
    """What the listener needs: its chain and key, and the root that peers' certificates must come from."""
    name = host.settings(Settings).url.host or ""
    row = await host.database.fetchrow(_sql.server_identity, name, RENEW_BEFORE)
    if row is None:
        await _renew(host, name)
        row = await host.database.fetchrow(_sql.server_identity, name, RENEW_BEFORE)
    if row is None:
        raise ConfigError(
            f"the authority signs server certificates for less than {RENEW_BEFORE} days",
            remedy="let it sign them for longer",
        )
    key = host.sealer.open(row["sealed_key"], place=_place(name))
    return TLS(chain=row["chain"], key=key, client_roots=await host.authority().root())


async def _renew(host: Host, name: str) -> None:
    key = new_key()
    issued = await host.authority().issue_server(signing_request(key), names=[name])
    sealed = host.sealer.seal(key_pem(key), place=_place(name))
    await host.database.execute(
        _sql.server_identity_store, name, issued.chain, sealed, issued.not_after, RENEW_BEFORE
    )


def _place(name: str) -> str:
    return f"federation_server_identity/{name}/key"
