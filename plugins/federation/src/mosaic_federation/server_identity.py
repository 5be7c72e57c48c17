"""The certificate of the listener for peers, the same in every worker, signed anew when it nears its end."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from mosaic_federation.keys import key_pem, new_key, signing_request
from mosaic_federation.lifetimes import ends_soon
from mosaic_federation.metrics import LISTENER_CERTIFICATE
from mosaic_federation.revocation_list import revocation_list
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import TLS

_sql = load_queries("mosaic_federation", "queries.sql")


async def listener_tls(host: Host) -> TLS:
    """What the listener needs: its chain and key, the root of peers' certificates, and what that root has revoked.

    Asks the authority only for what was never there, or is over. Raises :class:`Unavailable` if it then cannot.
    """
    row = await _identity(host)
    if row is None or row["not_after"] <= datetime.now(UTC):
        row = await _renewed(host, row)
    ends = row["not_after"].timestamp()
    host.metrics.watch(LISTENER_CERTIFICATE, lambda: ends - time.time())
    return TLS(
        chain=row["chain"],
        key=host.sealer.open(row["sealed_key"], place=_place(_name(host))),
        client_roots=await host.authority().root(),
        client_crl=await revocation_list(host),
        minimum=host.settings(Settings).listen.tls,
    )


async def renew_identity(host: Host) -> None:
    """Have the certificate signed anew in the last third of its life. Raises :class:`Unavailable`."""
    row = await _identity(host)
    if row is not None and is_ending(row["chain"]):
        await _renewed(host, row)


def is_ending(chain: bytes) -> bool:
    """Whether the leaf of a PEM chain is in the last third of its life, or past it."""
    leaf = x509.load_pem_x509_certificates(chain)[0]
    return ends_soon(leaf.not_valid_before_utc, leaf.not_valid_after_utc, datetime.now(UTC))


async def _identity(host: Host) -> Any:
    return await host.database.fetchrow(_sql.server_identity, _name(host))


async def _renewed(host: Host, before: Any) -> Any:
    """Another identity in the place of this one, or of none: whoever of several processes is first signs for all."""
    key, name = new_key(), _name(host)
    issued = await host.authority().issue_server(signing_request(key), names=[name])
    if issued.not_after <= datetime.now(UTC):
        raise ConfigError(
            "the listener's certificate has ended as soon as it was signed", remedy="compare both clocks"
        )
    sealed = host.sealer.seal(key_pem(key), place=_place(name))
    seen = before and before["not_after"]
    await host.database.execute(
        _sql.server_identity_store, name, issued.chain, sealed, issued.not_after, seen
    )
    return await _identity(host)


def _name(host: Host) -> str:
    return host.settings(Settings).url.host or ""


def _place(name: str) -> str:
    return f"federation_server_identity/{name}/key"
