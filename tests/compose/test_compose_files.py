"""Every compose file is valid, and every service in it keeps the house rules.

`compose-spec.json` is schema/compose-spec.json of github.com/compose-spec/compose-go v2.16.2 (Apache-2.0,
Copyright 2020 The Compose Specification Authors), unchanged: docker compose checks files against the same.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import yaml

from mosaic_tier_federated.plugin import mosaic_tiers

COMPOSE = Path(__file__).parents[2] / "compose"
STACK = "portainer/federated-test.stack.yml"
FILES = {
    str(path.relative_to(COMPOSE)): yaml.safe_load(path.read_text()) for path in COMPOSE.glob("**/*.yml")
}
SCHEMA = jsonschema_rs.validator_for(json.loads((Path(__file__).parent / "compose-spec.json").read_text()))


def _services() -> list[tuple[str, str, dict[str, Any]]]:
    """Each service, with what it extends below it."""
    found = []
    for file, content in FILES.items():
        for name, service in content["services"].items():
            base = service.get("extends", {})
            below = FILES[base["file"]]["services"][base["service"]] if base else {}
            found.append((file, name, below | service))
    return found


SERVICES = [pytest.param(*each, id=f"{each[0]}:{each[1]}") for each in _services()]
each_service = pytest.mark.parametrize(("file", "name", "service"), SERVICES)


@pytest.mark.parametrize("file", FILES)
def test_the_file_follows_the_compose_specification(file: str) -> None:
    assert [error.message for error in SCHEMA.iter_errors(FILES[file])] == []


def test_a_misspelled_key_is_caught() -> None:
    content = yaml.safe_load((COMPOSE / "standalone.yml").read_text())
    content["services"]["valkey"]["helthcheck"] = {}
    assert not SCHEMA.is_valid(content)


@each_service
def test_the_service_is_confined(file: str, name: str, service: dict[str, Any]) -> None:
    user = service["user"].split(":")[0]
    assert user not in ("0", "root")
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service
    # compose writes a secret that comes from the environment into the container: not into a read-only one
    assert service.get("read_only", False) == (file != STACK)


@each_service
def test_the_image_is_pinned_to_one_version(file: str, name: str, service: dict[str, Any]) -> None:
    assert re.search(r":v?\d+\.\d+(\.\d+)?[\w.-]*}?$", service["image"])


@each_service
def test_the_service_says_whether_it_is_healthy(file: str, name: str, service: dict[str, Any]) -> None:
    if name == "gateway":  # by its image
        assert "HEALTHCHECK" in (COMPOSE / "gateway" / "Dockerfile").read_text()
    else:
        assert {"test", "interval", "timeout", "start_period"} <= service["healthcheck"].keys()


@each_service
def test_passwords_are_in_files_only(file: str, name: str, service: dict[str, Any]) -> None:
    secrets = {each if isinstance(each, str) else each["source"] for each in service["secrets"]}
    for key in service.get("environment", {}):
        assert "PASSWORD" not in key or key.endswith("_FILE"), (
            f"{key}: an engine shows the environment to anyone"
        )
    if name == "gateway":
        assert secrets == {"postgres_mosaic", "valkey"}, (
            "the superuser's password is not the gateway's business"
        )


@each_service
def test_only_peers_reach_a_port_from_outside(file: str, name: str, service: dict[str, Any]) -> None:
    outside = [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
    assert outside == (["${FEDERATION_PORT:-8443}:8443"] if (file, name) == (STACK, "gateway") else [])


def test_the_federated_services_are_where_the_tier_looks_for_them_and_wait_for_their_profile() -> None:
    (tier,) = mosaic_tiers()
    services = FILES["federated.yml"]["services"]
    assert all(service["profiles"] == ["federated"] for service in services.values())
    published = {name: service["ports"] for name, service in services.items()}
    ports = (urlsplit(tier.storage_url).port, urlsplit(tier.queue_url).port)
    assert published == {
        "postgres-federated": [f"127.0.0.1:{ports[0]}:5432"],
        "valkey-federated": [f"127.0.0.1:{ports[1]}:6379"],
    }


def test_the_stack_is_one_file_that_says_the_same() -> None:
    """Portainer takes one file: what it repeats must not drift."""
    standalone, stack = FILES["standalone.yml"], FILES[STACK]
    role = (COMPOSE / "postgres" / "role.sh").read_text()
    assert stack["configs"]["postgres_role"]["content"].replace("$$", "$") == role
    for name in ("postgres", "valkey"):
        for key in ("command", "environment", "healthcheck", "stop_grace_period"):
            assert stack["services"][name].get(key) == standalone["services"][name].get(key), f"{name}.{key}"
    assert "file:" not in (COMPOSE / STACK).read_text()
    assert "build:" not in (COMPOSE / STACK).read_text()
