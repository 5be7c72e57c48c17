"""Health, readiness, who am I, and the OpenAPI document."""

from __future__ import annotations

from typing import Literal

import jsonschema_rs
import pytest
from pydantic import BaseModel, ConfigDict
from schemathesis import openapi

from mosaic_gateway.http import public_app
from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.types import Finding, Resource


async def test_healthz_is_alive_without_asking_anything(anonymous) -> None:
    assert await (await anonymous.get("/healthz")).get_json() == {"status": "alive"}


@pytest.mark.parametrize(("status", "expected"), [("green", 200), ("yellow", 200), ("red", 503)])
async def test_readyz_shows_names_and_status_of_probes_and_no_detail(
    anonymous, services, status, expected
) -> None:
    services.findings = [
        ("database", Finding("green", "12 ms")),
        ("disk", Finding(status, "/secret/path is full", "delete /secret/path")),
    ]
    answer = await anonymous.get("/readyz")
    assert answer.status_code == expected
    assert await answer.get_json() == {
        "status": "ready" if expected == 200 else "unready",
        "probes": [{"name": "database", "status": "green"}, {"name": "disk", "status": status}],
    }
    assert ("Retry-After" in answer.headers) == (expected == 503)


async def test_me_is_the_user_and_their_teams(ada, services) -> None:
    team = await services.identities.add_team("alpha", "Alpha")
    await services.identities.add_member("alpha", "ada")
    await services.identities.add_team("beta", "Beta")
    assert await (await ada.get("/v1/me")).get_json() == {
        "id": ada.user_id,
        "username": "ada",
        "admin": False,
        "teams": [{"id": str(team.id), "slug": "alpha", "name": "Alpha"}],
    }


async def test_resources_are_listed(ada) -> None:
    items = (await (await ada.get("/v1/resources")).get_json())["items"]
    assert {item["name"] for item in items} == {"tasks", "notes"}
    assert all(item["summary"] for item in items)


async def test_a_lost_database_is_503_on_a_real_pool(ada, pool) -> None:
    assert (await ada.get("/v1/tasks")).status_code == 200
    await pool._target.close()
    answer = await ada.get("/v1/tasks")
    assert answer.status_code == 503
    assert answer.content_type == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0


@pytest.fixture
async def document(anonymous):
    return await (await anonymous.get("/openapi.json")).get_json()


async def test_the_document_is_valid_openapi_3_1(document) -> None:
    openapi.from_dict(document).validate()


async def test_the_document_tells_the_version_and_every_route(app, document) -> None:
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == "1.2.3"
    served = set()
    for rule in app.url_map.iter_rules():
        for name in ("tasks", "notes"):
            path = rule.rule.replace("<resource:resource>", name).replace("<row:row_id>", "{id}")
            served |= {(path, method.lower()) for method in rule.methods - {"HEAD"}}
    methods = {"get", "post", "patch", "delete", "put"}
    written = {
        (path, method) for path, item in document["paths"].items() for method in item if method in methods
    }
    assert written == served


async def test_only_the_open_routes_are_without_security(document) -> None:
    assert document["security"] == [{"token": []}]
    loose = {path for path, item in document["paths"].items() if item.get("get", {}).get("security") == []}
    assert loose == {"/healthz", "/readyz", "/openapi.json"}


async def test_no_two_operations_share_a_name(document) -> None:
    names = [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]
    assert len(names) == len(set(names))


async def test_a_real_row_a_real_page_and_a_real_problem_fit_their_schemas(ada, document) -> None:
    row = await (await ada.post("/v1/tasks", json={"title": "Buy oats"})).get_json()
    page = await (await ada.get("/v1/tasks")).get_json()
    found = await (await ada.get("/v1/tasks/search?q=oats")).get_json()
    refusal = await (await ada.post("/v1/tasks", json={})).get_json()
    for name, value in {
        "tasks.item": row,
        "tasks.page": page,
        "tasks.found": found,
        "Problem": refusal,
    }.items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.validator_for(whole).validate(value)
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validator_for(whole).validate(value | {"surprise": 1})


class Bed(BaseModel):
    """A model with an example, a choice and something nested."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"crop": "oats"}]})

    crop: str
    soil: Soil | None = None
    state: Literal["sown", "fallow"] = "fallow"


class Soil(BaseModel):
    depth: int


async def test_the_examples_of_a_model_appear_and_fit_their_schemas(services, pool) -> None:
    services.rows = ResourceRows(pool, [Resource("beds", Bed, "Beds of a garden")], lambda: [b"k" * 32])
    document = await (await public_app(services).test_client().get("/openapi.json")).get_json()
    paths, components = document["paths"], document["components"]
    body = paths["/v1/beds"]["post"]["requestBody"]["content"]["application/json"]
    item = paths["/v1/beds/{id}"]["get"]["responses"]["200"]["content"]["application/json"]
    assert body["example"] == {"crop": "oats"}
    assert item["example"]["state"] == "fallow"
    medias = [
        body,
        item,
        *(each["content"]["application/problem+json"] for each in components["responses"].values()),
    ]
    for media in medias:
        whole = media["schema"] | {"components": components}
        jsonschema_rs.validator_for(whole).validate(media["example"])


async def test_a_resource_without_text_has_no_search_in_the_document(services, pool) -> None:
    services.rows = ResourceRows(pool, [Resource("beds", Bed, "Beds of a garden")], lambda: [b"k" * 32])
    document = await (await public_app(services).test_client().get("/openapi.json")).get_json()
    assert "/v1/beds/search" not in document["paths"]
    openapi.from_dict(document).validate()
