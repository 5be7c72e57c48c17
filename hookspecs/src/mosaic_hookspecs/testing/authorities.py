"""What every certificate authority has to do. Needs cryptography beside the rest."""

from __future__ import annotations

from base64 import encodebytes
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mosaic_hookspecs.certificates import id_name
from mosaic_hookspecs.errors import Invalid
from mosaic_hookspecs.protocols import CertificateAuthority
from mosaic_hookspecs.types import IssuedCertificate

ARC = "1.3.6.1.4.1.99999"
FAR = datetime.now(UTC) + timedelta(days=3000)

_STRONG: dict[str, Callable[[], Any]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
}
_WEAK: dict[str, Callable[[], Any]] = {
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "p224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed448": ed448.Ed448PrivateKey.generate,
    "dsa2048": lambda: dsa.generate_private_key(2048),
}
_SPOOFED = x509.SubjectAlternativeName(
    [x509.OtherName(x509.ObjectIdentifier(f"{ARC}.1"), b"\x0c\x24" + str(uuid4()).encode())]
)
_ASKED: dict[str, tuple[str, Sequence[x509.ExtensionType]]] = {
    "a subject": ("someone-else", ()),
    "a DNS name": ("", [x509.SubjectAlternativeName([x509.DNSName("bank.example")])]),
    "an address": ("", [x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])]),
    "another grant": ("", [_SPOOFED]),
    "an authority": ("", [x509.BasicConstraints(ca=True, path_length=5)]),
    "other purposes": (
        "",
        [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING])],
    ),
    "an unknown extension": (
        "",
        [x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{ARC}.1"), b"\x05\x00")],
    ),
    "names that cannot be read": (
        "",
        [x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x05\x00")],
    ),
    "names of an odd kind": (  # an ediPartyName
        "",
        [x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes.fromhex("3007a505a1030c0178"))],
    ),
}


def request(key: Any = None, *extensions: x509.ExtensionType, name: str = "") -> bytes:
    """A PEM CSR; without more it asks for nothing."""
    key = key or _STRONG["p256"]()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    unhashed = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(key, None if unhashed else hashes.SHA256()).public_bytes(Encoding.PEM)


def forged_request() -> bytes:
    """A CSR whose signature is not its key's."""
    der = bytearray(x509.load_pem_x509_csr(request(name="forged")).public_bytes(Encoding.DER))
    der[der.index(b"forged")] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


def request_of_version_2() -> bytes:
    """There is none: RFC 2986 knows version 1."""
    der = x509.load_pem_x509_csr(request()).public_bytes(Encoding.DER).replace(b"\2\1\0", b"\2\1\1", 1)
    head, tail = b"-----BEGIN CERTIFICATE REQUEST-----\n", b"-----END CERTIFICATE REQUEST-----\n"
    return head + encodebytes(der) + tail


def leaf_of(issued: IssuedCertificate) -> x509.Certificate:
    """The certificate itself."""
    return x509.load_pem_x509_certificates(issued.chain)[0]


async def issue(
    authority: CertificateAuthority, csr: bytes | None = None, *, not_after: datetime = FAR, **ids: Any
) -> IssuedCertificate:
    """A peer's certificate; of a new grant unless told."""
    wanted: dict[str, Any] = {"grant_id": uuid4(), "subject_id": uuid4(), "oid_arc": ARC} | ids
    return await authority.issue_client(csr or request(), not_after=not_after, **wanted)


class AuthorityContract:
    """Inherit from this and give it a fixture ``authority``."""

    async def test_the_chain_verifies_to_the_root(self, authority: CertificateAuthority) -> None:
        root = x509.load_pem_x509_certificate(await authority.root())
        for issued in (
            await issue(authority),
            await authority.issue_server(request(), names=["work.example"]),
        ):
            chain = x509.load_pem_x509_certificates(issued.chain)
            assert root not in chain
            for lower, upper in zip(chain, [*chain[1:], root], strict=True):
                lower.verify_directly_issued_by(upper)
                assert upper.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            assert issued.serial == f"{chain[0].serial_number:x}"
            assert issued.not_after == chain[0].not_valid_after_utc
            assert chain[0].serial_number.bit_length() > 64

    @pytest.mark.parametrize("arc", [ARC, "1.3.6.1.4.1.32473.7", "2.16.840.1.113730"])
    async def test_the_names_are_the_two_ids_and_nothing_else(
        self, authority: CertificateAuthority, arc: str
    ) -> None:
        grant, subject = uuid4(), uuid4()
        leaf = leaf_of(await issue(authority, grant_id=grant, subject_id=subject, oid_arc=arc))
        assert list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == [
            id_name(f"{arc}.1", grant),
            id_name(f"{arc}.2", subject),
        ]
        assert leaf.subject.rfc4514_string() == f"CN={grant}"

    async def test_it_may_authenticate_a_client_and_nothing_else(
        self, authority: CertificateAuthority
    ) -> None:
        leaf = leaf_of(await issue(authority))
        extension = leaf.extensions.get_extension_for_class
        assert list(extension(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        assert extension(x509.BasicConstraints).value == x509.BasicConstraints(ca=False, path_length=None)
        usage = extension(x509.KeyUsage).value
        assert usage.digital_signature
        assert not usage.key_cert_sign
        assert not usage.crl_sign

    @pytest.mark.parametrize("asked", _ASKED)
    async def test_nothing_of_the_request_but_its_key_is_taken(
        self, authority: CertificateAuthority, asked: str
    ) -> None:
        """To refuse such a request is as good."""
        name, extensions = _ASKED[asked]
        key = _STRONG["p256"]()
        ids: dict[str, Any] = {"grant_id": uuid4(), "subject_id": uuid4()}
        plain = leaf_of(await issue(authority, request(key), **ids))
        try:
            leaf = leaf_of(await issue(authority, request(key, *extensions, name=name), **ids))
        except Invalid:
            return
        assert leaf.public_key() == key.public_key()
        assert leaf.subject == plain.subject
        assert list(leaf.extensions) == list(plain.extensions)

    @pytest.mark.parametrize("kind", _STRONG)
    async def test_a_strong_key_is_signed(self, authority: CertificateAuthority, kind: str) -> None:
        key = _STRONG[kind]()
        assert leaf_of(await issue(authority, request(key))).public_key() == key.public_key()

    @pytest.mark.parametrize("kind", _WEAK)
    async def test_another_key_is_refused(self, authority: CertificateAuthority, kind: str) -> None:
        csr = request(_WEAK[kind]())
        with pytest.raises(Invalid, match="key"):
            await issue(authority, csr)
        with pytest.raises(Invalid, match="key"):
            await authority.issue_server(csr, names=["work.example"])

    @pytest.mark.parametrize(
        "csr",
        [
            b"\x00",
            b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            request() + b" " * 9000,
            forged_request(),
            request_of_version_2(),
        ],
        ids=["no PEM", "garbage", "too long", "forged", "of version 2"],
    )
    async def test_a_request_that_proves_nothing_is_refused(
        self, authority: CertificateAuthority, csr: bytes
    ) -> None:
        with pytest.raises(Invalid):
            await issue(authority, csr)

    async def test_it_ends_when_asked_or_sooner(self, authority: CertificateAuthority) -> None:
        now = datetime.now(UTC)
        soon = now + timedelta(minutes=2)
        issued = await issue(authority, not_after=soon)
        assert soon - timedelta(seconds=5) <= issued.not_after <= soon
        assert leaf_of(issued).not_valid_before_utc <= now
        assert (await issue(authority)).not_after < FAR
        with pytest.raises(Invalid):
            await issue(authority, not_after=now - timedelta(seconds=1))

    async def test_to_revoke_twice_or_an_unknown_one_does_no_harm(
        self, authority: CertificateAuthority
    ) -> None:
        issued, other = await issue(authority), await issue(authority)
        for serial in (issued.serial, issued.serial, f"{uuid4().int:x}"):
            await authority.revoke(serial)
        if (listed := await authority.crl()) is not None:
            revoked = x509.load_der_x509_crl(listed)
            assert revoked.get_revoked_certificate_by_serial_number(int(issued.serial, 16)) is not None
            assert revoked.get_revoked_certificate_by_serial_number(int(other.serial, 16)) is None
            assert revoked.next_update_utc is not None
            assert revoked.next_update_utc > datetime.now(UTC)

    async def test_a_server_certificate_is_for_the_names_given(self, authority: CertificateAuthority) -> None:
        leaf = leaf_of(await authority.issue_server(request(), names=["work.example", "127.0.0.1", "::1"]))
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["work.example"]
        assert {str(each) for each in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1"}
        assert len(list(names)) == 3
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
        assert leaf.not_valid_after_utc > datetime.now(UTC) + timedelta(days=31)

    @pytest.mark.parametrize(
        "names", [[], ["höst"], ["*.example"], ["lead@work.example"], ["https://work.example"], [""]]
    )
    async def test_what_is_no_name_is_refused(
        self, authority: CertificateAuthority, names: Sequence[str]
    ) -> None:
        with pytest.raises(Invalid):
            await authority.issue_server(request(), names=names)
