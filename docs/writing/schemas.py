"""JSON documents of the reference, and the pages written by hand that hold a table of the code's."""

from __future__ import annotations

import json
import re
from importlib.metadata import version

from mosaic_federation.peer_openapi import peer_openapi
from mosaic_gateway.health.report import Diagnosis
from mosaic_gateway.http.openapi import listener_document
from mosaic_gateway.refusals import REFUSALS
from mosaic_hookspecs.scope import Scope
from mosaic_valkey.server import FAILURES, REPLIES
from writing import DOCS
from writing.markdown import between, table

_VALKEY = (*FAILURES, *REPLIES)


def doctor_schema() -> str:
    return _json({"$schema": "https://json-schema.org/draft/2020-12/schema", **Diagnosis.model_json_schema()})


def scope_schema() -> str:
    return _json(Scope.model_json_schema())


def peers() -> str:
    """What another gateway may ask: it is served by none."""
    paths = peer_openapi()["paths"]
    return _json(listener_document("Mosaic Gateway, for peers", version("mosaic-federation"), paths))


def scope() -> str:
    schema = Scope.model_json_schema()
    rows = []
    for name, key in schema["properties"].items():
        default = "required" if name in schema["required"] else f"`{json.dumps(key['default'])}`"
        rows.append([f"`{name}`", default, f"`{json.dumps(key['examples'][0])}`", key["description"]])
    text = (DOCS / "reference" / "scope.md").read_text()
    return between(text, "keys", table(["key", "unless given", "example", "meaning"], rows))


def troubleshooting() -> str:
    text = (DOCS / "how-to" / "troubleshooting.md").read_text()
    postgres = [[refusal_text(each.detail), refusal_text(each.remedy)] for each in REFUSALS.values()]
    valkey = dict.fromkeys((f"Valkey at *address* {detail}", remedy) for _, detail, remedy in _VALKEY)
    for name, rows in (("postgres", postgres), ("valkey", [list(row) for row in valkey])):
        text = between(text, name, table(["what it says", "what to do"], rows))
    return text


def refusal_text(template: str) -> str:
    return re.sub(r"'?\{(\w+)[^}]*\}'?", r"*\1*", template)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
