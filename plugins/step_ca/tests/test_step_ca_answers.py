"""What comes back is checked: an authority that was tampered with gives this gateway nothing."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mosaic_hookspecs.certificates import id_name
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.testing.authorities import ARC, issue, request
from mosaic_step_ca.answers import Asked, checked
from mosaic_step_ca.authority import StepCA

if TYPE_CHECKING:
    from conftest import StepCAServer

HostOf = Callable[..., Any]


@pytest.mark.parametrize(
    ("in_template", "instead", "says"),
    [
        ('"sans": [', '"sans": [{"type": "dns", "value": "bank.example"}, ', "the names differ"),
        (".2", ".3", "the names differ"),
        ('["clientAuth"]', '["clientAuth", "serverAuth"]', "the purposes differ"),
        ('{"isCA": false}', '{"isCA": true, "maxPathLen": 1}', "it may sign certificates"),
        ("formatTime .Token.certExp", "formatTime (addf .Token.certExp 60)", "it ends too late"),
    ],
)
async def test_a_template_that_was_changed_is_noticed(
    new_step_ca: Callable[[], StepCAServer], host_of: HostOf, in_template: str, instead: str, says: str
) -> None:
    server = new_step_ca()
    file = server.home / "config" / "ca.json"
    config = json.loads(file.read_text())
    options = config["authority"]["provisioners"][0]["options"]["x509"]
    assert in_template in options["template"]
    options["template"] = options["template"].replace(in_template, instead)
    file.write_text(json.dumps(config))
    host = host_of(**server.settings)
    await server.adopt(host)
    authority = StepCA(host)
    try:
        with server.running(), pytest.raises(Unavailable, match=f"something else than was asked: {says}"):
            await issue(authority)
    finally:
        await authority.close()


def altered(pem: str, old: str, new: str) -> str:
    der = ssl.PEM_cert_to_DER_cert(pem).replace(bytes.fromhex(old), bytes.fromhex(new), 1)
    return ssl.DER_cert_to_PEM_cert(der)


def of_version_2(pem: str) -> str:
    return altered(pem, "a003020102", "a003020101")


def of_no_known_key(pem: str) -> str:
    return altered(pem, "06072a8648ce3d0201", "06072a8648ce3d027f")


async def test_another_key_or_another_root_is_noticed(
    authority: StepCA, new_step_ca: Callable[[], StepCAServer]
) -> None:
    key, grant, subject = ec.generate_private_key(ec.SECP256R1()), uuid4(), uuid4()
    issued = await issue(authority, request(key), grant_id=grant, subject_id=subject)
    chain = [
        each.public_bytes(Encoding.PEM).decode() for each in x509.load_pem_x509_certificates(issued.chain)
    ]
    asked = Asked(
        key.public_key(),
        [id_name(f"{ARC}.1", grant), id_name(f"{ARC}.2", subject)],
        ExtendedKeyUsageOID.CLIENT_AUTH,
        datetime.now(UTC) + timedelta(days=1),
    )
    root = await authority.root()
    assert checked(chain, root, asked) == issued
    other = new_step_ca()
    intermediate = (other.home / "certs" / "intermediate_ca.crt").read_text()
    for sent, trusted, wanted in (
        (chain, root, replace(asked, key=ec.generate_private_key(ec.SECP256R1()).public_key())),
        (chain, root, replace(asked, names=asked.names[::-1])),
        (chain, other.authority.root, asked),
        ([chain[0], intermediate], root, asked),
        ([chain[0], intermediate], other.authority.root, asked),
        (chain[:1], root, asked),
        ([chain[0], chain[0], chain[1]], root, asked),
        ([*chain, *chain[1:] * 4], root, asked),
        ([], root, asked),
        ([of_version_2(chain[0]), chain[1]], root, asked),
        ([chain[0], of_no_known_key(chain[1])], root, asked),
    ):
        with pytest.raises(Unavailable, match="something else than was asked"):
            checked(sent, trusted, wanted)
