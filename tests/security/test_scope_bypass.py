"""Ways around a scope: other spellings of a name, when a grant is made and when its peer asks. None leads past it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from folders import remove
from mosaic_federation.enrollment import Enrollment
from mosaic_federation.grants import Grants
from mosaic_federation.keys import new_key, signing_request
from mosaic_federation.listener import peer_mount
from mosaic_federation.scopes import read_scope
from mosaic_gateway.boot import open_gateway
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_gateway.http import listener_app
from mosaic_hookspecs.errors import Invalid
from mosaic_runs import run_mosaic

PRIVATE = "confidential figures"  # text of a column that is not shared
LOOKALIKES = {
    "full width": "ｎｏｔｅｓ",
    "Cyrillic o": "n\u043etes",
    "Greek omicron": "n\u03bftes",
    "long s": "note\u017f",
    "bold": "𝐧𝐨𝐭𝐞𝐬",
    "accent": "no\u0302tes",
    "composed accent": unicodedata.normalize("NFC", "no\u0302tes"),
    "zero width": "no\u200btes",
    "right to left": "\u202esetton",
    "soft hyphen": "no\u00adtes",
    "upper case": "NOTES",
    "one capital": "Notes",
    "dotless i": "f\u0131elds",
    "NUL": "notes\0",
    "inner NUL": "no\0tes",
    "space": "notes ",
    "leading space": " notes",
    "new line": "notes\n",
    "tab": "notes\t",
    "quotes": '"notes"',
    "SQL": 'notes"; DROP TABLE notes --',
    "wildcard": "*",
    "pattern": "note%",
    "any": "n?tes",
    "dot": "notes.body",
    "schema": "mosaic.notes",
    "path": "../notes",
    "inner path": "tasks/../notes",
    "slash": "notes/",
    "back slash": "notes\\",
    "escaped": "%6eotes",
    "doubly escaped": "%256eotes",
    "over-long": "notes" + "s" * 100,
    "very long": "n" * 100_000,
    "empty": "",
    "negation": "!tasks",
    "half a pair": "notes\ud800",
}
NESTED: list[Any] = [["notes"], {"notes": True}, [["notes"]], None, True, 1, {"$ne": "tasks"}, [None], [[]]]


@dataclass
class Gateway:
    """A gateway whose lead shares the titles of tasks, and no notes; asked as its peer asks."""

    host: Any
    client: Any
    certificate: bytes
    grant_id: Any
    task: str
    note: str

    async def ask(self, path: str) -> tuple[int, str]:
        scope = {"state": {"client_certificate": self.certificate}}
        response = await self.client.get(f"/federation/v1/{path}", scope_base=scope)
        return response.status_code, (await response.get_data()).decode()

    async def make(self, scope: Any) -> list[str]:
        """Try to make a grant; return where it was refused."""
        text = scope if isinstance(scope, str) else json.dumps(scope)
        grants = Grants(self.host)
        before = len(await grants.all())
        with pytest.raises(Invalid) as caught:
            await grants.create(subject="lead", peer="home", scope=read_scope(text), actor="test")
        assert len(await grants.all()) == before
        told = str(caught.value)
        assert len(told) < 2000
        assert all(c.isprintable() or c == "\n" for c in told)
        assert caught.value.faults
        return [fault.where for fault in caught.value.faults]


@pytest.fixture(scope="module")
def config() -> Iterator[Path]:
    parent = Path(mkdtemp(prefix="mosaic-scope-", dir="/tmp"))  # Postgres may run as another user
    parent.chmod(0o711)
    done = run_mosaic("gateway", "init", parent / "work", "--admin", "lead")
    assert done.returncode == 0, done.stderr
    yield parent / "work" / "mosaic.config.json"
    remove(parent)


@pytest.fixture
async def gateway(config: Path) -> AsyncIterator[Gateway]:
    async with open_gateway(compose(read_config(config)), serving=False) as opened:
        host = opened.composition.view("federation")
        lead = await opened.identities.user("lead")

        async def add(resource: str, **fields: str) -> str:
            answer = await opened.rows.create(lead, resource, json.dumps(fields).encode())
            return str(json.loads(answer.body)["id"])

        task = await add("tasks", title="shared title", body=PRIVATE)
        note = await add("notes", title=PRIVATE, body=PRIVATE)
        scope = LEAST | {"fields": {"tasks": ["title"]}}
        offer = await Grants(host).create(subject="lead", peer="home", scope=scope, actor="test")
        token = offer.url.partition("#")[0].rpartition("/")[2]
        issued = await Enrollment(host).redeem(
            token, csr=signing_request(new_key()), name="home", request_id="r"
        )
        leaf = x509.load_pem_x509_certificate(issued["chain"].encode()).public_bytes(Encoding.DER)
        app = listener_app("federation", [peer_mount(host)], max_body_bytes=65_536)
        yield Gateway(host, app.test_client(), leaf, offer.grant.id, task, note)


LEAST: dict[str, Any] = {"resources": ["tasks"], "include_personal": True}


async def test_no_other_spelling_of_a_name_makes_a_scope(gateway: Gateway) -> None:
    for spelling in LOOKALIKES.values():
        assert await gateway.make(LEAST | {"resources": ["tasks", spelling]})
        assert await gateway.make(LEAST | {"excluded_resources": [spelling]})
        assert await gateway.make(LEAST | {"excluded_resources": [f"{spelling}/{gateway.note}"]})
        assert await gateway.make(LEAST | {"fields": {spelling: ["title"]}})
        assert await gateway.make(LEAST | {"fields": {"tasks": ["title", spelling]}})
        assert await gateway.make(LEAST | {"include_teams": [spelling]})
        assert await gateway.make(LEAST | {"include_teams": spelling})
        assert await gateway.make({**LEAST, spelling: ["notes"]})
    for row in (
        "*",
        "%",
        gateway.note.upper(),
        gateway.note.replace("-", ""),
        f"{{{gateway.note}}}",
        "",
        "1",
    ):
        assert await gateway.make(LEAST | {"excluded_resources": [f"notes/{row}"]})


async def test_no_nesting_makes_a_scope(gateway: Gateway) -> None:
    for nested in NESTED:
        if nested != ["notes"]:  # which is a plain list of resources
            assert await gateway.make(LEAST | {"resources": nested})
        assert await gateway.make(LEAST | {"resources": [nested]})
        assert await gateway.make(LEAST | {"fields": {"tasks": nested}})
        assert await gateway.make(LEAST | {"fields": {"tasks": [nested]}})
        if nested is not True:
            assert await gateway.make(LEAST | {"include_personal": nested})
    assert await gateway.make("[" * 100_000)
    assert await gateway.make('{"a":' * 50_000)
    assert await gateway.make(json.dumps([LEAST]))
    assert await gateway.make("null")
    assert await gateway.make('{"resources": ["tasks"], "include_personal": true' + " " * 300_000 + "}")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"resources": ["tasks"], "resources": ["notes"], "include_personal": true}', "scope.resources"),
        (
            '{"resources": ["tasks"], "include_personal": false, "include_personal": true}',
            "scope.include_personal",
        ),
        (
            '{"resources": ["tasks"], "include_personal": true, "fields": {"tasks": ["title"], "tasks": ["body"]}}',
            "scope.fields.tasks",
        ),
        (  # the same key, written in another way
            '{"resources": ["tasks"], "res\\u006furces": ["notes"], "include_personal": true}',
            "scope.resources",
        ),
        (
            '{"resources": ["tasks"], "include_personal": true, "max_rows_per_day": 1, "max_rows_per_day": 100}',
            "scope.max_rows_per_day",
        ),
    ],
)
async def test_a_key_that_is_there_twice_is_refused(gateway: Gateway, text: str, where: str) -> None:
    assert await gateway.make(text) == [where]


async def test_credentials_are_shared_by_no_scope_even_one_in_the_database(gateway: Gateway) -> None:
    assert await gateway.make(LEAST | {"resources": ["tasks", "api_tokens"]}) == ["scope.resources[1]"]
    for scope in ({"resources": ["api_tokens"]}, {"resources": ["tasks", "users"]}):
        await gateway.host.database.execute(
            "UPDATE federation_grants SET scope = scope || $2::jsonb WHERE id = $1",
            gateway.grant_id, json.dumps(scope),
        )  # fmt: skip
        for resource in ("api_tokens", "users", "federation_grants"):
            assert (await gateway.ask(resource))[0] == 404


async def test_a_scope_written_past_the_validator_is_refused_whole(gateway: Gateway) -> None:
    for more in (
        '{"everything": true}',
        '{"resources": ["*"]}',
        '{"fields": {"tasks": []}}',
        '{"include_teams": "*"}',
    ):
        await gateway.host.database.execute(
            "UPDATE federation_grants SET scope = scope || $2::jsonb WHERE id = $1", gateway.grant_id, more
        )
        status, body = await gateway.ask("tasks")
        assert status == 403
        assert "scope is not one" in json.loads(body)["detail"]


async def test_no_other_spelling_of_a_resource_is_answered(gateway: Gateway) -> None:
    status, unknown = await gateway.ask("nothing")
    assert status == 404
    expected = json.loads(unknown)["detail"]
    for name, spelling in {**LOOKALIKES, "as it is": "notes"}.items():
        written = quote(spelling.encode("utf-8", "surrogatepass"), safe="")
        for path in (f"{written}", f"{written}/search?q=figures", f"{written}/{gateway.note}"):
            status, body = await gateway.ask(path)
            assert status in {400, 404}, (name, path)
            assert PRIVATE not in body
    assert json.loads((await gateway.ask("notes"))[1])["detail"] == expected.replace("nothing", "notes")


async def test_no_other_spelling_of_a_column_is_filtered_or_sorted_by(gateway: Gateway) -> None:
    for column in (
        "body",
        "BODY",
        "ｂｏｄｙ",
        "bоdy",
        "body ",
        "body\0",
        '"body"',
        "r.body",
        "tasks.body",
        "search_vector",
    ):
        for parameter in (column, f"{column}.gt", f"{column}.in", f"{column}.null", f"title.{column}"):
            status, body = await gateway.ask(f"tasks?{quote(parameter)}=true")
            assert status == 400, parameter
            assert PRIVATE not in body
        for sort in (column, f"-{column}", f"title,{column}", f"title {column}"):
            assert (await gateway.ask(f"tasks?sort={quote(sort)}"))[0] == 400


async def test_a_search_tells_nothing_of_hidden_text(gateway: Gateway) -> None:
    for words in (
        "confidential",
        "figures",
        '"confidential figures"',
        "shared or figures",
        "shared -figures",
    ):
        status, body = await gateway.ask(f"tasks/search?q={quote(words)}")
        found = [item["id"] for item in json.loads(body)["items"]]
        assert (status, gateway.task in found) == (200, words.startswith("shared"))
        assert PRIVATE not in body


async def test_a_row_shows_its_shared_columns_and_no_other(gateway: Gateway) -> None:
    status, body = await gateway.ask(f"tasks/{gateway.task}")
    assert (status, set(json.loads(body))) == (200, {"id", "title"})
    for row in (
        gateway.task.upper(),
        gateway.task.replace("-", ""),
        f"{{{gateway.task}}}",
        f"urn:uuid:{gateway.task}",
    ):
        status, body = await gateway.ask(f"tasks/{quote(row)}")
        assert status == 404 or set(json.loads(body)) == {"id", "title"}
        assert PRIVATE not in body
