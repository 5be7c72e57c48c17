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


def _is_gateway(service: dict[str, Any]) -> bool:
    return "mosaic-gateway:" in service["image"] and "command" not in service


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
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name.endswith("step-ca") else [])
    # compose writes a secret that comes from the environment into the container: not into a read-only one
    assert service.get("read_only", False) == (file != STACK or not service.get("secrets"))


@each_service
def test_the_image_is_pinned_to_one_version(file: str, name: str, service: dict[str, Any]) -> None:
    assert re.search(r":v?\d+\.\d+(\.\d+)?[\w.-]*}?$", service["image"])


@each_service
def test_the_service_says_whether_it_is_healthy(file: str, name: str, service: dict[str, Any]) -> None:
    if _is_gateway(service):  # by its image
        assert "HEALTHCHECK" in (COMPOSE / "gateway" / "Dockerfile").read_text()
    elif name.endswith("ca-init"):  # ends: its authority waits for that
        assert (service["healthcheck"], service["restart"]) == ({"disable": True}, "no")
        waits = FILES[file]["services"][name.replace("ca-init", "step-ca")]["depends_on"][name]
        assert waits == {"condition": "service_completed_successfully"}
    else:
        assert {"test", "interval", "timeout", "start_period"} <= service["healthcheck"].keys()


@each_service
def test_passwords_are_in_files_only(file: str, name: str, service: dict[str, Any]) -> None:
    secrets = {each if isinstance(each, str) else each["source"] for each in service.get("secrets", ())}
    for key in service.get("environment", {}):
        assert "PASSWORD" not in key or key.endswith("_FILE"), (
            f"{key}: an engine shows the environment to anyone"
        )
    if _is_gateway(service) or name.endswith("ca-init"):
        assert secrets == {"postgres_mosaic", "valkey"}, (
            "the superuser's password is not the gateway's business"
        )


@each_service
def test_only_peers_reach_a_port_from_outside(file: str, name: str, service: dict[str, Any]) -> None:
    outside = [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
    gateways = {(STACK, "gateway"), ("federated.yml", "gateway-federated")}
    assert outside == (["${FEDERATION_PORT:-8443}:8443"] if (file, name) in gateways else [])


@each_service
def test_keys_stay_apart(file: str, name: str, service: dict[str, Any]) -> None:
    """The root's key, the authority's keys and the gateway's are in three volumes; only ca-init has all."""
    volumes = service.get("volumes", ())
    held = {each["source"] if isinstance(each, dict) else each.split(":")[0] for each in volumes}
    if name.endswith("ca-init"):
        prefix = name.removesuffix("ca-init")
        gateway = prefix.removesuffix("-") or "gateway"
        assert held == {gateway, f"{prefix}step-ca", f"{prefix}step-ca-root"}
        assert service["networks"] == ["data"]
    else:
        assert len(held) == 1
        assert not held.pop().endswith("-root")


def test_the_federated_services_are_where_the_tier_looks_for_them_and_wait_for_their_profile() -> None:
    (tier,) = mosaic_tiers()
    services = FILES["federated.yml"]["services"]
    assert all(service["profiles"] == ["federated"] for service in services.values())
    published = {name: services[name]["ports"] for name in ("postgres-federated", "valkey-federated")}
    ports = (urlsplit(tier.storage_url).port, urlsplit(tier.queue_url).port)
    assert published == {
        "postgres-federated": [f"127.0.0.1:{ports[0]}:5432"],
        "valkey-federated": [f"127.0.0.1:{ports[1]}:6379"],
    }


def test_the_stack_is_one_file_that_says_the_same() -> None:
    """Portainer takes one file: what it repeats must not drift."""
    stack = FILES[STACK]
    written = FILES["standalone.yml"]["services"] | FILES["federated.yml"]["services"]
    role = (COMPOSE / "postgres" / "role.sh").read_text()
    assert stack["configs"]["postgres_role"]["content"].replace("$$", "$") == role
    for name in ("postgres", "valkey", "step-ca", "ca-init"):
        for key in ("command", "entrypoint", "working_dir", "healthcheck", "stop_grace_period", "volumes"):
            assert stack["services"][name].get(key) == written[name].get(key), f"{name}.{key}"
    for name in ("postgres", "step-ca"):
        assert stack["services"][name]["environment"] == written[name]["environment"], name
    for name in ("gateway", "ca-init"):
        assert stack["services"][name]["environment"].keys() >= written[name]["environment"].keys()
    assert stack["services"]["step-ca"]["image"] == written["step-ca"]["image"]
    assert "file:" not in (COMPOSE / STACK).read_text()
    assert "build:" not in (COMPOSE / STACK).read_text()


@pytest.mark.parametrize("name", ["work", "home"])
def test_the_two_gateways_are_as_the_federated_one(name: str) -> None:
    two, one = FILES["two-gateways.yml"]["services"], FILES["federated.yml"]["services"]
    for kind in ("postgres", "valkey"):
        assert two[f"{name}-{kind}"]["extends"] == one[f"{kind}-federated"]["extends"]
        assert two[f"{name}-{kind}"].get("image") == one[f"{kind}-federated"].get("image")
    ours, theirs = two[f"{name}-step-ca"], one["step-ca"]
    for key in ("image", "command", "entrypoint", "working_dir", "healthcheck", "environment", "networks"):
        assert ours[key] == theirs[key], key
    init = [word.replace(f"{name}-step-ca", "step-ca") for word in two[f"{name}-ca-init"]["command"]]
    assert init == one["ca-init"]["command"]
