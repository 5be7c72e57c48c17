"""An operator's Postgres is reached as its URL says, verified as its URL says, with the password of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from mosaic_gateway.database import connect
from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.types import StorageTarget
from mosaic_postgres.storage import PostgresStorage

if TYPE_CHECKING:
    from conftest import TcpPostgres


async def asked(target: StorageTarget, query: str) -> object:
    """Connect as the gateway does, ask, and close."""
    async with PostgresStorage(target).open(serving=True) as location:
        connection = await connect(location)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()


TLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


async def test_a_password_in_the_url_is_percent_decoded(server_postgres: TcpPostgres) -> None:
    database = await server_postgres.new_database()
    target = StorageTarget("postgres", server_postgres.url(database))
    assert await asked(target, "SELECT current_database() || ' ' || current_user") == f"{database} mosaic"


async def test_a_password_file_holds_it_as_it_is(server_postgres: TcpPostgres, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("p@ss:w/rd #1%\n")
    url = server_postgres.url("postgres", password="")
    assert await asked(StorageTarget("postgres", url, password_file=file), "SELECT 1") == 1


@pytest.mark.parametrize(
    ("sslmode", "encrypted"),
    [("disable", False), ("allow", False), ("prefer", True), ("require", True)],
)
async def test_sslmode_decides_whether_tls_is_used(
    server_postgres: TcpPostgres, sslmode: str, encrypted: bool
) -> None:
    target = StorageTarget("postgres", server_postgres.url("postgres", sslmode=sslmode))
    assert await asked(target, TLS) is encrypted


async def test_verify_full_accepts_the_right_root_only(server_postgres: TcpPostgres) -> None:
    root = str(server_postgres.certificate)
    verified = server_postgres.url("postgres", sslmode="verify-full", sslrootcert=root)
    assert await asked(StorageTarget("postgres", verified), TLS) is True
    with pytest.raises(Unavailable, match="certificate"):  # not signed by anyone this system trusts
        await asked(
            StorageTarget("postgres", server_postgres.url("postgres", sslmode="verify-full")), "SELECT 1"
        )


async def test_a_role_that_must_use_tls_is_refused_without_it(server_postgres: TcpPostgres) -> None:
    plain = server_postgres.url("postgres", user="tls_only", sslmode="disable")
    with pytest.raises(Unavailable, match="only over TLS"):
        await asked(StorageTarget("postgres", plain), "SELECT 1")
    required = server_postgres.url("postgres", user="tls_only", sslmode="require")
    assert await asked(StorageTarget("postgres", required), TLS) is True


async def test_a_client_certificate_lets_its_role_in(server_postgres: TcpPostgres, tmp_path: Path) -> None:
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    sign_client(server_postgres.home, "by_cert", certificate, key)
    files = {"sslrootcert": str(server_postgres.certificate), "sslcert": str(certificate), "sslkey": str(key)}
    url = server_postgres.url("postgres", user="by_cert", password="", sslmode="verify-full", **files)
    assert await asked(StorageTarget("postgres", url), "SELECT current_user::text") == "by_cert"


def sign_client(server: Path, name: str, certificate: Path, key: Path) -> None:
    """Make a client's certificate, signed by the server's own, which is an authority."""
    issuer = x509.load_pem_x509_certificate((server / "server.crt").read_bytes())
    signing = load_pem_private_key((server / "server.key").read_bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateBuilder(issuer.subject, subject, private.public_key(), x509.random_serial_number())
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .sign(signing, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


async def test_a_unix_socket_is_named_by_its_directory(server_postgres: TcpPostgres) -> None:
    url = f"postgresql://postgres@:{server_postgres.port}/postgres?host={server_postgres.home}"
    assert await asked(StorageTarget("postgres", url), "SELECT inet_server_addr() IS NULL") is True


def test_no_url_two_passwords_and_a_bad_url_are_refused_while_composing(tmp_path: Path) -> None:
    both = StorageTarget("postgres", "postgresql://u:p@h/d", password_file=tmp_path / "x")
    for target in (StorageTarget("postgres"), both, StorageTarget("postgres", "mysql://u@h/d")):
        with pytest.raises(ConfigError, match="storage"):
            PostgresStorage(target)


def test_another_storage_may_be_in_use(tmp_path: Path) -> None:
    assert PostgresStorage(StorageTarget("embedded")).name == "postgres"


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "No such file"), ("", "one line"), ("a\nb\n", "one line")]
)
async def test_a_password_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: str | None, expected: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    storage = PostgresStorage(StorageTarget("postgres", "postgresql://u@h/d", password_file=file))
    with pytest.raises(ConfigError, match=expected):
        async with storage.open(serving=True):
            pass


async def test_certificate_files_that_cannot_be_used_are_told_by_parameter(tmp_path: Path) -> None:
    broken = tmp_path / "root.pem"
    broken.write_text("not a certificate")
    for file in (broken, tmp_path / "absent.pem"):
        url = f"postgresql://u@h/d?sslmode=verify-ca&sslrootcert={file}"
        with pytest.raises(ConfigError, match="sslrootcert"):
            async with PostgresStorage(StorageTarget("postgres", url)).open(serving=True):
                pass
