"""Schemathesis against both listeners of a running gateway, by their documents: no 5xx, and no answer unlike them.

The generic routes of the public listener have a test of their own (gateway/tests/http/test_http_fuzz.py); here are
those of the plugins. ``FUZZ_EXAMPLES`` of each operation; more than in CI find more.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mosaic_federation.keys import key_pem, new_key, signing_request

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PEERS = Path(__file__).parents[2] / "docs" / "reference" / "peers.openapi.json"
#: What a run may not do: dial hosts that it makes up, or end the grant that it asks with.
SPARED = {"add_peer", "revoke_grant", "update_grant", "reissue_grant"}
LIMITS = {"requests_per_grant": 1_000_000, "requests_per_peer": 1_000_000, "requests_per_address": 1_000_000}


@pytest.fixture(scope="module")
def fuzzed(new_gateway: Callable[..., Any]) -> Any:
    made = new_gateway("work")
    config = json.loads(made.config.read_text())
    config["plugins"]["federation"]["limits"] = LIMITS
    made.config.write_text(json.dumps(config))
    made.start()
    for number in range(3):
        made.add("tasks", title=f"task {number}")
    return made


@pytest.fixture(scope="module")
def offer(fuzzed: Any) -> Any:
    return fuzzed.offer("--resource", "tasks", "--personal")


@pytest.fixture(scope="module")
def peer(fuzzed: Any, offer: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[requests.Session]:
    """What asks with an enrolled certificate."""
    key, folder = new_key(), tmp_path_factory.mktemp("peer")
    body = {"csr": signing_request(key).decode(), "name": "byhand"}
    issued = httpx.post(offer["url"].partition("#")[0], json=body, timeout=60).json()
    for name, content in (("ca", issued["ca"]), ("chain", issued["chain"]), ("key", key_pem(key).decode())):
        (folder / name).write_text(content)
    with requests.Session() as session:
        session.trust_env = False  # a bundle of the environment's would go before ours
        session.verify, session.cert = str(folder / "ca"), (str(folder / "chain"), str(folder / "key"))
        yield session


def operations(document: Any) -> Iterator[Any]:
    text = re.sub(r'"pattern": "[^"]*\\\\p\{[^"]*", ', "", json.dumps(document))  # Python's re knows no \p
    config, document = SchemathesisConfig(), json.loads(text)
    config.projects.default.generation.update(with_security_parameters=False)
    for found in schemathesis.openapi.from_dict(document, config=config).get_all_operations():
        yield found.ok()


def fuzz(operation: Any, ask: Callable[[Any], Any]) -> None:
    @given(case=operation.as_strategy())
    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    def run(case: Any) -> None:
        case.validate_response(ask(case), checks=CHECKS)

    run()


def test_what_peers_ask_is_answered_as_their_document_says(fuzzed: Any, peer: requests.Session) -> None:
    resources = ("tasks", "notes", "wikis")

    def ask(case: Any) -> Any:
        wanted = case.path_parameters.get("resource") if case.path_parameters else None
        if isinstance(wanted, str):  # any name is hardly a resource: let three of four be one
            case.path_parameters["resource"] = (*resources, wanted)[len(wanted) % 4]
        return case.call(base_url=fuzzed.link, session=peer, verify=peer.verify)

    for operation in operations(json.loads(PEERS.read_text())):
        fuzz(operation, ask)
    assert peer.get(f"{fuzzed.link}/federation/v1/tasks").status_code == 200


def test_plugins_routes_answer_as_the_public_document_says(fuzzed: Any, offer: Any) -> None:
    with fuzzed.http() as client:
        document = client.get("/openapi.json").json()
    document["paths"] = {
        path: item
        for path, item in document["paths"].items()
        if path.startswith(("/federation/", "/v1/admin/", "/v1/peers"))
    }
    headers = {"Authorization": f"Bearer {fuzzed.token}"}
    with requests.Session() as session:

        def ask(case: Any) -> Any:
            if "grant_id" in (case.path_parameters or {}) and len(str(case.path_parameters)) % 2:
                case.path_parameters["grant_id"] = quote(offer["id"])
            return case.call(base_url=fuzzed.public, session=session, headers=headers)

        for operation in operations(document):
            if operation.definition.raw["operationId"] not in SPARED:
                fuzz(operation, ask)


def test_nobody_without_a_certificate_or_a_token_gets_a_row(fuzzed: Any, peer: requests.Session) -> None:
    with fuzzed.http() as client:
        document = client.get("/openapi.json").json()
    open_to_all = 0
    for operation in operations(document):
        case = operation.Case(path_parameters=dict.fromkeys(_names(operation), str(uuid4())))
        answer = case.call(base_url=fuzzed.public)
        if operation.definition.raw.get("security") == []:
            open_to_all += 1
        else:
            assert answer.status_code in {401, 429}, (operation.label, answer.status_code)
    assert open_to_all == 5  # health, readiness, the document, and an enrollment URL's two
    for operation in operations(json.loads(PEERS.read_text())):
        case = operation.Case(path_parameters=dict.fromkeys(_names(operation), "tasks"))
        with (
            pytest.raises(
                requests.exceptions.ConnectionError, match=r"(?i)certificate.required|reset|closed|EOF"
            ),
            requests.Session() as stranger,
        ):
            stranger.trust_env = False
            case.call(base_url=fuzzed.link, session=stranger, verify=peer.verify)


def _names(operation: Any) -> list[str]:
    return [each.name for each in operation.path_parameters]
