from __future__ import annotations

import asyncio
import json
import re
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from mosaic_gateway.cli.data import data
from mosaic_gateway.cli.shell import Shell
from mosaic_gateway.database import open_pool
from mosaic_gateway.identity import Identities
from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.errors import Invalid, NotFound
from mosaic_workspace.plugin import mosaic_resources as workspace_resources


@pytest.fixture
def invoke(new_database, migration_sets):
    """Run `mosaic data …` over a real database with the user ada in the team design."""

    database = asyncio.run(new_database(migration_sets))

    class OverDatabase(Shell):
        def gateway(self, work):
            async def main():
                async with open_pool(database, size=2) as pool:
                    rows = ResourceRows(pool, list(workspace_resources()), lambda: [b"k" * 32])
                    return await work(SimpleNamespace(rows=rows, identities=Identities(pool)))

            return asyncio.run(main())

    shell = OverDatabase(None, debug=False)

    async def people(gateway):
        await gateway.identities.add_user("ada")
        await gateway.identities.add_team("design")
        await gateway.identities.add_member("design", "ada")

    shell.gateway(people)

    def invoke(*arguments):
        result = CliRunner().invoke(data, [str(each) for each in arguments], obj=shell)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def test_an_import_ends_with_one_line_of_what_it_did(invoke, write):
    path = write("a.csv", "external_id,title\n1,A\n,B\n")
    result = invoke("import", "tasks", path, "--user", "ada")
    assert result.stdout == (
        "tasks: 2 created, 0 updated, 0 unchanged; "
        "1 row had no external_id: importing again will duplicate it\n"
    )
    assert result.stderr == ""  # no bar where there is no terminal
    dry = invoke("import", "tasks", path, "--user", "ada", "--dry-run").stdout
    assert dry.startswith("tasks: 1 created, 0 updated, 1 unchanged (dry run: nothing was stored)")


def test_a_program_gets_json(invoke, write):
    result = invoke(
        "import", "tasks", write("a.txt", "title\nA\n"), "--user", "ada", "--format", "csv", "--json"
    )
    assert json.loads(result.stdout) == {
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "without_external_id": 1,
        "dry_run": False,
    }


def test_what_is_exported_can_be_imported_for_a_team(invoke, write, tmp_path):
    invoke("import", "tasks", write("a.csv", "external_id,title\n1,A\n"), "--user", "ada")
    exported = invoke("export", "tasks", "--user", "ada")
    assert exported.stderr == "tasks: 1 row exported\n"
    assert json.loads(exported.stdout)["title"] == "A"
    invoke("export", "tasks", "--user", "ada", "--output", "out.ndjson")
    assert (tmp_path / "out.ndjson").read_text() == exported.stdout
    assert invoke("import", "tasks", "out.ndjson", "--user", "ada", "--team", "design").stdout.startswith(
        "tasks: 1 created"
    )
    teams = [
        json.loads(line)["team_id"] for line in invoke("export", "tasks", "--user", "ada").stdout.splitlines()
    ]
    assert sorted(team is None for team in teams) == [False, True]


def test_a_fault_ends_with_exit_code_2_and_its_line(invoke, write):
    with pytest.raises(Invalid, match=r"a\.csv:2: status: .*'open'") as error:
        invoke("import", "tasks", write("a.csv", "title,status\nA,never\n"), "--user", "ada")
    assert error.value.exit_code == 2


def test_a_team_the_user_is_not_in_is_refused_with_those_there_are(invoke, write):
    with pytest.raises(NotFound, match="use one of: design"):
        invoke("import", "tasks", write("a.csv", "title\nA\n"), "--user", "ada", "--team", "sales")


def test_an_unknown_user_is_refused(invoke, write):
    with pytest.raises(NotFound):
        invoke("import", "tasks", write("a.csv", "title\nA\n"), "--user", "nobody")
    with pytest.raises(NotFound):
        invoke("export", "tasks", "--user", "nobody")


@pytest.mark.parametrize("command", ["import", "export"])
def test_help_has_examples(invoke, command):
    assert re.search(rf"Examples:\n +mosaic data {command} ", invoke(command, "--help").stdout)
