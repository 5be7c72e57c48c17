"""reference/http.md: the routes that the listeners really have, and what their documents say of each"""

from __future__ import annotations

import json
import re
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from mosaic_federation.peer_openapi import peer_openapi
from mosaic_gateway.compose import Composition, compose
from mosaic_gateway.config import Source
from mosaic_gateway.http import listener_app, metrics_mount, public_app
from mosaic_gateway.http.openapi import document, listener_document
from mosaic_gateway.resources import ResourceRows
from mosaic_gateway.sources import Fanout
from writing import DOCS
from writing.markdown import fence, page, table

#: Plugins that are made up with what every tier has: they bring the routes there are.
PLUGINS = ("workspace", "audit", "embedded_ca", "federation", "mcp")
#: A resource that stands for all: their routes are the same.
FOR_ALL = "tasks"
RUN_BY = "tests/federation/test_route_examples.py"
#: Each listener's heading, and its address in the examples.
_LISTENERS = {
    "public": ("The public listener", "$GATEWAY"),
    "federation": ("The listener for peers", "$PEER"),
    "metrics": ("The listener for figures", "http://127.0.0.1:9464"),
}
_MOST_SHOWN = 8  # words of an enumeration
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True)
class Route:
    """One method of one path, as a listener has it."""

    listener: str
    method: str
    path: str  # as in its document

    @property
    def shown(self) -> str:
        return f"{self.method} " + re.sub(rf"^/v1/{FOR_ALL}(?=/|$)", "/v1/{resource}", self.path)


@cache
def composed() -> Composition:
    data: dict[str, Any] = {"tier": "local", "name": "work", "data_dir": "data"}
    data |= {"metrics": {"bind": "127.0.0.1:9464"}, "plugins": {name: {} for name in PLUGINS}}
    return compose(Source(Path(tempfile.gettempdir()) / "mosaic.config.json", data))


@cache
def services() -> Any:
    composition = composed()
    rows = ResourceRows(cast(Any, None), list(composition.host.resources), lambda: [b""])
    return SimpleNamespace(
        name="work",
        version=version("mosaic-gateway"),
        rows=rows,
        sources=Fanout(rows, (), lambda: [b""]),
        mounts=composition.mounts,
        identities=None,
        limiter=composition.limiter,
        max_body_bytes=1,
        source_seconds=2,
    )


@cache
def registered() -> list[Route]:
    """Routes in the order of being registered."""
    found = list(_routes("public", public_app(services())))
    for listener in composed().listeners[1:]:
        app = listener_app(listener.name, [metrics_mount(None), *composed().mounts], max_body_bytes=1)
        found += _routes(listener.name, app)
    return found


def _routes(listener: str, app: Any) -> Iterator[Route]:
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        if listener == "public" and "<resource:resource>" in rule.rule:
            path = path.replace("{resource}", FOR_ALL).replace("{row_id}", "{id}")
        for method in sorted(rule.methods & _METHODS):
            yield Route(listener, method, path)


@cache
def documents() -> dict[str, Any]:
    """The OpenAPI document of each listener."""
    paths = peer_openapi()["paths"]
    return {
        "public": json.loads(document(services())),
        "federation": listener_document("Mosaic Gateway, for peers", version("mosaic-federation"), paths),
        "metrics": {**metrics_mount(None).openapi, "components": {}},
    }


def operation_of(route: Route) -> Any:
    """What the listener's document says of a route; nothing where it says nothing, which a test finds."""
    return documents()[route.listener]["paths"].get(route.path, {}).get(route.method.lower())


@cache
def examples() -> dict[str, Any]:
    """The first request of each operation, by listener and operation."""
    read = tomllib.loads((DOCS / "examples" / "requests.toml").read_text())
    return {each["of"]: each for each in reversed(read["request"])}


def routes() -> str:
    parts = [
        "# HTTP routes",
        "Every route of every listener, as they are registered. The public one "
        "serves its own document at `/openapi.json`; that of the other is [peers.openapi.json](peers.openapi.json). "
        "Any answer may be a problem ([errors](errors.md)); `internal-error` and `unavailable` are not listed with "
        f"each. The examples are [requests.toml](../examples/requests.toml), run against a gateway by `{RUN_BY}`.",
    ]
    for listener, (head, _) in _LISTENERS.items():
        parts.append(f"## {head}")
        for route in registered():
            if route.listener == listener and (operation := operation_of(route)):
                parts += _section(route, operation)
    return page(parts)


def _section(route: Route, operation: Any) -> list[str]:
    summary = operation["summary"].rstrip(".?") + ("?" if operation["summary"].endswith("?") else ".")
    parts = [f"### {route.shown}", f"{summary} **For** {_who(route, operation)}."]
    if parameters := _parameters(route, operation):
        parts.append(table(["parameter", "in", "takes", ""], parameters))
    parts.append(f"**Answers** {_answers(route, operation)}.")
    if example := examples().get(f"{route.listener} {operation['operationId']}"):
        parts.append(fence("sh", shown_request(route.listener, example)))
    return parts


def _who(route: Route, operation: Any) -> str:
    """Whom the document lets in. Role names are OpenAPI 3.1's: what else the token must be."""
    whole = documents()[route.listener]
    schemes = operation.get("security", whole.get("security"))
    if not schemes:
        return "anyone"
    ((scheme, roles),) = schemes[0].items()
    return {
        "token": "an admin's token" if "admin" in roles else "a user's token",
        "certificate": "a peer's client certificate",
    }[scheme]


def _parameters(route: Route, operation: Any) -> list[list[str]]:
    of_path = documents()[route.listener]["paths"][route.path].get("parameters", [])
    every = [_resolved(route, each) for each in (*of_path, *operation.get("parameters", []))]
    columns = set(_columns()) if route.path.startswith(f"/v1/{FOR_ALL}") else set()
    shown = [each for each in every if each["name"].partition(".")[0] not in columns or each["in"] != "query"]
    rows = [[f"`{each['name']}`", each["in"], _takes(each), _words(each)] for each in shown]
    if len(shown) < len(every):
        words = "Only rows where it is so; the operators of a column are those of its type."
        rows.append(["`column`, `column.gte`, …", "query", "a value", words])
    if body := operation.get("requestBody"):
        schema = next(iter(body["content"].values()))["schema"]
        rows.append(
            ["body", "", _shape(route, schema), "" if body.get("required", True) else "May be left out."]
        )
    return rows


def _columns() -> Iterator[str]:
    schema = documents()["public"]["components"]["schemas"][f"{FOR_ALL}.item"]
    yield from schema["properties"]


def _words(parameter: Any) -> str:
    words: str = parameter.get("description", "")
    if parameter["in"] == "query" and parameter.get("required"):
        return f"Required. {words}".strip()
    return words


def _takes(parameter: Any) -> str:
    schema = parameter["schema"]
    if len(schema.get("enum", ())) > _MOST_SHOWN:
        return f"one of {len(schema['enum'])} words"
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    kind = schema.get("format") or schema.get("type", "text")
    named = {"string": "text", "boolean": "true or false", "integer": "a whole number", "number": "a number"}
    bounds = [
        f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema
    ]
    return " ".join([named.get(str(kind), str(kind)), *bounds])


def _shape(route: Route, schema: Any) -> str:
    """The keys of a body, those that are required in bold."""
    if "$ref" in schema:
        schema = _resolved(route, schema)
    required = schema.get("required", [])
    keys = [f"**`{key}`**" if key in required else f"`{key}`" for key in schema.get("properties", {})]
    return ", ".join(keys) or "an object"


def _answers(route: Route, operation: Any) -> str:
    """The statuses, and the codes of problems."""
    done, codes = [], []
    for status, response in sorted(operation["responses"].items()):
        whole = _resolved(route, response)
        named = re.search(r"urn:mosaic:problem:([a-z-]+)", whole["description"])
        if status in {"500", "503"} and named:
            continue
        if named:
            codes.append(f"[{status} `{named[1]}`](errors.md#{named[1]})")
        else:
            done.append(f"`{status}`")
    return ", ".join(done) + (f"; problems {', '.join(codes)}" if codes else "")


def _resolved(route: Route, thing: Any) -> Any:
    while "$ref" in thing:
        _, kind, name = thing["$ref"].removeprefix("#/").split("/")
        thing = documents()[route.listener]["components"][kind][name]
    return thing


def shown_request(listener: str, example: Any) -> str:
    """The request as curl would make it, with what earlier ones answered in variables."""
    method, _, path = example["send"].partition(" ")
    words = ["curl"] + ([] if method == "GET" else [f"-X {method}"])
    if listener == "federation":
        words += ["--cacert ca.pem --cert chain.pem --key key.pem"]
    elif not example.get("anonymous"):
        words += ['-H "Authorization: Bearer $TOKEN"']
    words += [f"-H '{name}: {value}'" for name, value in example.get("headers", {}).items()]
    if body := example.get("body"):
        text = re.sub(r'"\{(\w+)\}"', lambda m: f'"\'"${m[1].upper()}"\'"', body)
        words += ["-H 'Content-Type: application/json'", f"-d '{text}'"]
    _, base = _LISTENERS[listener]
    path = re.sub(r"\{(\w+)\}", lambda m: f"${m[1].upper()}", path)
    return " ".join([*words, f'"{base}{path}"'])
