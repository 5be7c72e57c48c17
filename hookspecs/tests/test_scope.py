"""The scope model, what it refuses and where, and the JSON Schema that says the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mosaic_hookspecs.scope import LONGEST, Scope, gateway_faults, like_credentials, shape_faults

LEAST = {"resources": ["tasks"], "include_personal": True}
SHARED = {"tasks": ("id", "title", "status"), "notes": ("id", "title"), "api_tokens": ("id",)}
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SCHEMA = jsonschema_rs.validator_for(Scope.model_json_schema(), validate_formats=True)


def faults(**changes: Any) -> dict[str, str]:
    try:
        scope = Scope.model_validate_json(json.dumps(LEAST | changes))
    except ValidationError as error:
        found = shape_faults(error)
    else:
        found = list(gateway_faults(scope, SHARED, (), NOW))
    assert len({fault.where for fault in found}) == len(found)
    return {fault.where: fault.message for fault in found}


SHAPES = [
    ({"everything": True}, "scope.everything", "not permitted"),
    ({"resources": []}, "scope.resources", "at least 1"),
    ({"resources": "tasks"}, "scope.resources", "valid array"),
    ({"resources": [["tasks"]]}, "scope.resources[0]", "valid string"),
    ({"resources": ["tasks", "tasks"]}, "scope.resources", "more than once"),
    ({"resources": ["tasks", "Notes"]}, "scope.resources[1]", "plain name"),
    ({"resources": ["tasks\n"]}, "scope.resources[0]", "plain name"),
    ({"resources": ["t" * 64]}, "scope.resources[0]", "at most 63"),
    ({"excluded_resources": ["notes", "notes"]}, "scope.excluded_resources", "more than once"),
    ({"excluded_resources": ["notes/1"]}, "scope.excluded_resources[0]", "resource/row-id"),
    ({"excluded_resources": ["*"]}, "scope.excluded_resources[0]", "resource/row-id"),
    ({"excluded_resources": ["tasks"]}, "scope", "every resource is also"),
    ({"include_teams": "some"}, "scope.include_teams", "'all'"),
    ({"include_teams": ["garden"]}, "scope.include_teams[0]", "is a UUID"),
    ({"include_teams": None}, "scope.include_teams", "valid array"),
    ({"include_personal": False}, "scope", "shares nothing"),
    ({"include_personal": 1}, "scope.include_personal", "valid boolean"),
    ({"fields": {"tasks": []}}, "scope.fields.tasks", "at least 1"),
    ({"fields": {"tasks": "title"}}, "scope.fields.tasks", "valid array"),
    ({"fields": {"tasks": ["title", "title"]}}, "scope.fields.tasks", "more than once"),
    ({"fields": {"tasks": ["*"]}}, "scope.fields.tasks[0]", "plain name"),
    ({"fields": {"Tasks": ["title"]}}, "scope.fields.Tasks", "plain name"),
    ({"fields": {"tásks": ["title"]}}, "scope.fields.'t\\xe1sks'", "plain name"),
    ({"fields": [["tasks", "title"]]}, "scope.fields", "an object"),
    ({"max_rows_per_query": 0}, "scope.max_rows_per_query", "greater than or equal to 1"),
    ({"max_rows_per_query": 1001}, "scope.max_rows_per_query", "less than or equal to 1000"),
    ({"max_rows_per_query": "5"}, "scope.max_rows_per_query", "valid integer"),
    ({"max_rows_per_day": 0}, "scope.max_rows_per_day", "greater than or equal to 1"),
    ({"max_rows_per_day": -1}, "scope.max_rows_per_day", "greater than or equal to 1"),
    ({"max_rows_per_day": 1.5}, "scope.max_rows_per_day", "integer"),
    ({"expires_at": "tomorrow"}, "scope.expires_at", "RFC 3339"),
    ({"expires_at": 1_900_000_000}, "scope.expires_at", "RFC 3339"),
    ({"expires_at": "1900000000"}, "scope.expires_at", "RFC 3339"),
    ({"expires_at": "2027-01-01T00:00:00"}, "scope.expires_at", "timezone"),
]  # fmt: skip

CONTRADICTIONS = [
    ({"resources": ["task"]}, "scope.resources[0]", "did you mean 'tasks'?"),
    ({"resources": ["users"]}, "scope.resources[0]", "known:"),
    ({"resources": ["tasks", "api_tokens"]}, "scope.resources[1]", "like credentials"),
    ({"excluded_resources": ["taks"]}, "scope.excluded_resources[0]", "did you mean 'tasks'?"),
    ({"fields": {"notes": ["title"]}}, "scope.fields.notes", "not in resources"),
    ({"fields": {"tasks": ["title", "titel"]}}, "scope.fields.tasks[1]", "did you mean 'title'?"),
    ({"resources": ["tasks", "notes"], "excluded_resources": ["notes"], "fields": {"notes": ["title"]}},
     "scope.fields.notes", "also in excluded_resources"),
    ({"include_teams": [str(UUID(int=7))]}, "scope.include_teams[0]", "no team of the subject"),
    ({"expires_at": "2026-05-31T23:59:59Z"}, "scope.expires_at", "in the past"),
    ({"expires_at": "2026-06-01T00:00:00Z"}, "scope.expires_at", "in the past"),
    ({"expires_at": "2066-06-01T00:00:00Z"}, "scope.expires_at", "3650 days"),
    ({"expires_at": "9999-12-31T23:59:59-23:00"}, "scope.expires_at", "years 1 to 9999"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "where", "says"), [*SHAPES, *CONTRADICTIONS])
def test_what_cannot_be_is_refused_with_the_place(changes: Any, where: str, says: str) -> None:
    found = faults(**changes)
    assert list(found) == [where]
    assert says in found[where]


@pytest.mark.parametrize("changes", [changes for changes, where, _ in SHAPES if where != "scope"])
def test_the_schema_refuses_the_same_shapes(changes: Any) -> None:
    assert not SCHEMA.is_valid(LEAST | changes)


columns = st.lists(st.sampled_from(["title", "status", "id"]), min_size=1, unique=True)
scopes = st.fixed_dictionaries(
    {"resources": st.just(["tasks", "notes"])},
    optional={
        "excluded_resources": st.lists(st.uuids().map(lambda row: f"notes/{row}"), unique=True, max_size=3),
        "include_teams": st.just("all") | st.lists(st.uuids().map(str), unique=True, max_size=3),
        "include_personal": st.booleans(),
        "fields": st.dictionaries(st.sampled_from(["tasks", "notes"]), columns),
        "max_rows_per_query": st.integers(-1, 1002),
        "max_rows_per_day": st.none() | st.integers(-1, 10**13),
        "expires_at": st.none() | st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    },
)


@given(scopes)
def test_schema_and_model_agree_and_what_is_stored_is_read_again(written: dict[str, Any]) -> None:
    try:
        scope = Scope.model_validate_json(json.dumps(written))
    except ValidationError as error:
        about_it_all = all(fault.where == "scope" for fault in shape_faults(error))  # no schema says that
        assert about_it_all or not SCHEMA.is_valid(written)
        return
    assert SCHEMA.is_valid(written)
    stored = scope.model_dump_json()
    assert SCHEMA.is_valid(json.loads(stored))
    assert Scope.model_validate_json(stored) == scope


def test_a_scope_of_the_last_release_stays_valid() -> None:
    stored = {
        "resources": ["tasks"], "include_teams": [str(uuid4())], "include_personal": True,
        "excluded_resources": [f"tasks/{uuid4()}"], "max_rows_per_query": 50,
    }  # fmt: skip
    scope = Scope.model_validate_json(json.dumps(stored))
    assert (scope.columns("tasks"), scope.max_rows_per_day, scope.expires_at) == (None, None, None)
    assert not scope.has_ended(NOW + LONGEST)


def test_the_id_is_always_shown() -> None:
    scope = Scope(resources=("tasks",), include_personal=True, fields={"tasks": ("title",)})
    assert scope.columns("tasks") == {"id", "title"}
    assert scope.columns("notes") is None


def test_an_end_is_reached_at_its_very_moment() -> None:
    scope = Scope(resources=("tasks",), include_personal=True, expires_at=NOW)
    assert scope.has_ended(NOW)
    assert not scope.has_ended(NOW - timedelta(microseconds=1))


CREDENTIALS = (
    "tokens", "token", "api_tokens", "oauth_token_log", "authtokens", "credentials", "user_credential", "secrets",
    "user_secrets", "passwords", "password_hashes", "passwd", "passphrases", "api_keys", "apikeys", "keys", "ssh_keys",
    "private_key", "session_key", "otps", "totp_seeds",
)  # fmt: skip


@pytest.mark.parametrize("name", CREDENTIALS)
def test_resources_named_like_credentials_are_shared_by_no_scope(name: str) -> None:
    assert like_credentials(name)
    scope = Scope(resources=(name, "tasks"), include_personal=True)
    assert not scope.allows(name)
    assert scope.allows("tasks")


@pytest.mark.parametrize(
    "name", ["tasks", "notes", "key_results", "secretaries", "monkeys", "robots", "turkeys", "tokenizers"]
)
def test_other_names_are_not_taken_for_credentials(name: str) -> None:
    assert not like_credentials(name)
