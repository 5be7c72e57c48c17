"""The certificate authority: its root in the database, its key sealed, its issued serials on record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from mosaic_embedded_ca.certificates import Root, make_client, make_root, make_server
from mosaic_embedded_ca.settings import Settings
from mosaic_hookspecs.certificates import key_of
from mosaic_hookspecs.errors import ConfigError, Invalid
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import IssuedCertificate

_PLACE = "embedded_ca_authority/1/key"
_SERVER_LIFE = timedelta(days=90)

_sql = load_queries("mosaic_embedded_ca", "queries.sql")


class EmbeddedCA:
    """Implements :class:`mosaic_hookspecs.protocols.CertificateAuthority`, in this process.

    Whoever has the gateway has its authority: good for a demo, development and tests, and refused elsewhere.
    """

    name = "embedded_ca"

    def __init__(self, host: Host) -> None:
        if host.tier.name == "federated":
            raise ConfigError(
                "plugins.embedded_ca: an authority inside the gateway is not for the tier 'federated'",
                remedy="run a certificate authority of its own and configure it in place of embedded_ca",
            )
        self._host = host
        self._settings = host.settings(Settings)
        self._loaded: Root | None = None

    async def root(self) -> bytes:
        """The root certificate, PEM. Made on first use."""
        return (await self._root()).certificate.public_bytes(Encoding.PEM)

    async def issue_client(
        self, csr: bytes, *, grant_id: UUID, subject_id: UUID, oid_arc: str, not_after: datetime
    ) -> IssuedCertificate:
        """Sign a peer's key, until ``not_after`` or the configured life, whichever is sooner."""
        key = key_of(csr)
        now = datetime.now(UTC)
        if not_after <= now:
            raise Invalid("a certificate cannot end in the past")
        until = min(not_after, now + timedelta(hours=self._settings.client_hours))
        root = await self._root()
        certificate = make_client(
            root, key, grant_id=grant_id, subject_id=subject_id, oid_arc=oid_arc, not_after=until
        )
        return await self._issued(certificate, grant_id)

    async def issue_server(self, csr: bytes, *, names: Sequence[str]) -> IssuedCertificate:
        """Sign a listener's key, for 90 days."""
        key = key_of(csr)
        until = datetime.now(UTC) + _SERVER_LIFE
        return await self._issued(make_server(await self._root(), key, names=names, not_after=until), None)

    async def revoke(self, serial: str) -> None:
        """Put it on record. Gateways ask the grant, not this record, at each request."""
        await self._host.database.execute(_sql.revoke, serial)

    async def crl(self) -> bytes | None:
        """None: it keeps no list that others could read."""
        return None

    async def _issued(self, certificate: x509.Certificate, grant_id: UUID | None) -> IssuedCertificate:
        serial = f"{certificate.serial_number:x}"
        not_after = certificate.not_valid_after_utc
        await self._host.database.execute(_sql.issued, serial, grant_id, not_after)
        return IssuedCertificate(certificate.public_bytes(Encoding.PEM), serial, not_after)

    async def _root(self) -> Root:
        if self._loaded is None:
            self._loaded = await self._load() or await self._found()
        return self._loaded

    async def _load(self) -> Root | None:
        row = await self._host.database.fetchrow(_sql.authority)
        if row is None:
            return None
        key = load_der_private_key(self._host.sealer.open(row["sealed_key"], place=_PLACE), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError("embedded_ca_authority: the stored key is not of P-256")
        return Root(x509.load_pem_x509_certificate(row["certificate"]), key)

    async def _found(self) -> Root:
        made = make_root(self._settings.organisation, self._settings.root_years)
        key = made.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        sealed = self._host.sealer.seal(key, place=_PLACE)
        certificate = made.certificate.public_bytes(Encoding.PEM)
        await self._host.database.execute(_sql.found, certificate, sealed)
        return await self._load() or made  # another worker's root, if it was first
