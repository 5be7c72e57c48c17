"""The admin API over real HTTP: every route, who may use it, what it refuses, and who wins a race."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from schemathesis import openapi

from mosaic_federation.admin_routes import PREFIX
from mosaic_federation.enrollment import Enrollment
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.plugin import mosaic_routes
from mosaic_gateway.http import public_app
from mosaic_gateway.serving import Endpoint, Limits, bind, serve
from mosaic_hookspecs.errors import Gone
from mosaic_hookspecs.types import Listener

SCOPE = {"resources": ["tasks", "notes"], "include_personal": True}
GRANTS, PEERS = f"{PREFIX}/grants", f"{PREFIX}/peers"
NOBODY = uuid4()
ROUTES = [
    ("GET", GRANTS),
    ("POST", GRANTS),
    ("GET", f"{GRANTS}/{NOBODY}"),
    ("PATCH", f"{GRANTS}/{NOBODY}"),
    ("POST", f"{GRANTS}/{NOBODY}/revoke"),
    ("POST", f"{GRANTS}/{NOBODY}/release"),
    ("POST", f"{GRANTS}/{NOBODY}/reissue"),
    ("GET", f"{GRANTS}/{NOBODY}/explain/tasks/{NOBODY}"),
    ("GET", PEERS),
    ("POST", PEERS),
    ("GET", f"{PEERS}/nobody"),
    ("POST", f"{PEERS}/nobody/test"),
    ("POST", f"{PEERS}/nobody/renew"),
    ("DELETE", f"{PEERS}/nobody"),
]


class Api:
    """The public listener of a world's gateway, and clients for it."""

    def __init__(self, world: Any, port: int, app: Any) -> None:
        self.world, self.app, self.base = world, app, f"http://127.0.0.1:{port}"
        self.clients: list[httpx.AsyncClient] = []

    async def client(self, username: str, *, admin: bool) -> httpx.AsyncClient:
        identities = self.world.gateway.identity
        await identities.add_user(username, admin=admin)
        token = await identities.create_token(username, name="test", expires_in=timedelta(hours=1))
        client = httpx.AsyncClient(
            base_url=self.base, headers={"Authorization": f"Bearer {token.secret}"}, timeout=30
        )
        self.clients.append(client)
        return client


@pytest.fixture
async def api(world: Any) -> AsyncIterator[Api]:
    gateway = world.gateway
    services = SimpleNamespace(
        name="work", version="1", rows=gateway.rows, identities=gateway.identity, limiter=gateway.limiter,
        mounts=list(mosaic_routes(world.host)), max_body_bytes=16 * 1024 * 1024, ready=None,
        sources=SimpleNamespace(kinds=()),
    )  # fmt: skip
    app = public_app(services)  # type: ignore[arg-type]
    listener = Listener("public", "127.0.0.1", 0)
    bound = bind(listener)
    stop = asyncio.Event()
    served = asyncio.create_task(serve([Endpoint(listener, app, bound)], stop=stop, limits=Limits(drain=0.1)))
    api = Api(world, bound.getsockname()[1], app)
    try:
        yield api
    finally:
        for client in api.clients:
            await client.aclose()
        stop.set()
        await served


@pytest.fixture
async def lead(api: Api) -> httpx.AsyncClient:
    """An admin."""
    return await api.client("lead", admin=True)


async def made(client: httpx.AsyncClient, **scope: Any) -> Any:
    answer = await client.post(GRANTS, json={"subject": "ada", "peer": "home", "scope": SCOPE | scope})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def enrolled(api: Api, grant: Any) -> None:
    token = grant["url"].partition("#")[0].rpartition("/")[2]
    csr = signing_request(new_key())
    await Enrollment(api.world.host).redeem(token, csr=csr, name="home", request_id="r")


def problem(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.json()


async def test_no_route_is_for_others(api: Api, lead: httpx.AsyncClient) -> None:
    client = await api.client("client", admin=False)
    grant = await made(lead)
    for method, path in ROUTES:
        whole = path.replace(str(NOBODY), grant["id"])
        refused = problem(await client.request(method, whole, json={}), 403)
        assert grant["id"] not in json.dumps(refused)
        anonymous = await httpx.AsyncClient(base_url=api.base).request(method, whole, json={})
        assert anonymous.status_code in {401, 429}
    assert (await lead.get(f"{GRANTS}/{grant['id']}")).json()["status"] == "pending"


def test_the_list_of_routes_above_is_whole(api: Api) -> None:
    rules = [rule for rule in api.app.url_map.iter_rules() if rule.rule.startswith(PREFIX)]
    there = {(m, re.sub(r"<[^>]+>", "*", r.rule)) for r in rules for m in r.methods - {"HEAD", "OPTIONS"}}
    listed = {(m, re.sub(f"{NOBODY}|nobody|(?<=explain/)tasks", "*", path)) for m, path in ROUTES}
    assert there == listed


async def test_the_document_tells_every_route_of_the_gateway_and_no_other(
    api: Api, lead: httpx.AsyncClient
) -> None:
    document = (await lead.get("/openapi.json")).json()
    openapi.from_dict(document).validate()
    told = {
        (method.upper(), re.sub(r"\{[^}]+\}", "*", path))
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    rules = {
        (method, re.sub(r"<[^>]+>", "*", rule.rule))
        for rule in api.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if "resource:" not in rule.rule  # these are told by the name of each resource
    }
    resources = {(method, path) for method, path in told if re.match("/v1/(tasks|notes)", path)}
    assert told - resources == rules
    responses = document["paths"][GRANTS]["post"]["responses"]
    assert {"201", "400", "401", "403", "413", "422", "429", "503"} <= set(responses)
    refs = set(re.findall(r'"#/components/(\w+)/([^"]+)"', json.dumps(document)))
    assert not [(kind, name) for kind, name in refs if name not in document["components"][kind]]
    assert {"Scope", "NewGrant", "Offer"} <= {name for _, name in refs}


async def test_a_grant_from_its_creation_to_its_end(api: Api, lead: httpx.AsyncClient) -> None:
    created = await lead.post(GRANTS, json={"subject": "ada", "peer": "home", "scope": SCOPE})
    assert created.status_code == 201
    grant = created.json()
    path = created.headers["Location"]
    assert (path, created.headers["ETag"]) == (f"{GRANTS}/{grant['id']}", f'"{grant["version"]}"')
    assert (grant["status"], grant["created_by"]) == ("pending", "user:lead")
    assert "/federation/v1/enroll/" in grant["url"]
    token = grant["url"].partition("#")[0].rpartition("/")[2]

    shown = await lead.get(path)
    assert shown.headers["ETag"] == created.headers["ETag"]
    assert token not in shown.text
    assert token not in (await lead.get(GRANTS)).text
    assert shown.json()["scope_in_words"][0] == "read, list and search tasks and notes"

    await enrolled(api, grant)
    [listed] = (await lead.get(GRANTS, params={"status": "active", "peer": "home"})).json()["items"]
    assert listed["id"] == grant["id"]
    assert (await lead.get(GRANTS, params={"status": "pending"})).json() == {"items": []}

    ends = (datetime.now(UTC) + timedelta(days=9)).replace(microsecond=0)
    etag = (await lead.get(path)).headers["ETag"]
    change = {"scope": {"expires_at": ends.isoformat(), "max_rows_per_query": 7}, "reason": "less"}
    changed = await lead.patch(path, json=change, headers={"If-Match": etag})
    assert changed.status_code == 200, changed.text
    assert changed.headers["ETag"] != etag
    assert changed.json()["scope"]["max_rows_per_query"] == 7
    assert changed.json()["scope"]["resources"] == ["tasks", "notes"]
    assert datetime.fromisoformat(changed.json()["expires_at"]) == ends
    endless = await lead.patch(path, json={"scope": {"expires_at": None}})
    assert endless.json()["expires_at"] is None

    with pytest.raises(Gone):  # its spent URL is used again
        await enrolled(api, grant)
    [tripped] = (await lead.get(GRANTS, params={"status": "quarantined"})).json()["items"]
    assert tripped["id"] == grant["id"]
    assert (await lead.post(f"{path}/release", json={"reason": "it was a test"})).json()["status"] == "active"
    again = await lead.post(f"{path}/reissue")
    assert again.status_code == 200
    assert again.json()["url"] != grant["url"]
    revoked = await lead.post(f"{path}/revoke", json={"reason": "the end"})
    assert (revoked.json()["status"], revoked.json()["revoked_by"]) == ("revoked", "user:lead")
    history = (await lead.get(path)).json()["history"]
    assert {(each["actor"], each["reason"]) for each in history} >= {
        ("user:lead", "less"), ("user:lead", "it was a test"), ("user:lead", "the end")
    }  # fmt: skip
    for action in ("revoke", "release", "reissue"):
        problem(await lead.post(f"{path}/{action}"), 409)
    problem(await lead.patch(path, json={"scope": {"max_rows_per_query": 8}}), 409)


async def test_explain(api: Api, lead: httpx.AsyncClient) -> None:
    grant = await made(lead, resources=["tasks"])
    rows = api.world.gateway.rows
    ada = await api.world.gateway.identity.user("ada")
    row_id = json.loads((await rows.create(ada, "tasks", b'{"title": "x"}')).body)["id"]
    path = f"{GRANTS}/{grant['id']}/explain"
    assert (await lead.get(f"{path}/tasks/{row_id}")).json()["visible"] is True
    hidden = (await lead.get(f"{path}/notes/{row_id}")).json()
    assert hidden["visible"] is False
    assert hidden["reasons"]
    problem(await lead.get(f"{path}/tasks/{row_id}", params={"why": "x"}), 400)
    assert (await lead.get(f"{path}/tasks/no-uuid")).status_code == 404


async def test_a_scope_that_cannot_be_read_hides_no_other_grant(api: Api, lead: httpx.AsyncClient) -> None:
    broken, whole = await made(lead), await made(lead)
    path = f"{GRANTS}/{broken['id']}"
    newer = "UPDATE federation_grants SET scope = scope || '{\"newer\": true}' WHERE id = $1"
    await api.world.pool.execute(newer, broken["id"])
    listed = {item["id"]: item["scope"] for item in (await lead.get(GRANTS)).json()["items"]}
    assert listed == {broken["id"]: None, whole["id"]: whole["scope"]}
    assert (await lead.get(path)).json()["scope"] is None
    assert (await lead.get(f"{path}/explain/tasks/{NOBODY}")).json()["visible"] is False
    problem(await lead.patch(path, json={"scope": {"max_rows_per_query": 5}}), 422)
    assert (await lead.post(f"{path}/revoke")).json()["status"] == "revoked"


async def test_an_older_version_is_refused_whatever_the_change(api: Api, lead: httpx.AsyncClient) -> None:
    grant = await made(lead)
    path = f"{GRANTS}/{grant['id']}"
    await lead.patch(path, json={"scope": {"max_rows_per_query": 9}})
    stale = {"If-Match": f'"{grant["version"]}"'}
    problem(await lead.patch(path, json={"scope": {"max_rows_per_query": 8}}, headers=stale), 412)
    for action in ("revoke", "reissue", "release"):
        problem(await lead.post(f"{path}/{action}", headers=stale), 412)
    for tag in ('W/"2"', "2", '"x"', '"0"', '"2", "3"', ""):
        problem(await lead.post(f"{path}/revoke", headers={"If-Match": tag}), 412)
    for tags in (["*", stale["If-Match"]], [stale["If-Match"], "*"], ["*", "*"]):
        problem(await lead.post(f"{path}/revoke", headers=[("If-Match", tag) for tag in tags]), 412)
    now = (await lead.get(path)).json()
    assert (now["status"], now["scope"]["max_rows_per_query"]) == ("pending", 9)
    assert (await lead.post(f"{path}/revoke", headers={"If-Match": "*"})).status_code == 200


async def test_of_many_at_once_one_wins(api: Api, lead: httpx.AsyncClient) -> None:
    grant = await made(lead)
    path, tag = f"{GRANTS}/{grant['id']}", {"If-Match": f'"{grant["version"]}"'}
    answers = await asyncio.gather(
        *(
            lead.patch(path, json={"scope": {"max_rows_per_query": number}}, headers=tag)
            for number in range(1, 11)
        )
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * 9
    [won] = [answer.json() for answer in answers if answer.is_success]
    now = (await lead.get(path)).json()
    assert now["scope"]["max_rows_per_query"] == won["scope"]["max_rows_per_query"]
    assert now["version"] == grant["version"] + 1
    revoked = await asyncio.gather(*(lead.post(f"{path}/revoke") for _ in range(8)))
    assert sorted(answer.status_code for answer in revoked) == [200] + [409] * 7


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"subject": "ada", "peer": "home"}, "/scope"),
        ({"subject": "ada", "peer": "home", "scope": SCOPE, "days": 3}, "/days"),
        ({"subject": 7, "peer": "home", "scope": SCOPE}, "/subject"),
        ({"subject": "a\u0000da", "peer": "home", "scope": SCOPE}, "/subject"),
        ({"subject": "ada", "peer": "Home", "scope": SCOPE}, "peer"),
        ({"subject": "ada", "peer": "home", "scope": []}, "/scope"),
        ({"subject": "ada", "peer": "home", "scope": SCOPE | {"resourses": []}}, "scope.resourses"),
        ({"subject": "ada", "peer": "home", "scope": SCOPE | {"resources": ["tasks", "note"]}}, "scope.resources[1]"),
    ],
)  # fmt: skip
async def test_a_wrong_body_is_refused_by_its_place(lead: httpx.AsyncClient, body: Any, where: str) -> None:
    refused = problem(await lead.post(GRANTS, json=body), 422)
    assert where in {fault.get("pointer") or fault.get("where") for fault in refused["errors"]}
    assert (await lead.get(GRANTS)).json() == {"items": []}


@pytest.mark.parametrize(
    ("text", "status", "where"),
    [
        ('{"subject": "ada", "peer": "home", "peer": "other", "scope": {}}', 422, "/peer"),
        ('{"subject": "ada", "peer": "home", "scope": {"a": {"b/c": 1, "b/c": 2}}}', 422, "/scope/a/b~1c"),
        ("{", 400, None),
        ("[]", 422, "/"),
        ("null", 422, "/"),
        ('{"subject": NaN}', 400, None),
        ("[" * 100_000, 400, None),
        ("9" * 10_000, 400, None),
        ("\ud800".encode("utf-8", "surrogatepass"), 400, None),
        (b"\xff", 400, None),
        (b" " * (1024 * 1024 + 1), 413, None),
    ],
)  # fmt: skip
async def test_what_is_no_clear_json_is_refused(
    lead: httpx.AsyncClient, text: Any, status: int, where: str | None
) -> None:
    headers = {"Content-Type": "application/json"}
    refused = problem(await lead.post(GRANTS, content=text, headers=headers), status)
    assert where is None or where in {fault.get("pointer") for fault in refused["errors"]}


async def test_other_requests_that_cannot_be(api: Api, lead: httpx.AsyncClient) -> None:
    problem(await lead.post(GRANTS, content=b"{}", headers={"Content-Type": "text/plain"}), 400)
    problem(await lead.get(GRANTS, params={"status": "gone"}), 422)
    problem(await lead.get(GRANTS, params={"stats": "active"}), 400)
    problem(await lead.get(GRANTS, params=[("status", "active"), ("status", "pending")]), 400)
    problem(await lead.get(GRANTS, params={"peer": "\0"}), 422)
    for path in (f"{GRANTS}/{NOBODY}", f"{GRANTS}/x", f"{PEERS}/nobody", f"{PEERS}/%00", f"{PREFIX}/users"):
        problem(await lead.get(path), 404)
    problem(await lead.post(f"{GRANTS}/{NOBODY}/revoke"), 404)
    problem(await lead.post(GRANTS, json={"subject": "nobody", "peer": "home", "scope": SCOPE}), 404)
    problem(await lead.delete(f"{PEERS}/nobody"), 404)
    problem(await lead.delete(f"{PEERS}/%00"), 404)
    problem(await lead.get("/v1/peers/%00/tasks"), 404)
    problem(await lead.post(f"{PEERS}/nobody/test"), 404)
    problem(await lead.post(f"{PEERS}/nobody/renew"), 404)
    problem(await lead.put(GRANTS, json={}), 405)
    grant = await made(lead)
    for reason in ("a\u0000b", "a\u202eb", "", "x" * 501):
        refused = await lead.post(f"{GRANTS}/{grant['id']}/revoke", json={"reason": reason})
        assert problem(refused, 422)["errors"][0]["pointer"] == "/reason"


@pytest.mark.parametrize(
    ("url", "fingerprint", "status"),
    [
        ("https://work.example/", "a" * 64, 400),
        ("file:///etc/passwd#ca=" + "a" * 64, "a" * 64, 400),
        (f"http://192.0.2.1/federation/v1/enroll/{'t' * 43}#ca={'a' * 64}", "a" * 64, 400),
        (f"https://work.example/federation/v1/enroll/{'t' * 43}#ca={'a' * 64}", "b" * 64, 403),
        (f"https://work.example/federation/v1/enroll/{'t' * 43}#ca={'a' * 64}", "x", 400),
    ],
)
async def test_a_url_that_is_not_to_be_dialled_is_not(
    lead: httpx.AsyncClient, url: str, fingerprint: str, status: int
) -> None:
    refused = await lead.post(PEERS, json={"url": url, "expect_fingerprint": fingerprint})
    assert "t" * 43 not in json.dumps(problem(refused, status))


async def test_a_redirect_is_not_followed(lead: httpx.AsyncClient) -> None:
    asked: list[bytes] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        port = writer.get_extra_info("sockname")[1]
        head = (
            f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/elsewhere\r\nContent-Length: 0\r\n\r\n"
        )
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/federation/v1/enroll/{'t' * 43}#ca={'a' * 64}"
    refused = await lead.post(PEERS, json={"url": url, "expect_fingerprint": "a" * 64})
    server.close()
    assert problem(refused, 503)
    assert len(asked) == 1
    assert b"/enroll/" in asked[0]


async def test_too_many_requests_of_one_admin(api: Api, lead: httpx.AsyncClient) -> None:
    other = await api.client("deputy", admin=True)
    answers = []  # of less than a minute, ten at once: as many as the pool has connections
    for _ in range(24):
        answers += await asyncio.gather(*(lead.get(PEERS) for _ in range(10)))
    allowed = [answer.status_code for answer in answers].count(200)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 120 <= allowed < 240
    assert len(refused) == 240 - allowed
    assert "Retry-After" in refused[0].headers
    assert (await other.get(PEERS)).status_code == 200


async def test_a_grants_own_limits(lead: httpx.AsyncClient, world: Any) -> None:
    wanted = {"subject": "ada", "peer": "home", "scope": {"resources": ["tasks"], "include_personal": True}}
    made = await lead.post(GRANTS, json=wanted | {"limits": {"requests_per_minute": 600}})
    assert (made.status_code, made.json()["requests_per_minute"], made.json()["concurrency"]) == (
        201,
        600,
        None,
    )
    path = f"{GRANTS}/{made.json()['id']}"
    changed = (await lead.patch(path, json={"limits": {"concurrency": 4}})).json()
    assert (changed["requests_per_minute"], changed["concurrency"]) == (600, 4)
    assert changed["scope"] == made.json()["scope"]
    changed = (await lead.patch(path, json={"limits": {"requests_per_minute": None}})).json()
    assert (changed["requests_per_minute"], changed["concurrency"]) == (None, 4)
    found = problem(await lead.patch(path, json={"limits": {"concurrency": 0}}), 422)
    assert [each["pointer"] for each in found["errors"]] == ["/limits/concurrency"]
