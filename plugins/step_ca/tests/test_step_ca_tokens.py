"""What a token may not do, tried on a running step-ca past our own client."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt

from mosaic_hookspecs.certificates import id_name
from mosaic_hookspecs.testing.authorities import ARC, request
from mosaic_step_ca.tokens import Provisioner, bound_to, new_provisioner

if TYPE_CHECKING:
    from conftest import StepCAServer

Post = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]
UUID = "11111111-2222-4333-8444-555555555555"
OTHER = "99999999-2222-4333-8444-555555555555"


def grants(server: StepCAServer) -> Provisioner:
    return server.authority.provisioners[0]


def claims_for(csr: bytes, **changed: Any) -> dict[str, Any]:
    """What a gateway would claim, with changes; None leaves a claim out."""
    claims = {
        "grantId": str(uuid4()),
        "subjectUserId": str(uuid4()),
        "oidArc": ARC,
        "certExp": int(time.time()) + 3600,
        **bound_to(x509.load_pem_x509_csr(csr).public_bytes(Encoding.DER)),
    } | changed
    return {name: value for name, value in claims.items() if value is not None}


def signing(server: StepCAServer, csr: bytes, **changed: Any) -> dict[str, Any]:
    """The body of a request to sign."""
    claims = claims_for(csr, **changed)
    token = grants(server).token(server.url + "/1.0/sign", str(claims.get("grantId")), claims)
    return {"csr": csr.decode(), "ott": token}


def by_hand(provisioner: Provisioner, standard: dict[str, Any], claims: dict[str, Any], kid: str = "") -> str:
    """A token whose standard claims we would never make."""
    merged = {name: value for name, value in (claims | standard).items() if value is not None}
    return jwt.encode({"alg": "ES256", "kid": kid or provisioner.kid}, merged, provisioner.key)


def names(answer: dict[str, Any]) -> list[x509.GeneralName]:
    leaf = x509.load_pem_x509_certificate(answer["crt"].encode())
    return list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


@pytest.mark.parametrize(
    "changed",
    [
        {"grantId": f'{UUID}"}},{{"type":"{ARC}.1","value":"utf8:{OTHER}'},
        {"grantId": f"{UUID}\n"},
        {"grantId": f"{UUID}{{{{ fail }}}}"},
        {"grantId": [UUID]},
        {"grantId": {"a": UUID}},
        {"grantId": 7},
        {"grantId": None},
        {"grantId": ""},
        {"grantId": UUID.replace("1", "A")},
        {"subjectUserId": f'{UUID}"'},
        {"subjectUserId": None},
        {"oidArc": f'{ARC}.1","value":"utf8:{OTHER}"}},{{"type":"1.2'},
        {"oidArc": "dns"},
        {"oidArc": "1.3"},
        {"oidArc": f"{ARC}."},
        {"oidArc": None},
        {"certExp": None},
        {"certExp": '2099-01-01T00:00:00Z","isCA":true,"x":"'},
    ],
    ids=lambda changed: "-".join(map(str, changed.items()))[:40],
)
async def test_claims_inject_nothing_into_the_template(
    step_ca: StepCAServer, post: Post, changed: dict[str, Any]
) -> None:
    status, answer = await post(step_ca, "/1.0/sign", signing(step_ca, request(), **changed))
    assert status in {400, 401, 403, 500}
    assert "crt" not in answer


async def test_further_claims_and_the_requests_own_names_are_ignored(
    step_ca: StepCAServer, post: Post
) -> None:
    spoofed = x509.SubjectAlternativeName([id_name(f"{ARC}.1", uuid4())])
    csr = request(None, spoofed, x509.BasicConstraints(ca=True, path_length=3))
    body = signing(
        step_ca, csr, grantId=UUID, subjectUserId=OTHER, sans=["bank.example"], isCA=True,
        templateData={"sans": ["bank.example"]},
    )  # fmt: skip
    status, answer = await post(step_ca, "/1.0/sign", body | {"templateData": {"sans": ["bank.example"]}})
    assert status == 201
    assert names(answer) == [id_name(f"{ARC}.1", UUID), id_name(f"{ARC}.2", OTHER)]  # type: ignore[arg-type]
    leaf = x509.load_pem_x509_certificate(answer["crt"].encode())
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


async def test_a_token_is_spent_once_however_many_race(step_ca: StepCAServer, post: Post) -> None:
    for _ in range(5):
        body = signing(step_ca, request())
        statuses = [
            status
            for status, _ in await asyncio.gather(*(post(step_ca, "/1.0/sign", body) for _ in range(8)))
        ]
        assert sorted(statuses) == [201] + [401] * 7
        assert (await post(step_ca, "/1.0/sign", body))[0] == 401


async def test_a_token_is_spent_even_where_its_request_is_refused(step_ca: StepCAServer, post: Post) -> None:
    """So each attempt needs a fresh one."""
    csr, other = request(), request()
    body = signing(step_ca, csr)
    assert (await post(step_ca, "/1.0/sign", body | {"csr": other.decode()}))[0] == 403, (
        "bound to another request"
    )
    assert (await post(step_ca, "/1.0/sign", body))[0] == 401


@pytest.mark.parametrize(
    "wrong",  # numbers are seconds from now
    [
        {"aud": "https://localhost/1.0/revoke"},
        {"aud": "https://elsewhere.example/1.0/sign"},
        {"aud": None},
        {"iss": "someone"},
        {"exp": -300},
        {"nbf": 3000},
        {"iat": -90_000},
        {"jti": None, "exp": -300},
    ],
    ids=str,
)
async def test_a_token_that_is_wrong_in_one_claim_signs_nothing(
    step_ca: StepCAServer, post: Post, wrong: dict[str, Any]
) -> None:
    csr, now = request(), int(time.time())
    right = {"iss": grants(step_ca).name, "aud": f"{step_ca.url}/1.0/sign", "sub": UUID, "jti": str(uuid4())}
    right |= {"iat": now, "nbf": now - 30, "exp": now + 60}
    claims = claims_for(csr, grantId=UUID)
    wrong = {claim: now + said if isinstance(said, int) else said for claim, said in wrong.items()}
    token = by_hand(grants(step_ca), right | wrong, claims)
    assert (await post(step_ca, "/1.0/sign", {"csr": csr.decode(), "ott": token}))[0] == 401
    good = by_hand(grants(step_ca), right | {"jti": str(uuid4())}, claims)
    assert (await post(step_ca, "/1.0/sign", {"csr": csr.decode(), "ott": good}))[0] == 201


async def test_another_key_signs_nothing_whatever_it_says_it_is(step_ca: StepCAServer, post: Post) -> None:
    stranger = new_provisioner("grants", grants(step_ca).name)
    csr, now = request(), int(time.time())
    standard = {
        "iss": stranger.name,
        "aud": f"{step_ca.url}/1.0/sign",
        "sub": UUID,
        "iat": now,
        "exp": now + 60,
    }
    for kid in (stranger.kid, grants(step_ca).kid):
        token = by_hand(stranger, standard | {"jti": str(uuid4())}, claims_for(csr), kid)
        assert (await post(step_ca, "/1.0/sign", {"csr": csr.decode(), "ott": token}))[0] == 401


async def test_the_key_for_listeners_signs_no_peer(step_ca: StepCAServer, post: Post) -> None:
    listeners = step_ca.authority.provisioners[1]
    csr = request()
    claims = claims_for(csr, grantId=UUID) | {"sans": ["work.example"]}
    token = listeners.token(step_ca.url + "/1.0/sign", UUID, claims)
    status, answer = await post(step_ca, "/1.0/sign", {"csr": csr.decode(), "ott": token})
    assert status == 201
    assert names(answer) == [x509.DNSName("work.example")]
    leaf = x509.load_pem_x509_certificate(answer["crt"].encode())
    assert (
        x509.ExtendedKeyUsageOID.CLIENT_AUTH
        not in leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    )
    for sans in (["lead@work.example"], ["https://work.example"], []):
        token = listeners.token(step_ca.url + "/1.0/sign", "lead@work.example", claims | {"sans": sans})
        assert (await post(step_ca, "/1.0/sign", {"csr": csr.decode(), "ott": token}))[0] == 400


async def test_the_bodys_not_after_goes_before_the_templates(step_ca: StepCAServer, post: Post) -> None:
    """A trap of step-ca: so nobody but the gateway may talk to /sign, and the gateway never sends it."""
    later = (datetime.now(UTC) + timedelta(hours=20)).replace(microsecond=0)
    body = signing(step_ca, request()) | {"notAfter": later.isoformat().replace("+00:00", "Z")}
    status, answer = await post(step_ca, "/1.0/sign", body)
    assert status == 201
    assert x509.load_pem_x509_certificate(answer["crt"].encode()).not_valid_after_utc == later
    too_late = (later + timedelta(hours=10)).isoformat().replace("+00:00", "Z")
    assert (await post(step_ca, "/1.0/sign", signing(step_ca, request()) | {"notAfter": too_late}))[0] == 403


def test_our_tokens_end_are_never_the_same_and_hide_their_key() -> None:
    provisioner = new_provisioner("grants", "work-grants")
    tokens = [
        jwt.decode(provisioner.token("https://ca/1.0/sign", "x", {}), provisioner.key) for _ in range(2)
    ]
    one, two = (token.claims for token in tokens)
    assert one["jti"] != two["jti"]
    assert 0 < one["exp"] - time.time() <= 60
    assert one["nbf"] < one["iat"] <= time.time()
    assert tokens[0].header["kid"] == provisioner.key.thumbprint()
    private = provisioner.key.as_dict(private=True)["d"]
    assert private not in repr(provisioner)
    assert "d" not in provisioner.public
    assert "key" not in [field.name for field in dataclasses.fields(provisioner) if field.repr]


def test_a_claim_cannot_replace_a_standard_one() -> None:
    provisioner = new_provisioner("grants", "work-grants")
    token = provisioner.token("https://ca/1.0/sign", "x", {"exp": 9_999_999_999, "aud": "y", "iss": "z"})
    claims = jwt.decode(token, provisioner.key).claims
    assert (claims["aud"], claims["iss"]) == ("https://ca/1.0/sign", "work-grants")
    assert claims["exp"] < time.time() + 61
