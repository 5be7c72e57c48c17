"""What both gateways rely on: certificates that say what the authority decided, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mosaic_embedded_ca.authority import EmbeddedCA
from mosaic_embedded_ca.plugin import mosaic_migrations
from mosaic_embedded_ca.settings import Settings
from mosaic_gateway.database import Pool
from mosaic_gateway.sealing import Keyring
from mosaic_hookspecs.errors import ConfigError, Invalid
from mosaic_hookspecs.types import IssuedCertificate, MigrationSet

GRANT = UUID("11111111-2222-4333-8444-555555555555")
SUBJECT = UUID("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
FAR = datetime.now(UTC) + timedelta(days=900)


@pytest.fixture
def migration_sets() -> list[MigrationSet]:
    return list(mosaic_migrations())


def host(pool: Pool | None, tier: str = "local") -> Any:
    return SimpleNamespace(
        tier=SimpleNamespace(name=tier),
        database=pool,
        sealer=Keyring("k1", {"k1": b"s" * 32}),
        settings=lambda model: model(),
    )


@pytest.fixture
def authority(pool: Pool) -> EmbeddedCA:
    return EmbeddedCA(host(pool))


def csr(key: Any = None, *extensions: x509.ExtensionType, name: str = "evil") -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    unhashed = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(key, None if unhashed else hashes.SHA256()).public_bytes(Encoding.PEM)


async def issue(authority: EmbeddedCA, request: bytes, not_after: datetime = FAR) -> IssuedCertificate:
    return await authority.issue_client(request, grant_id=GRANT, subject_id=SUBJECT, not_after=not_after)


def leaf(issued: IssuedCertificate) -> x509.Certificate:
    return x509.load_pem_x509_certificates(issued.chain)[0]


async def test_a_client_certificate_says_grant_and_subject_and_may_only_authenticate_a_client(
    authority: EmbeddedCA,
) -> None:
    issued = await issue(authority, csr())
    certificate = leaf(issued)
    value = {type(extension.value): extension.value for extension in certificate.extensions}
    assert certificate.subject.rfc4514_string() == f"CN={GRANT}"
    names = [(name.type_id.dotted_string, name.value) for name in value[x509.SubjectAlternativeName]]
    assert names == [
        ("1.3.6.1.4.1.99999.1", b"\x0c\x24" + str(GRANT).encode()),
        ("1.3.6.1.4.1.99999.2", b"\x0c\x24" + str(SUBJECT).encode()),
    ]
    assert list(value[x509.ExtendedKeyUsage]) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert value[x509.BasicConstraints] == x509.BasicConstraints(ca=False, path_length=None)
    usage = value[x509.KeyUsage]
    assert usage.digital_signature
    assert not usage.key_cert_sign
    critical = {type(e.value) for e in certificate.extensions if e.critical}
    assert critical == {x509.BasicConstraints, x509.KeyUsage}
    assert issued.serial == f"{certificate.serial_number:x}"
    assert certificate.serial_number.bit_length() > 120
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(await authority.root()))


async def test_openssl_accepts_the_chain_by_its_strict_rules(authority: EmbeddedCA, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    root, leaf_file = tmp_path / "root", tmp_path / "leaf"
    root.write_bytes(await authority.root())
    server = await authority.issue_server(csr(), names=["localhost", "127.0.0.1"])
    for purpose, issued in (("sslclient", await issue(authority, csr())), ("sslserver", server)):
        leaf_file.write_bytes(issued.chain)
        command = [openssl, "verify", "-x509_strict", "-purpose", purpose, "-CAfile", root, leaf_file]
        await asyncio.to_thread(subprocess.run, command, check=True)


async def test_nothing_of_the_request_but_the_key_reaches_the_certificate(authority: EmbeddedCA) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    spoofed = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x0c\x24" + b"9" * 36)
    request = csr(
        key,
        x509.SubjectAlternativeName([x509.DNSName("bank.example"), spoofed]),
        x509.BasicConstraints(ca=True, path_length=5),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]),
    )
    asked, plain = leaf(await issue(authority, request)), leaf(await issue(authority, csr(key)))
    assert asked.public_key() == key.public_key()
    assert asked.subject == plain.subject
    assert list(asked.extensions) == list(plain.extensions)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 3072),
    ],
    ids=["p256", "p384", "ed25519", "rsa3072"],
)
async def test_strong_keys_are_signed(authority: EmbeddedCA, make: Callable[[], Any]) -> None:
    key = make()
    assert leaf(await issue(authority, csr(key))).public_key() == key.public_key()


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP521R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate,
        lambda: dsa.generate_private_key(2048),
    ],
    ids=["rsa2048", "p521", "secp256k1", "ed448", "dsa"],
)
async def test_other_keys_are_refused(authority: EmbeddedCA, make: Callable[[], Any]) -> None:
    with pytest.raises(Invalid, match="kind or size"):
        await issue(authority, csr(make()))


def forged() -> bytes:
    """A request for a key whose owner did not sign it."""
    der = bytearray(x509.load_pem_x509_csr(csr()).public_bytes(Encoding.DER))
    der[der.index(b"evil")] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (b"", "cannot be read|can be read"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "can be read"),
        (csr() + b" " * 9000, "longer than"),
        (forged(), "not signed by its own key"),
    ],
    ids=["empty", "garbage", "too long", "forged"],
)
async def test_a_request_that_proves_nothing_is_refused(
    authority: EmbeddedCA, request_: bytes, why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        await issue(authority, request_)


async def test_a_certificate_ends_when_asked_or_after_a_day(authority: EmbeddedCA) -> None:
    now = datetime.now(UTC)
    assert (await issue(authority, csr())).not_after - now < timedelta(hours=24, seconds=2)
    soon = now + timedelta(minutes=30)
    issued = await issue(authority, csr(), soon)
    assert issued.not_after <= soon
    begins = leaf(issued).not_valid_before_utc
    assert now - timedelta(seconds=65) < begins < now
    with pytest.raises(Invalid, match="past"):
        await issue(authority, csr(), now - timedelta(seconds=1))


async def test_workers_that_start_together_agree_on_one_root(pool: Pool) -> None:
    roots = await asyncio.gather(*(EmbeddedCA(host(pool)).root() for _ in range(8)))
    assert len(set(roots)) == 1
    assert await pool.fetchval("SELECT count(*) FROM embedded_ca_authority") == 1


async def test_the_roots_key_is_sealed_and_bound_to_its_place(pool: Pool, authority: EmbeddedCA) -> None:
    await authority.root()
    sealed = await pool.fetchval("SELECT sealed_key FROM embedded_ca_authority")
    ring = Keyring("k1", {"k1": b"s" * 32})
    assert ring.open(sealed, place="embedded_ca_authority/1/key").startswith(b"\x30")  # DER
    assert b"PRIVATE KEY" not in sealed
    with pytest.raises(ConfigError):
        ring.open(sealed, place="elsewhere")


async def test_issued_and_revoked_serials_are_on_record(pool: Pool, authority: EmbeddedCA) -> None:
    issued = await issue(authority, csr())
    await authority.revoke(issued.serial)
    row = await pool.fetchrow("SELECT * FROM embedded_ca_certificates WHERE serial = $1", issued.serial)
    assert row is not None
    assert (row["grant_id"], row["not_after"]) == (GRANT, issued.not_after)
    first = row["revoked_at"]
    await authority.revoke(issued.serial)
    assert await pool.fetchval("SELECT revoked_at FROM embedded_ca_certificates") == first


async def test_a_server_certificate_is_for_the_names_given(authority: EmbeddedCA) -> None:
    issued = leaf(await authority.issue_server(csr(), names=["work.example", "::1"]))
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["work.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["::1"]
    for bad in ([], ["höst"]):
        with pytest.raises(Invalid):
            await authority.issue_server(csr(), names=bad)


def test_the_federated_tier_is_refused_at_composition() -> None:
    with pytest.raises(ConfigError, match="federated"):
        EmbeddedCA(host(None, tier="federated"))


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="client_hours"):
        Settings(client_hours=0)
