"""Revocation, its list, renewal: what step-ca does with a certificate after it was signed."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.testing.authorities import issue, request
from mosaic_hookspecs.types import IssuedCertificate
from mosaic_step_ca.authority import StepCA

if TYPE_CHECKING:
    from conftest import StepCAServer

Post = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]
HostOf = Callable[..., Any]


def revoking(server: StepCAServer, serial: str, **changed: Any) -> dict[str, Any]:
    number = str(int(serial, 16))
    token = server.authority.provisioners[0].token(server.url + "/1.0/revoke", number, {})
    return {"serial": number, "ott": token, "reasonCode": 0, "passive": True} | changed


def openssl_verify(folder: Path, issued: IssuedCertificate, root: bytes, crl: bytes | None = None) -> str:
    """What `openssl verify` says, by its strict rules; with ``crl`` (DER) it checks that too."""
    leaf, *above = x509.load_pem_x509_certificates(issued.chain)
    (folder / "root").write_bytes(root)
    (folder / "leaf").write_bytes(leaf.public_bytes(Encoding.PEM))
    (folder / "above").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in above))
    command = ["openssl", "verify", "-x509_strict", "-CAfile", "root", "-untrusted", "above"]
    if crl is not None:
        (folder / "crl").write_bytes(x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM))
        command += ["-crl_check", "-CRLfile", "crl"]
    done = subprocess.run([*command, "leaf"], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


async def test_openssl_accepts_both_kinds_by_its_strict_rules(authority: StepCA, tmp_path: Path) -> None:
    server = await authority.issue_server(request(), names=["work.example"])
    for issued in (await issue(authority), server):
        assert "leaf: OK" in openssl_verify(tmp_path, issued, await authority.root())


async def test_openssl_finds_the_revoked_one_on_the_list(authority: StepCA, tmp_path: Path) -> None:
    good, bad = await issue(authority), await issue(authority)
    await authority.revoke(bad.serial)
    root, crl = await authority.root(), await authority.crl()
    assert "leaf: OK" in openssl_verify(tmp_path, good, root, crl)
    assert "error 23 " in openssl_verify(tmp_path, bad, root, crl)


async def test_a_leaf_that_names_another_list_is_not_covered(
    new_step_ca: Callable[[], StepCAServer], host_of: HostOf, tmp_path: Path
) -> None:
    """Why the template has the list's own address: its distribution point is critical."""
    server = new_step_ca()
    file = server.home / "config" / "ca.json"
    config = json.loads(file.read_text())
    assert config["crl"]["idpURL"] == f"{server.url}/1.0/crl"
    config["crl"]["idpURL"] = "https://elsewhere.example/crl"
    file.write_text(json.dumps(config))
    host = host_of(**server.settings)
    await server.adopt(host)
    authority = StepCA(host)
    try:
        with server.running():
            issued = await issue(authority)
            said = openssl_verify(tmp_path, issued, await authority.root(), await authority.crl())
    finally:
        await authority.close()
    assert "error 44 " in said


async def test_only_passive_and_only_once(step_ca: StepCAServer, authority: StepCA, post: Post) -> None:
    serial = (await issue(authority)).serial
    assert (await post(step_ca, "/1.0/revoke", revoking(step_ca, serial, passive=False)))[0] == 501
    assert (await post(step_ca, "/1.0/revoke", revoking(step_ca, serial)))[0] == 200
    status, answer = await post(step_ca, "/1.0/revoke", revoking(step_ca, serial))
    assert status == 400
    assert "already revoked" in answer["message"]
    await authority.revoke(serial)


async def test_a_token_to_sign_does_not_revoke_nor_one_for_another_serial(
    step_ca: StepCAServer, authority: StepCA, post: Post
) -> None:
    serial, other = (await issue(authority)).serial, (await issue(authority)).serial
    number = str(int(serial, 16))
    token = step_ca.authority.provisioners[0].token(step_ca.url + "/1.0/sign", number, {})
    assert (await post(step_ca, "/1.0/revoke", revoking(step_ca, serial, ott=token)))[0] == 401
    mixed = revoking(step_ca, serial) | {"serial": str(int(other, 16))}
    assert (await post(step_ca, "/1.0/revoke", mixed))[0] >= 400
    listed = x509.load_der_x509_crl(await authority.crl())
    assert {int(serial, 16), int(other, 16)}.isdisjoint({each.serial_number for each in listed})


@pytest.mark.parametrize("revoked", [False, True])
async def test_no_certificate_is_renewed(
    step_ca: StepCAServer, authority: StepCA, post: Post, tmp_path: Path, revoked: bool
) -> None:
    """A renewal would copy every extension and ask no grant."""
    key = ec.generate_private_key(ec.SECP256R1())
    issued = await issue(authority, request(key))
    if revoked:
        await authority.revoke(issued.serial)
    files = (tmp_path / "chain", tmp_path / "key")
    files[0].write_bytes(issued.chain)
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for path in ("/1.0/renew", "/1.0/rekey"):
        body = {"csr": request().decode()} if path.endswith("rekey") else {}
        status, answer = await post(step_ca, path, body, client=files)
        assert status == 401
        assert "crt" not in answer


async def test_it_hands_out_no_private_key(step_ca: StepCAServer) -> None:
    import httpx

    context = ssl.create_default_context(cadata=step_ca.authority.root.decode())
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=60) as client:
        listed = await client.get(f"{step_ca.url}/1.0/provisioners")
        for each in listed.json()["provisioners"]:
            assert "encryptedKey" not in each
            assert "d" not in each["key"]
            key = await client.get(f"{step_ca.url}/1.0/provisioners/{each['key']['kid']}/encrypted-key")
            assert not key.json().get("key")


async def test_a_list_that_another_authority_signed_is_refused(
    authority: StepCA, new_step_ca: Callable[[], StepCAServer]
) -> None:
    from mosaic_step_ca.answers import checked_intermediates, checked_list

    listed = await authority.crl()
    other = new_step_ca()
    intermediate = (other.home / "certs" / "intermediate_ca.crt").read_text()
    with pytest.raises(Unavailable, match="revocation list is not signed"):
        checked_list(listed, checked_intermediates([intermediate], other.authority.root))
    for wrong in ([intermediate], [], None, ["no PEM"]):
        with pytest.raises(Unavailable, match="intermediate is not signed"):
            checked_intermediates(wrong, await authority.root())
    damaged = bytearray(listed)
    damaged[-1] ^= 1
    for der in (bytes(damaged), b"", b"\x30\x00"):
        with pytest.raises(Unavailable):
            checked_list(der, await authority.intermediates())
