"""The service `postgres`: its flags, the role it makes and its healthcheck, run by this machine's Postgres."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

SERVICES = [("plain", "standalone.yml"), ("pgvector", "portainer/federated-test.stack.yml")]


@pytest.fixture(scope="module", params=SERVICES, ids=["plain", "pgvector"])
def box(request: pytest.FixtureRequest, postgres_service: Callable[[str, str], Any]) -> Any:
    """A compose file's Postgres, without and with pgvector installed."""
    started = postgres_service(*request.param)
    started.wait_until_healthy()
    return started


def ask(box: Any, sql: str, **environment: str) -> str:
    """What the gateway's role is answered; errors too."""
    password = (box.paths["/run/secrets"] / "postgres_mosaic").read_text().strip()
    login = {"PGHOST": "127.0.0.1", "PGUSER": "mosaic", "PGDATABASE": "mosaic", "PGPASSWORD": password}
    done = box.run("psql", "-XAtqc", sql, **(login | environment))
    return str(done.stdout + done.stderr).strip()


def test_the_gateways_role_gets_a_database_and_no_more(box: Any) -> None:
    assert ask(box, "CREATE SCHEMA mosaic; CREATE TABLE mosaic.t (n int); TABLE mosaic.t") == ""
    rights = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = 'mosaic'"
    assert ask(box, rights) == "f"


def test_pgvector_is_made_where_it_is_installed(box: Any, request: pytest.FixtureRequest) -> None:
    installed = ask(box, "SELECT name FROM pg_available_extensions WHERE name = 'vector'")
    assert installed or request.node.callspec.id == "plain"
    assert ask(box, "SELECT extname FROM pg_extension WHERE extname = 'vector'") == installed
    if installed:  # what the gateway says at each boot
        assert "permission denied" not in ask(box, "CREATE EXTENSION IF NOT EXISTS vector")


def test_every_login_needs_its_password(box: Any, passwords: dict[str, str]) -> None:
    for host in ("127.0.0.1", str(box.paths["/var/run/postgresql"])):
        assert "password authentication failed" in ask(box, "SELECT 1", PGHOST=host, PGPASSWORD="wrong")
        assert "password authentication failed" in ask(box, "SELECT 1", PGHOST=host, PGUSER="postgres")
    secret = box.paths["/run/secrets"] / "postgres_mosaic"
    secret.write_text("wrong\n")
    assert not box.healthy()
    secret.write_text(passwords["postgres_mosaic"])
    assert box.healthy()


def test_no_password_and_no_users_text_gets_into_the_log(box: Any, passwords: dict[str, str]) -> None:
    assert "does not exist" in ask(box, "SELECT 'a private note' FROM nothing")
    assert "does not exist" in box.log()
    for secret in (*passwords.values(), "a private note"):
        assert secret not in box.log()
