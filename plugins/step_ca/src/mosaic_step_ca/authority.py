"""The certificate authority of the federated tier: a step-ca, spoken to with tokens of our own provisioners."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mosaic_hookspecs.certificates import UNREADABLE, host_name, id_name, key_of
from mosaic_hookspecs.errors import ConfigError, Invalid, Unavailable
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import IssuedCertificate
from mosaic_step_ca.answers import Asked, checked, checked_intermediates, checked_list
from mosaic_step_ca.client import Client, Reply
from mosaic_step_ca.settings import Settings
from mosaic_step_ca.store import load_provisioner, load_root, store_root
from mosaic_step_ca.tokens import Provisioner, Purpose, bound_to

SERVER_LIFE = timedelta(days=90)

_CREATED, _REFUSED = 201, (400, 403)


class StepCA:
    """Implements :class:`mosaic_hookspecs.protocols.CertificateAuthority`. Close it at the end."""

    name = "step_ca"

    def __init__(self, host: Host) -> None:
        self._host = host
        self._settings = host.settings(Settings)
        self._root: bytes | None = None
        self._client: Client | None = None
        self._provisioners: dict[Purpose, Provisioner] = {}

    async def close(self) -> None:
        """Close the connections; they are opened when first needed."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def url(self) -> str:
        """Raises :class:`ConfigError` while it is not configured."""
        return self._pin()[0]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root that is trusted, hex."""
        return self._pin()[1]

    async def root(self) -> bytes:
        """The root with the configured fingerprint, PEM: as kept, else as the authority sends it."""
        if self._root is None:
            self._root = await load_root(self._host.database, self.fingerprint) or await self._fetch_root()
        return self._root

    async def issue_client(
        self, csr: bytes, *, grant_id: UUID, subject_id: UUID, oid_arc: str, not_after: datetime
    ) -> IssuedCertificate:
        """Sign a peer's key, until ``not_after`` or the configured life, whichever is sooner."""
        names = [id_name(f"{oid_arc}.1", grant_id), id_name(f"{oid_arc}.2", subject_id)]
        until = _until(not_after, timedelta(hours=self._settings.client_hours))
        asked = Asked(key_of(csr), names, ExtendedKeyUsageOID.CLIENT_AUTH, until)
        ids = {"grantId": str(grant_id), "subjectUserId": str(subject_id), "oidArc": oid_arc}
        return await self._sign("grants", csr, str(grant_id), ids, asked)

    async def issue_server(self, csr: bytes, *, names: Sequence[str]) -> IssuedCertificate:
        """Sign a listener's key, for 90 days."""
        if not names:
            raise Invalid("a server certificate needs at least one DNS name or IP address")
        until = _until(datetime.now(UTC) + SERVER_LIFE, SERVER_LIFE)
        # step-ca puts DNS names before addresses
        general = sorted(map(host_name, names), key=lambda name: isinstance(name, x509.IPAddress))
        asked = Asked(key_of(csr), general, ExtendedKeyUsageOID.SERVER_AUTH, until)
        return await self._sign("listeners", csr, names[0][:64], {"sans": list(names)}, asked)

    async def revoke(self, serial: str) -> None:
        """Put it on the authority's list. Gateways ask the grant first, at each request."""
        number = str(int(serial, 16))
        body = {"serial": number, "reasonCode": 0, "passive": True}
        reply = await self._post("/1.0/revoke", body, "grants", number, {})
        if reply.status >= 300 and not _is_revoked_already(reply):  # noqa: PLR2004
            raise _declined("revoke a certificate", reply)

    async def crl(self) -> bytes:
        """The list as the authority has it now, its signature checked."""
        listed = (await self.ask("/1.0/crl")).body
        return checked_list(listed, await self.intermediates())

    async def intermediates(self) -> list[x509.Certificate]:
        """The certificates it signs with, each of the pinned root."""
        crts = (await self.ask("/1.0/intermediates")).json().get("crts")
        return checked_intermediates(crts, await self.root())

    async def ask(self, path: str) -> Reply:
        """GET. Raises :class:`Unavailable` unless the answer is a success."""
        return await (await self._connected()).get(path)

    async def _sign(
        self, purpose: Purpose, csr: bytes, subject: str, claims: Mapping[str, Any], asked: Asked
    ) -> IssuedCertificate:
        request = _nameless(csr)
        claims = {
            **claims,
            **bound_to(request.public_bytes(Encoding.DER)),
            "certExp": int(asked.not_after.timestamp()),
        }
        pem = request.public_bytes(Encoding.PEM).decode("ascii")
        reply = await self._post("/1.0/sign", {"csr": pem}, purpose, subject, claims)
        if reply.status != _CREATED:
            raise _declined("sign a certificate", reply)
        chain = reply.json().get("certChain")
        return checked(chain if isinstance(chain, list) else [], await self.root(), asked)

    async def _post(
        self, path: str, body: Mapping[str, Any], purpose: Purpose, subject: str, claims: Mapping[str, Any]
    ) -> Reply:
        """POST with a token of the provisioner as known; from the second attempt on, as it is stored now."""
        known: Provisioner | None = self._provisioners.get(purpose) or await self._load(purpose)

        async def with_token() -> Mapping[str, Any]:
            nonlocal known
            provisioner, known = known or await self._load(purpose), None
            return {**body, "ott": provisioner.token(self.url + path, subject, claims)}

        return await (await self._connected()).post(path, with_token)

    async def _load(self, purpose: Purpose) -> Provisioner:
        self._provisioners[purpose] = found = await load_provisioner(
            self._host.database, self._host.sealer, purpose
        )
        return found

    def _pin(self) -> tuple[str, str]:
        if self._settings.url is None or self._settings.fingerprint is None:
            raise ConfigError(
                "plugins.step_ca: no certificate authority is configured",
                remedy="run `mosaic federation ca init`, and put the url and the fingerprint it prints there",
            )
        return self._settings.url, self._settings.fingerprint

    async def _connected(self) -> Client:
        root = await self.root()
        if self._client is None:
            self._client = Client(self.url, root=root, timeout=self._settings.timeout)
        return self._client

    async def _fetch_root(self) -> bytes:
        async with Client(self.url, root=None, timeout=self._settings.timeout) as client:
            pem = (await client.get(f"/root/{self.fingerprint}")).json().get("ca")
        try:
            root = x509.load_pem_x509_certificate(str(pem).encode("ascii"))
        except UNREADABLE:
            root = None
        if root is None or sha256(root.public_bytes(Encoding.DER)).hexdigest() != self.fingerprint:
            raise Unavailable(
                f"the server at {self.url} sends another root than plugins.step_ca.fingerprint says",
                remedy="compare both with what `mosaic federation ca init` printed; "
                "if they are right, somebody else answers there",
            )
        found = root.public_bytes(Encoding.PEM)
        await store_root(self._host.database, self.fingerprint, found)
        return found


@asynccontextmanager
async def closing_authority(host: Host) -> AsyncIterator[None]:
    """Close at the end what the gateway's authority has opened."""
    yield
    authority = host.authority()
    if isinstance(authority, StepCA):
        await authority.close()


def _until(not_after: datetime, longest: timedelta) -> datetime:
    now = datetime.now(UTC)
    if not_after <= now:
        raise Invalid("a certificate cannot end in the past")
    return min(not_after, now + longest).replace(microsecond=0)


def _nameless(csr: bytes) -> x509.CertificateSigningRequest:
    """The request, if it asks for no names: step-ca compares them with the token's, and then refuses all."""
    request = x509.load_pem_x509_csr(csr)
    try:
        asks = {type(extension.value) for extension in request.extensions}
        asks_for_names = bool(list(request.subject)) or x509.SubjectAlternativeName in asks
    except UNREADABLE:
        asks_for_names = True
    if asks_for_names:
        raise Invalid(
            "the certificate signing request asks for names, or for what cannot be read",
            remedy="leave its subject empty and ask for no alternative names: the grant decides them",
        )
    return request


def _is_revoked_already(reply: Reply) -> bool:
    return reply.status in _REFUSED and "is already revoked" in str(reply.json().get("message", ""))


def _declined(what: str, reply: Reply) -> Unavailable:
    return Unavailable(
        f"the certificate authority refuses to {what} (HTTP {reply.status})",
        remedy="compare its provisioners and their claims with those of `mosaic federation ca init`, "
        "and look into its log",
    )
