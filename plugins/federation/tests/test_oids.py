"""A certificate's two ids are read strictly: anything doubtful is no id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from mosaic_federation.oids import read_claims
from mosaic_federation.settings import DEFAULT_ARC
from mosaic_hookspecs.errors import Forbidden

GRANT_ID, SUBJECT_ID = f"{DEFAULT_ARC}.1", f"{DEFAULT_ARC}.2"
KEY = ec.generate_private_key(ec.SECP256R1())
GOOD = b"0b9f6c1e-2a51-4c0e-9d27-6f1f0a3b8c4d"  # fixed: it is in the names of tests


def utf8(value: bytes) -> bytes:
    return bytes([0x0C, len(value)]) + value


FOR_CLIENTS = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def certificate(
    *names: tuple[str, bytes],
    sans: bool = True,
    purposes: tuple[x509.ObjectIdentifier, ...] = FOR_CLIENTS,
    signs: bool | None = True,
) -> bytes:
    name = x509.Name([])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
        .serial_number(0xABC).not_valid_before(now).not_valid_after(now + timedelta(hours=1))
    )  # fmt: skip
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if signs is not None:
        rest = (False,) * 8
        builder = builder.add_extension(x509.KeyUsage(signs, *rest), critical=True)
    if sans:
        others = [x509.OtherName(x509.ObjectIdentifier(oid), value) for oid, value in names]
        general = [x509.DNSName("other.example"), *others]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


@given(grant=st.uuids(), subject=st.uuids())
def test_both_ids_and_the_serial_are_read(grant: UUID, subject: UUID) -> None:
    claims = read_claims(
        certificate((SUBJECT_ID, utf8(str(subject).encode())), (GRANT_ID, utf8(str(grant).encode()))),
        DEFAULT_ARC,
    )
    assert (claims.grant_id, claims.subject_id, claims.serial) == (grant, subject, "abc")


@pytest.mark.parametrize(
    "value",
    [
        utf8(GOOD.upper() if GOOD.upper() != GOOD else b"A" * 36),
        utf8(b"{" + GOOD + b"}"),
        utf8(GOOD.replace(b"-", b"")),
        utf8(b" " + GOOD[:-1]),
        utf8(GOOD + b"\0"),
        utf8(b""),
        b"\x13\x24" + GOOD,  # PrintableString
        b"\x04\x24" + GOOD,  # OCTET STRING
    ],
)
@pytest.mark.parametrize("oid", [GRANT_ID, SUBJECT_ID])
def test_an_id_in_any_other_spelling_is_refused(oid: str, value: bytes) -> None:
    other = SUBJECT_ID if oid == GRANT_ID else GRANT_ID
    with pytest.raises(Forbidden):
        read_claims(certificate((oid, value), (other, utf8(GOOD))), DEFAULT_ARC)


@pytest.mark.parametrize(
    "names",
    [
        [],
        [(GRANT_ID, utf8(GOOD))],
        [(SUBJECT_ID, utf8(GOOD))],
        [(GRANT_ID, utf8(GOOD)), (GRANT_ID, utf8(GOOD)), (SUBJECT_ID, utf8(GOOD))],
        [(GRANT_ID, utf8(GOOD)), (SUBJECT_ID, utf8(GOOD)), (SUBJECT_ID, utf8(str(uuid4()).encode()))],
        [(GRANT_ID + ".1", utf8(GOOD)), (SUBJECT_ID, utf8(GOOD))],
    ],
)
def test_each_id_must_be_there_exactly_once(names: list[tuple[str, bytes]]) -> None:
    with pytest.raises(Forbidden):
        read_claims(certificate(*names), DEFAULT_ARC)


@given(der=st.binary(max_size=300))
def test_no_bytes_crash_the_reader(der: bytes) -> None:
    with pytest.raises(Forbidden):
        read_claims(der, DEFAULT_ARC)


def test_a_certificate_without_alternative_names_is_refused() -> None:
    with pytest.raises(Forbidden):
        read_claims(certificate(sans=False), DEFAULT_ARC)


def test_ids_below_another_arc_are_none() -> None:
    der = certificate((GRANT_ID, utf8(GOOD)), (SUBJECT_ID, utf8(GOOD)))
    assert str(read_claims(der, DEFAULT_ARC).grant_id) == GOOD.decode()
    for arc in ("1.3.6.1.4.1.9999", "1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.32473.7"):
        with pytest.raises(Forbidden, match="0 times"):
            read_claims(der, arc)


@pytest.mark.parametrize(
    ("purposes", "signs"),
    [
        ((), True),
        ((ExtendedKeyUsageOID.SERVER_AUTH,), True),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), True),
        (FOR_CLIENTS, False),
        (FOR_CLIENTS, None),
    ],
)
def test_what_is_not_said_to_be_for_clients_is_refused(
    purposes: tuple[x509.ObjectIdentifier, ...], signs: bool | None
) -> None:
    ids = ((GRANT_ID, utf8(GOOD)), (SUBJECT_ID, utf8(GOOD)))
    assert read_claims(certificate(*ids), DEFAULT_ARC).serial == "abc"
    with pytest.raises(Forbidden, match="not one for TLS clients"):
        read_claims(certificate(*ids, purposes=purposes, signs=signs), DEFAULT_ARC)
