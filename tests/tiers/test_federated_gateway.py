"""The federated tier as its operator meets it, with a step-ca of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Home, TcpPostgres

Start = Callable[..., subprocess.Popen[str]]


def test_it_serves_users_and_has_what_federation_needs(federated: Home, running: Start) -> None:
    running(federated)
    assert federated.post("/v1/tasks", {"title": "Shared"})["version"] == 1
    plugins = {p["name"]: p["state"] for p in federated.json("plugins", "list")}
    loaded = {name for name, state in plugins.items() if state == "loaded"}
    assert {"postgres", "valkey", "audit", "federation", "step_ca", "workspace"} <= loaded
    assert plugins["embedded_ca"] == "installed"


def test_init_has_made_pgvector(federated: Home) -> None:
    told = json.loads(federated.run("gateway", "doctor", "--json", code=1))  # tests' Postgres has no fsync
    findings = {f["probe"]: f for f in told["findings"]}
    assert {name for name, f in findings.items() if f["status"] != "green"} == {"audit log"}
    assert findings["pgvector"]["status"] == "green"
    assert "may" not in findings["pgvector"]["detail"]


def test_peers_are_served_over_tls_on_a_port_of_their_own(federated: Home, running: Start) -> None:
    running(federated)
    port = json.loads(federated.config.read_text())["plugins"]["federation"]["listen"]["port"]
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 5) as raw, anyone.wrap_socket(raw) as tls:
        assert tls.getpeercert(binary_form=True)


def test_the_config_names_only_what_differs_from_the_tier(federated: Home) -> None:
    settings = {row["key"]: row for row in federated.json("gateway", "config", "show", "--origin")}
    assert settings["storage.enable_vector"] == {
        "key": "storage.enable_vector", "value": True, "origin": "tier federated",
    }  # fmt: skip
    assert settings["queue.type"]["origin"] == "tier federated"
    assert settings["plugins.federation.listen.port"]["origin"] == str(federated.config)


def test_another_queue_is_refused_with_the_reason(federated: Home) -> None:
    output = federated.run("gateway", "start", code=3, MOSAIC_QUEUE__TYPE="postgres")
    assert "queue.type (MOSAIC_QUEUE__TYPE): the tier 'federated' runs with 'bullmq' only" in output
    assert "runs with 'bullmq' only: a revoked grant" in output


def test_without_an_authority_it_does_not_start(federated_bare: Home) -> None:
    config = json.loads(federated_bare.config.read_text())
    del config["plugins"]["step_ca"]
    federated_bare.config.write_text(json.dumps(config))
    output = federated_bare.run("gateway", "start", code=3)
    assert "'federated' needs a certificate authority" in output
    assert "add plugins.step_ca to the config" in output


def test_a_server_without_pgvector_is_refused(federated: Home, server_postgres: TcpPostgres) -> None:
    url = server_postgres.url(asyncio.run(server_postgres.new_database()))
    output = federated.run("gateway", "start", code=5, MOSAIC_STORAGE__URL=url)
    assert "the server has no pgvector" in output
    assert "storage.enable_vector" in output


def test_without_the_role_that_peers_are_answered_as_it_does_not_start(
    federated: Home, vector_postgres: TcpPostgres
) -> None:
    database = asyncio.run(vector_postgres.new_database())
    asyncio.run(vector_postgres.execute("CREATE EXTENSION vector", database=database))
    asyncio.run(vector_postgres.execute("REVOKE mosaic_peer FROM mosaic"))
    try:
        output = federated.run("gateway", "start", code=5, MOSAIC_STORAGE__URL=vector_postgres.url(database))
    finally:
        asyncio.run(vector_postgres.execute("GRANT mosaic_peer TO mosaic"))
    assert "not ready: row security: the role mosaic_peer is not there, or not mosaic's to take" in output
    assert 'GRANT "mosaic_peer" TO "mosaic"' in output
