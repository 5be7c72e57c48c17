"""What a peer may and may not get through the listener's application, certificate by certificate."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_federation import asking
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.listener import peer_mount
from mosaic_gateway.http import listener_app
from mosaic_hookspecs.errors import Malformed

Ask = Callable[..., Awaitable[tuple[int, Any]]]


def application(world: Any) -> Any:
    return listener_app("federation", [peer_mount(world.host)], max_body_bytes=65_536)


@pytest.fixture
def ask(world: Any) -> Ask:
    client = application(world).test_client()

    async def get(path: str, certificate: bytes | None) -> tuple[int, Any]:
        scope = {"state": {"client_certificate": certificate}}
        response = await client.get(f"/federation/v1/{path}", scope_base=scope)
        return response.status_code, await response.get_json()

    return get


async def row(world: Any, resource: str = "tasks", **fields: Any) -> str:
    ada = await world.host.identity.user("ada")
    body = json.dumps({"title": "a title"} | fields).encode()
    return str(json.loads((await world.host.rows.create(ada, resource, body)).body)["id"])


async def test_the_grants_rows_and_only_they_come_through_and_each_answer_is_on_record(
    world: Any, ask: Ask
) -> None:
    mine = await row(world)
    await world.host.identity.add_user("bob")
    bob = await world.host.identity.user("bob")
    await world.host.rows.create(bob, "tasks", b'{"title": "not shared"}')
    grant_id, certificate = await world.enrolled()
    status, listed = await ask("tasks", certificate)
    assert (status, [item["id"] for item in listed["items"]]) == (200, [mine])
    assert (await ask(f"tasks/{mine}", certificate))[1]["title"] == "a title"
    assert [item["id"] for item in (await ask("tasks/search?q=title", certificate))[1]["items"]] == [mine]
    status, whoami = await ask("whoami", certificate)
    assert (whoami["grant_id"], whoami["subject"]["username"]) == (str(grant_id), "ada")
    assert await world.audit() == [
        ("enroll", "", "ok"),
        ("list", "tasks", "ok"),
        ("get", "tasks", "ok"),
        ("search", "tasks", "ok"),
        ("whoami", "", "ok"),
    ]


async def test_the_audit_row_says_who_and_how_much_but_not_what(world: Any, ask: Ask) -> None:
    await row(world, title="very secret")
    grant_id, certificate = await world.enrolled()
    _, listed = await ask("tasks?sort=title", certificate)
    record = await world.pool.fetchrow("SELECT * FROM federation_audit_log WHERE verb = 'list'")
    serial = await world.pool.fetchval("SELECT serial FROM federation_grants")
    assert (record["peer"], record["grant_id"], record["subject_id"]) == ("home", grant_id, world.ada)
    assert (record["serial"], record["rows"]) == (serial, 1)
    assert record["bytes_out"] >= len("very secret")
    assert re.fullmatch("[0-9a-f]{64}", record["query_hash"])
    assert "secret" not in record["payload"]
    assert "sort" not in record["payload"]
    assert listed["items"][0]["title"] == "very secret"


async def test_every_route_of_the_listener_needs_a_certificate(world: Any) -> None:
    app = application(world)
    rules = list(app.url_map.iter_rules())
    assert len(rules) >= 6
    client = app.test_client()
    for rule in rules:
        path = re.sub("<[^>]+>", "x", rule.rule)
        response = await client.get(path, scope_base={"state": {"client_certificate": None}})
        assert response.status_code == 403, rule
        assert (await response.get_json())["detail"] == "no client certificate was shown"
    assert [outcome for _, _, outcome in await world.audit()] == ["forbidden"] * len(rules)


async def test_a_path_that_is_no_route_is_gated_too(world: Any, ask: Ask) -> None:
    _, certificate = await world.enrolled()
    for path in ("", "../v2/tasks", "tasks/a/b", "tasks/", "peers/x/y/z"):
        assert (await ask(path, None))[0] == 403
        assert (await ask(path, certificate))[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "X"])
@pytest.mark.parametrize("path", ["/federation/v1/tasks", "/federation/v1/whoami", "/a%0Ab/c", "//", ""])
async def test_any_other_method_or_path_is_gated_and_on_record_too(
    world: Any, method: str, path: str
) -> None:
    _, certificate = await world.enrolled()
    client, recorded = application(world).test_client(), len(await world.audit())
    for shown, status in ((None, 403), (certificate, 404)):
        scope = {"state": {"client_certificate": shown}}
        response = await client.open(path or "/", method=method, scope_base=scope)
        assert response.status_code == status
    assert [row[2] for row in (await world.audit())[recorded:]] == ["forbidden", "not-found"]


async def test_another_grants_certificate_opens_nothing(world: Any, ask: Ask) -> None:
    """The ids of grant Y in a certificate of grant X: the serial of Y's own certificate decides."""
    grant_y, _ = await world.enrolled()
    csr = signing_request(new_key())
    issued = await world.host.authority().issue_client(
        csr, grant_id=grant_y, subject_id=world.ada, oid_arc="1.3.6.1.4.1.99999", not_after=tomorrow()
    )
    certificate = x509.load_pem_x509_certificate(issued.chain).public_bytes(Encoding.DER)
    status, problem = await ask("tasks", certificate)
    assert (status, problem["detail"]) == (403, "the certificate does not belong to the grant")


async def test_the_serial_and_the_ids_in_a_certificate_of_another_key_open_nothing(
    world: Any, ask: Ask
) -> None:
    """Whoever has another signer under the same root, or a template of it, can choose all three."""
    _, certificate = await world.enrolled()
    ours, root = x509.load_der_x509_certificate(certificate), await world.host.authority()._root()
    builder = (
        x509.CertificateBuilder(ours.issuer, ours.subject, new_key().public_key(), ours.serial_number)
        .not_valid_before(ours.not_valid_before_utc)
        .not_valid_after(ours.not_valid_after_utc)
    )
    for extension in ours.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    forged = builder.sign(root.key, hashes.SHA256()).public_bytes(Encoding.DER)
    status, problem = await ask("tasks", forged)
    assert (status, problem["detail"]) == (403, "the certificate does not belong to the grant")
    assert (await ask("tasks", certificate))[0] == 200


async def test_a_certificate_from_before_keys_were_on_record_opens_nothing(world: Any, ask: Ask) -> None:
    """A copy of it could not be told from it: release 0.1 kept no key, and its certificates last a day."""
    _, certificate = await world.enrolled()
    await world.pool.execute("UPDATE federation_certificates SET key_sha256 = NULL")
    status, problem = await ask("tasks", certificate)
    assert (status, "enroll anew" in problem["detail"]) == (403, True)


@pytest.mark.parametrize("which", ["grant", "subject"])
async def test_ids_that_do_not_match_the_grant_open_nothing(world: Any, ask: Ask, which: str) -> None:
    grant_id, _ = await world.enrolled()
    ids = {"grant_id": grant_id, "subject_id": world.ada} | {f"{which}_id": uuid4()}
    issued = await world.host.authority().issue_client(
        signing_request(new_key()), **ids, oid_arc="1.3.6.1.4.1.99999", not_after=tomorrow()
    )
    await world.pool.execute("UPDATE federation_grants SET serial = $1", issued.serial)
    certificate = x509.load_pem_x509_certificate(issued.chain).public_bytes(Encoding.DER)
    status, problem = await ask("whoami", certificate)
    assert (status, problem["detail"]) == (403, "the certificate does not belong to the grant")


async def test_the_listeners_own_certificate_opens_nothing(world: Any, ask: Ask) -> None:
    issued = await world.host.authority().issue_server(signing_request(new_key()), names=["localhost"])
    certificate = x509.load_pem_x509_certificate(issued.chain).public_bytes(Encoding.DER)
    assert (await ask("tasks", certificate))[0] == 403


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("status = 'revoked', revoked_at = now()", "the grant was revoked"),
        ("status = 'expired'", "the grant is not active"),
        ("created_at = now() - interval '2 days', expires_at = now()", "the grant has expired"),
    ],
)
async def test_a_grant_that_ends_is_refused_at_the_next_request(
    world: Any, ask: Ask, change: str, why: str
) -> None:
    _, certificate = await world.enrolled()
    assert (await ask("tasks", certificate))[0] == 200
    await world.pool.execute(f"UPDATE federation_grants SET {change}")
    status, problem = await ask("tasks", certificate)
    assert (status, problem["detail"]) == (403, why)
    assert (await world.audit())[-1] == ("list", "tasks", "forbidden")


async def test_a_disabled_subject_ends_the_grant(world: Any, ask: Ask) -> None:
    _, certificate = await world.enrolled()
    await world.host.identity.disable_user("ada")
    status, problem = await ask("tasks", certificate)
    assert (status, "subject" in problem["detail"]) == (403, True)


async def test_a_hidden_row_is_answered_like_an_absent_one(world: Any, ask: Ask) -> None:
    hidden, shown = await row(world), await row(world)
    _, certificate = await world.enrolled(exclude=(f"tasks/{hidden}",))
    assert (await ask(f"tasks/{shown}", certificate))[0] == 200
    assert same(await ask(f"tasks/{hidden}", certificate), await ask(f"tasks/{uuid4()}", certificate))
    _, listed = await ask("tasks", certificate)
    assert [item["id"] for item in listed["items"]] == [shown]


async def test_an_excluded_resource_is_answered_like_an_unknown_one(world: Any, ask: Ask) -> None:
    await row(world, "notes")
    _, certificate = await world.enrolled(exclude=("notes",))
    for path in ("{}", "{}/search?q=x", "{}/" + str(uuid4())):
        answers = [await ask(path.format(name), certificate) for name in ("notes", "wikis")]
        answers[1] = json.loads(json.dumps(answers[1]).replace("wikis", "notes"))
        assert same(*answers)


async def test_the_row_cap_holds_whatever_limit_is_asked(world: Any, ask: Ask) -> None:
    for _ in range(7):
        await row(world)
    _, certificate = await world.enrolled(max_rows=3)
    for query in ("", "?limit=200", "?limit=2"):
        status, listed = await ask(f"tasks{query}", certificate)
        assert status == 200
        assert len(listed["items"]) == (2 if query == "?limit=2" else 3)
    _, found = await ask("tasks/search?q=title&limit=50", certificate)
    assert len(found["items"]) == 3


async def test_a_parameter_given_twice_is_refused(world: Any, ask: Ask) -> None:
    _, certificate = await world.enrolled()
    status, problem = await ask("tasks?limit=1&limit=2", certificate)
    assert (status, "more than once" in problem["detail"]) == (400, True)


async def test_without_the_audit_table_nothing_leaves(world: Any, ask: Ask) -> None:
    mine = await row(world)
    _, certificate = await world.enrolled()
    await world.pool.execute("ALTER TABLE federation_audit_log RENAME TO elsewhere")
    for path in ("tasks", f"tasks/{mine}", "whoami", "nowhere"):
        status, problem = await ask(path, certificate)
        assert (status, problem["title"]) == (503, "A part the gateway needs is not available")
        assert mine not in json.dumps(problem)
    assert (await ask("tasks", None))[0] == 503


async def test_what_a_peer_names_cannot_disturb_the_log(world: Any, ask: Ask) -> None:
    _, certificate = await world.enrolled()
    for name in ("%00", "%1b[2J", "%ff", "%ed%a0%80", "x" * 5000, "täsks"):
        assert (await ask(name, certificate))[0] == 404
    stored = await world.pool.fetch("SELECT resource FROM federation_audit_log WHERE verb = 'list'")
    assert len(stored) == 6
    assert all(re.fullmatch("[a-z0-9_?]{1,63}", record["resource"]) for record in stored)


async def test_requests_at_once_each_have_their_own_record(world: Any, ask: Ask) -> None:
    _, certificate = await world.enrolled()
    await asyncio.gather(*(ask("tasks", certificate) for _ in range(40)))
    assert (await world.audit()).count(("list", "tasks", "ok")) == 40


def same(one: tuple[int, Any], other: tuple[int, Any]) -> bool:
    """Whether two refusals differ in nothing but the request they answer."""
    plain = [
        (status, {**body, "request_id": "", "trace_id": "", "instance": ""}) for status, body in (one, other)
    ]
    return plain[0] == plain[1] and one[0] == 404


def tomorrow() -> Any:
    return datetime.now(UTC) + timedelta(days=1)


def test_which_of_thousands_of_parameters_is_given_twice_is_found_in_one_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To compare each with each would keep everybody else waiting for a second."""
    looks = 0

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal looks
            looks += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = [Name(f"p{n}") for n in [*range(2000), 1999]]
    monkeypatch.setattr(asking, "parse_qsl", lambda *_, **__: [(name, "") for name in names])
    with pytest.raises(Malformed, match="'p1999' is given more than once"):
        asking.params_of(b"")
    assert looks < 10 * len(names)
