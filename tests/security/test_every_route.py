"""Every route × resource × viewer outside the scope: what plugins add is asked too, and no answer may hold the row.

A route that is not in ROUTES turns this red: add it there, with what a viewer of no rows may expect of it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from folders import remove
from mosaic_federation.enrollment import Enrollment
from mosaic_federation.grants import Grants
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.simulating import simulate
from mosaic_gateway.boot import Gateway, open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_gateway.http import listener_app, public_app
from mosaic_hookspecs.errors import MosaicError
from mosaic_hookspecs.types import QuickRequest
from mosaic_runs import run_mosaic

OF_EACH = {"traceresponse", "ratelimit"}  # the id of a span, and how many more requests are allowed
OF_ONE_REQUEST = {"X-Request-ID": "r", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"}
MARK = "marrowfat"  # a word in every row of the lead's, and nowhere else

#: Routes by what they are about. Of ``rows`` a viewer of none gets an empty list, or 404; the others tell of no row.
ROUTES: dict[str, set[str]] = {
    "rows": {
        "public GET /v1/<resource>",
        "public POST /v1/<resource>",
        "public GET /v1/<resource>/search",
        "public GET /v1/<resource>/<row_id>",
        "public PATCH /v1/<resource>/<row_id>",
        "public DELETE /v1/<resource>/<row_id>",
        "public GET /v1/search",
        "federation GET /federation/v1/<resource>",
        "federation GET /federation/v1/<resource>/search",
        "federation GET /federation/v1/<resource>/<row_id>",
    },
    "the viewer, or the gateway": {
        "public GET /healthz",
        "public GET /readyz",
        "public GET /openapi.json",
        "public GET /v1/me",
        "public GET /v1/resources",
        "federation GET /federation/v1/whoami",
        "federation POST /federation/v1/renew",
        "federation GET /federation/v1/capabilities",
        "federation GET /federation/v1/audit/head",
        "federation POST /federation/v1/audit/head",
        "federation GET /federation/v1/audit/rows",
    },
    "rows of peers": {
        "public GET /v1/peers",
        "public GET /v1/peers/<peer>/<resource>",
        "public GET /v1/peers/<peer>/<resource>/search",
        "public GET /v1/peers/<peer>/<resource>/<row_id>",
    },
    "enrollment": {
        "public GET /federation/v1/enroll/<token>",
        "public POST /federation/v1/enroll/<token>",
    },
    "admins": {
        "public GET /v1/admin/grants",
        "public POST /v1/admin/grants",
        "public GET /v1/admin/grants/<grant_id>",
        "public PATCH /v1/admin/grants/<grant_id>",
        "public POST /v1/admin/grants/<grant_id>/revoke",
        "public POST /v1/admin/grants/<grant_id>/release",
        "public POST /v1/admin/grants/<grant_id>/reissue",
        "public GET /v1/admin/grants/<grant_id>/explain/<resource>/<row_id>",
        "public GET /v1/admin/peers",
        "public POST /v1/admin/peers",
        "public GET /v1/admin/peers/<name>",
        "public POST /v1/admin/peers/<name>/test",
        "public POST /v1/admin/peers/<name>/renew",
        "public DELETE /v1/admin/peers/<name>",
    },
}

ODD = {
    "plugin.py": """
from pydantic import BaseModel
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import MigrationSet, Resource

class Oddity(BaseModel):
    order: int | None = None
    group: dict[str, int] = {}
    user: bool = True

@hookimpl
def mosaic_migrations():
    return [MigrationSet("odd", "odd.sql")]

@hookimpl
def mosaic_resources():
    return [Resource("oddities", Oddity, "Columns called like words of SQL, and no text")]
""",
    "__init__.py": "",
    "sql/__init__.py": "",
    "sql/0001_odd.pre.sql": """-- requires: core>=2
CREATE TABLE oddities ("order" bigint, "group" jsonb NOT NULL, "user" boolean NOT NULL);
SELECT make_resource('oddities');
CREATE SCHEMA depot;  -- somebody else's, who keeps a table there that is shared as it is
CREATE TABLE depot.parcels (label text PRIMARY KEY, customer text, content text, paid_with text);
""",
}
TABLES = {
    "resources": {
        "parcels": {
            "table": "depot.parcels",
            "id": "label",
            "owner": "customer",
            "columns": ["content"],
            "search": ["content"],
        }
    }
}
#: What a plugin must not do: it goes to the database past the one way to rows.
LEAKY = {
    "plugin.py": """
from quart import Blueprint
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Mount

@hookimpl
def mosaic_routes(host):
    mounts = []
    for listener, prefix in (("public", "/v1/latest"), ("federation", "/federation/v1/latest/of/all")):
        blueprint = Blueprint(f"leaky_{listener}", __name__)

        @blueprint.get(prefix + "/<name>")
        async def latest(name):
            rows = await host.database.fetch(f'SELECT to_json(r)::text AS item FROM "{name}" r')
            return {"items": [row["item"] for row in rows]}

        mounts.append(Mount(listener, blueprint))
    return mounts
""",
    "__init__.py": "",
}


@dataclass
class Asked:
    """A gateway whose lead has a row of each resource, and viewers who may see none of them."""

    gateway: Gateway
    apps: dict[str, Any]
    token: str  # of a user without rows
    outside: dict[str, bytes]  # certificates of grants, each outside of every row in its own way
    rows: dict[str, str]  # id of the row of each resource

    def routes(self) -> Iterator[tuple[str, str, Any]]:
        for listener, app in self.apps.items():
            for rule in app.url_map.iter_rules():
                for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
                    yield listener, method, rule

    def unknown(self) -> list[str]:
        """Routes that are not in the table."""
        known = set().union(*ROUTES.values())
        names = [
            f"{listener} {method} {re.sub('<[a-z]+:', '<', rule.rule)}"
            for listener, method, rule in self.routes()
        ]
        return [name for name in names if name not in known]

    async def versions(self) -> dict[str, int]:
        """Of each row: another one would mean that it was changed."""
        return {
            name: await self.gateway.database.fetchval(
                f"SELECT version FROM {name} WHERE id = $1", UUID(row_id)
            )
            for name, row_id in self.rows.items()
        }

    def stale(self) -> set[str]:
        """What is in the table, and no route any more."""
        names = {
            f"{listener} {method} {re.sub('<[a-z]+:', '<', rule.rule)}"
            for listener, method, rule in self.routes()
        }
        return set().union(*ROUTES.values()) - names

    async def leaks(self) -> list[str]:
        """Routes and resources, and the viewer, where an answer held a row that is not for its viewer."""
        found = []
        for listener, method, rule in self.routes():
            for resource, row_id in self.rows.items():
                path = re.sub(r"<[^>]*\b(row_id)>", row_id, rule.rule)
                path = re.sub(r"<[^>]+>", resource, path)
                for query in ("", f"?q={MARK}"):
                    async for viewer, text in self.answers(listener, method, path + query):
                        if MARK in text.replace(f"q={MARK}", "") or (row_id in text and row_id not in path):
                            found.append(f"{listener} {method} {rule.rule}: {resource} to {viewer}")
        return found

    async def answers(self, listener: str, method: str, target: str) -> AsyncIterator[tuple[str, str]]:
        client = self.apps[listener].test_client()
        if listener == "public":
            headers = {"Authorization": f"Bearer {self.token}", "If-Match": '"1"'}
            body = {} if method == "GET" else {"json": {}}
            response = await client.open(target, method=method, headers=headers, **body)
            yield "another user", (await response.get_data()).decode()
            return
        for name, certificate in self.outside.items():
            scope = {"state": {"client_certificate": certificate}}
            response = await client.open(target, method=method, scope_base=scope)
            assert response.status_code != 429, (
                "a limit answers in place of the route: raise it for this test"
            )
            yield name, (await response.get_data()).decode()
            for mount in self.gateway.mounts:
                if mount.quick and method == "GET":
                    yield f"{name}, quickly", await _quickly(mount.quick, target, certificate)


async def _quickly(quick: Any, target: str, certificate: bytes) -> str:
    path, _, query = target.partition("?")
    answer = quick(QuickRequest(path, query.encode(), "r", ("127.0.0.1", 1), certificate))
    try:
        return (await answer).body.decode() if answer else ""
    except MosaicError as refusal:
        return str(refusal)


@pytest.fixture(scope="module")
def config() -> Iterator[Path]:
    parent = Path(mkdtemp(prefix="mosaic-routes-", dir="/tmp"))  # Postgres may run as another user
    parent.chmod(0o711)
    for name, files in (("odd", ODD), ("leaky", LEAKY)):
        for path, text in files.items():
            file = parent / "site" / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        about = parent / "site" / f"{name}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (about / "entry_points.txt").write_text(f"[mosaic]\n{name} = {name}.plugin\n")
    sys.path.append(str(parent / "site"))
    done = run_mosaic("gateway", "init", parent / "work", "--admin", "lead")
    assert done.returncode == 0, done.stderr
    yield parent / "work" / "mosaic.config.json"
    sys.path.remove(str(parent / "site"))
    remove(parent)


@asynccontextmanager
async def opened(config: Path, *plugins: str) -> AsyncIterator[Asked]:
    written = json.loads(config.read_text())
    written["plugins"] |= {name: {} for name in plugins} | {"tables": TABLES}
    changed = config.with_name(f"{'-'.join(plugins)}.json")
    changed.write_text(json.dumps(written))
    changed.chmod(0o600)
    async with open_gateway(compose(read_config(changed)), serving=False) as gateway:
        host, lead = gateway.composition.view("federation"), await gateway.identities.user("lead")
        rows = {}
        parcel = "INSERT INTO depot.parcels VALUES ($1, 'lead', $1, 'a card') ON CONFLICT DO NOTHING"
        await gateway.database.execute(parcel, MARK)
        for name in gateway.rows.names():
            body = a_body(gateway.rows.resource(name).model) | {"external_id": MARK}
            [row] = await gateway.database.fetch(f"SELECT id FROM {name} WHERE external_id = $1", MARK) or [
                None
            ]
            rows[name] = str(
                row["id"]
                if row
                else json.loads((await gateway.rows.create(lead, name, json.dumps(body).encode())).body)["id"]
            )
        if not await gateway.database.fetchval("SELECT count(*) FROM users WHERE username = 'client'"):
            await gateway.identities.add_user("client")
        token = (await gateway.identities.create_token("client", name="test", expires_in=None)).secret
        shared = [name for name in rows if gateway.rows.resource(name).federable]
        everything = {"resources": shared, "include_personal": True}
        excluded = [f"{name}/{row_id}" for name, row_id in rows.items() if name in shared]
        team = await a_team(gateway)
        outside = {
            "a grant of another user": await a_certificate(host, "client", everything),
            "a grant that excludes the rows": await a_certificate(
                host, "lead", everything | {"excluded_resources": excluded}
            ),
            "a grant of a team": await a_certificate(
                host, "lead", {"resources": shared, "include_teams": [str(team)]}
            ),
            "a revoked grant": await a_certificate(host, "lead", everything, revoked=True),
        }
        apps = {
            "public": public_app(gateway),
            "federation": listener_app("federation", gateway.mounts, max_body_bytes=65_536),
        }
        yield Asked(gateway, apps, token, outside, rows)


def a_body(model: Any) -> dict[str, Any]:
    """The least that a model takes, the mark in each text that may be any."""
    schema = model.model_json_schema()
    kinds = {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
    body = {}
    for name, field in schema["properties"].items():
        if field.get("type") == "string" and not {"enum", "format", "pattern"} & set(field):
            body[name] = MARK
        elif name in schema.get("required", ()):
            body[name] = kinds[field["type"]]
    return body


async def a_team(gateway: Gateway) -> UUID:
    for team in await gateway.identities.teams_of((await gateway.identities.user("lead")).id):
        return team.id
    team = await gateway.identities.add_team("core")
    await gateway.identities.add_member("core", "lead")
    return team.id


async def a_certificate(host: Any, subject: str, scope: dict[str, Any], *, revoked: bool = False) -> bytes:
    offer = await Grants(host).create(subject=subject, peer="home", scope=scope, actor="test")
    token = offer.url.partition("#")[0].rpartition("/")[2]
    issued = await Enrollment(host).redeem(token, csr=signing_request(new_key()), name="home", request_id="r")
    if revoked:
        await Grants(host).revoke(offer.grant.id, actor="test")
    return x509.load_pem_x509_certificate(issued["chain"].encode()).public_bytes(Encoding.DER)


async def test_no_route_shows_a_row_to_a_viewer_outside_its_scope(config: Path) -> None:
    async with opened(config, "odd") as asked:
        unknown = asked.unknown()
        assert not unknown, f"add to ROUTES of {__file__}, each to what it is about: {unknown}"
        assert not asked.stale()
        assert set(asked.rows) >= {"tasks", "notes", "oddities", "parcels"}
        versions = await asked.versions()
        assert await asked.leaks() == []
        assert await asked.versions() == versions  # nor did one of them change it


async def test_a_plugin_that_goes_past_the_one_way_to_rows_is_found(config: Path) -> None:
    async with opened(config, "odd", "leaky") as asked:
        routes = ["public GET /v1/latest/<name>", "federation GET /federation/v1/latest/of/all/<name>"]
        assert sorted(asked.unknown()) == sorted(routes)
        found = set(await asked.leaks())
        assert "public GET /v1/latest/<name>: oddities to another user" in found
        assert "public GET /v1/latest/<name>: parcels to another user" in found
        assert any(
            each.startswith("federation GET /federation/v1/latest/of/all/<name>: tasks") for each in found
        )
        assert all("/latest/" in each for each in found)


async def test_a_hidden_row_and_an_absent_one_are_told_alike(config: Path) -> None:
    """Status, headers and body, but for what the request itself named."""
    async with opened(config, "odd") as asked:
        client = asked.apps["federation"].test_client()
        for name, certificate in asked.outside.items():
            for resource, row_id in asked.rows.items():
                told = []
                for each in (row_id, str(uuid4())):
                    scope, headers = {"state": {"client_certificate": certificate}}, OF_ONE_REQUEST
                    path = f"/federation/v1/{resource}/{each}"
                    response = await client.get(path, headers=headers, scope_base=scope)
                    text = (await response.get_data()).decode().replace(each, "ID")
                    shown = sorted(h for h in response.headers.items() if h[0].lower() not in OF_EACH)
                    told.append((response.status_code, shown, text))
                assert told[0] == told[1], name
                assert told[0][0] == (403 if "revoked" in name else 404)


async def test_a_proposed_scope_is_tried_on_what_the_audit_log_holds(config: Path) -> None:
    """The hash of a row's id in the real log is the one that `scope simulate` looks for."""
    async with opened(config, "odd") as asked:
        host, client = asked.gateway.composition.view("federation"), asked.apps["federation"].test_client()
        scope = {"resources": ["tasks", "notes"], "include_personal": True}
        certificate = await a_certificate(host, "lead", scope)
        for path in ("tasks", f"tasks/{asked.rows['tasks']}", f"notes/{asked.rows['notes']}"):
            ask = {"scope_base": {"state": {"client_certificate": certificate}}}
            assert (await client.get(f"/federation/v1/{path}", **ask)).status_code == 200
        grant = (await Grants(host).all())[-1]
        narrower = scope | {"excluded_resources": [f"tasks/{asked.rows['tasks']}"]}
        found = await simulate(host, grant.id, narrower, days=1, progress=lambda _: None)
        assert found.lost == 1
        assert [(each.verb, each.resource, each.after) for each in found.requests] == [
            ("get", "notes", "answered"),
            ("get", "tasks", "refused"),
            ("list", "tasks", "answered"),
        ]
