"""A move that could lose or mix rows, or show a secret, does not begin, and says what to do."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from held_moves import hold, let_go, until_held

if TYPE_CHECKING:
    from conftest import Home, Postgres

pytestmark = pytest.mark.timeout(300)


def name(url: str) -> str:
    return url.rsplit("/", 1)[1]


async def test_rows_of_others_on_the_target_are_kept(small: Home, debian: Postgres) -> None:
    url = await debian.new_database()
    small.move(url)
    async with debian.database(url) as conn:
        await conn.execute("UPDATE tasks SET title = 'theirs' WHERE external_id = 'x7'")
    before = await debian.content(url)
    said = small.migrate(url, "--yes", code=4)
    assert "holds rows that are not the source's, in tasks" in said
    assert await debian.content(url) == before


async def under_way(conn: Any, tool: subprocess.Popen[str]) -> None:
    """Wait until the tool has noted in the target what it is about to do."""
    for sign in (
        "to_regclass('mosaic_transfer.job') IS NOT NULL",
        "EXISTS (SELECT FROM mosaic_transfer.job)",
    ):
        while not await conn.fetchval(f"SELECT {sign}"):
            assert tool.poll() is None, tool.communicate()
            await asyncio.sleep(0.002)


async def test_rows_written_to_the_target_during_the_copy_are_kept(small: Home, debian: Postgres) -> None:
    url = await debian.new_database()
    async with debian.administration(name(url)) as conn:
        await hold(conn, "indexing")
        tool = small.popen("storage", "migrate-tier", "--to", "standalone", "--target", url, "--yes")
        await until_held(conn, tool)
        await conn.execute("CREATE SCHEMA mosaic AUTHORIZATION gateway; SET ROLE gateway")
        await conn.execute("CREATE TABLE mosaic.theirs AS SELECT 'kept' AS word")
        await let_go(conn)
    out, err = await asyncio.to_thread(tool.communicate)
    assert (tool.returncode, "in theirs" in err) == (4, True), out + err
    async with debian.database(url) as conn:
        assert await conn.fetchval("SELECT word FROM mosaic.theirs") == "kept"
        await conn.execute("DROP SCHEMA mosaic CASCADE")
    assert small.move(url)["resumed"]
    assert await debian.content(url) == await small.content()


async def test_a_target_of_another_release_is_refused(small: Home, debian: Postgres) -> None:
    from mosaic_migrations import CORE
    from mosaic_migrations.runner import migrate

    url = await debian.new_database()
    async with debian.database(url) as conn:
        await migrate(conn, [CORE])
    assert "newer or older release" in small.migrate(url, "--yes", code=4)


async def test_two_tools_at_once_only_one_moves(small: Home, debian: Postgres) -> None:
    url = await debian.new_database()
    tools = [
        small.popen("storage", "migrate-tier", "--to", "standalone", "--target", url, "--yes", "--json")
        for _ in range(2)
    ]
    ends = [(*await asyncio.to_thread(tool.communicate), tool.returncode) for tool in tools]
    assert 0 in [code for *_, code in ends], ends
    assert [code for *_, code in ends if code] in ([], [4]), ends
    assert await debian.content(url) == await small.content()


async def test_while_a_gateway_uses_either_side_nothing_is_moved(small: Home, debian: Postgres) -> None:
    url = await debian.new_database()
    async with small.database():
        assert "is using the source database" in small.migrate(url, "--yes", code=4)
    async with debian.database(url):
        assert "is using the target database" in small.migrate(url, "--yes", code=4)


async def test_an_unfinished_move_from_another_source_is_left_alone(
    small: Home, standalone: Home, with_vector: Postgres
) -> None:
    url = await with_vector.new_database()
    async with with_vector.administration(name(url)) as conn:
        await conn.execute("CREATE EXTENSION vector")
        tool = standalone.popen("storage", "migrate-tier", "--to", "federated", "--target", url, "--yes")
        await under_way(conn, tool)
    tool.kill()
    tool.communicate()
    assert "unfinished migrate-tier from another source" in small.migrate(url, "--yes", code=4)


async def test_the_target_must_not_be_the_source(standalone: Home, with_vector: Postgres) -> None:
    url = json.loads(standalone.config.read_text())["storage"]["url"]
    assert "the target is the source" in standalone.migrate(url, "--yes", to="federated", code=4)


@pytest.mark.parametrize(
    ("options", "says"),
    [("ENCODING 'SQL_ASCII' TEMPLATE template0", "encoded in SQL_ASCII"), ("CONNECTION LIMIT 0", "")],
)
async def test_a_database_that_will_not_do(small: Home, debian: Postgres, options: str, says: str) -> None:
    url = await debian.new_database(options)
    assert says in small.migrate(url, "--yes", code=3 if says else 5)


async def test_a_role_without_the_right_to_make_a_schema(small: Home, debian: Postgres) -> None:
    url = await debian.new_database()
    async with debian.administration(name(url)) as conn:
        await conn.execute(f"ALTER DATABASE {name(url)} OWNER TO postgres")
    assert "GRANT CREATE ON DATABASE" in small.migrate(url, "--yes", code=3)


async def test_without_pgvector_the_federated_tier_is_refused(small: Home, debian: Postgres) -> None:
    url = await debian.new_database()
    assert "pgvector" in small.migrate(url, "--yes", to="federated", code=5)
    small.move(url)  # and the attempt left nothing in the way of another
    assert await debian.content(url) == await small.content()


async def test_a_plugin_switched_off_does_not_lose_its_rows(changing: Home, debian: Postgres) -> None:
    config = json.loads(changing.config.read_text())
    del config["plugins"]["sampler"]
    changing.config.write_text(json.dumps(config))
    said = changing.migrate(await debian.new_database(), "--yes", code=3)
    assert "tables of sampler" in said
    assert "name these plugins in the config" in said


async def test_nobody_to_confirm(small: Home, debian: Postgres) -> None:
    assert "add --yes" in small.migrate(await debian.new_database(), code=2)


async def test_there_is_no_way_sideways(standalone: Home, debian: Postgres) -> None:
    assert "is from local" in standalone.migrate(await debian.new_database(), "--yes", code=3)


async def test_the_plan_refuses_what_the_move_would(small: Home, debian: Postgres) -> None:
    url = await debian.new_database()
    assert "pgvector" in small.migrate(url, "--dry-run", to="federated", code=5)
    assert "password" in small.migrate(url, "--dry-run", code=5, PGPASSWORD="wr0ng")
    async with small.database():
        assert "is using the source database" in small.migrate(url, "--dry-run", code=4)
    async with debian.database(url) as conn:
        assert await conn.fetchval("SELECT to_regnamespace('mosaic_transfer')") is None
    await small.move_here(debian.location(url))
    assert json.loads(small.migrate(url, "--dry-run", "--json"))["already_there"]
    async with debian.database(url) as conn:
        await conn.execute("UPDATE tasks SET title = 'theirs' WHERE external_id = 'x7'")
    assert "holds rows that are not the source's, in tasks" in small.migrate(url, "--dry-run", code=4)


async def test_a_password_file_that_others_can_read_is_refused(
    small: Home, debian: Postgres, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text(debian.password)
    secret.chmod(0o640)
    said = small.migrate(
        await debian.new_database(), "--dry-run", "--target-password-file", str(secret), code=3
    )
    assert f"chmod 600 {secret}" in said


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("--target", "postgresql://gateway:hunter2secret@127.0.0.1/x", "--target-password-file"),
        ("--target", "postgresql://gateway@127.0.0.1/x?password=hunter2secret", "percent-encoded"),
        ("--queue-url", "redis://:hunter2secret@127.0.0.1/0", "--queue-password-file"),
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(
    small: Home, option: str, value: str, remedy: str
) -> None:
    args = {"--target": "postgresql://gateway@127.0.0.1/x"} | {option: value}
    command = [part for pair in args.items() for part in pair]
    process = small.popen("storage", "migrate-tier", "--to", "standalone", "--yes", *command)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (2, 3)
    assert remedy in err
    assert "hunter2secret" not in out + err


async def test_the_password_is_in_no_command_line_output_or_file(
    small: Home, debian: Postgres, tmp_path: Path
) -> None:
    url = await debian.new_database()
    secret = tmp_path / "password"
    secret.write_text(debian.password)
    secret.chmod(0o600)
    options = ("--yes", "--target-password-file", str(secret))
    command = ("--debug", "storage", "migrate-tier", "--to", "standalone", "--target", url, *options)
    tool = small.popen(*command[1:], PGPASSWORD="")
    lines = Path(f"/proc/{tool.pid}/cmdline").read_bytes()
    out, err = await asyncio.to_thread(tool.communicate)
    assert tool.returncode == 0, err
    assert debian.password not in out + err + lines.decode()
    files = [path for root in (small.directory, debian.home) for path in root.rglob("*") if path.is_file()]
    assert len(files) > 1000
    assert not [path for path in files if holds(path, debian.password)]


def holds(path: Path, password: str) -> bool:
    try:
        return password.encode() in path.read_bytes()
    except FileNotFoundError:  # a running Postgres makes and removes files all the time
        return False


async def test_a_wrong_password_says_so_without_it(small: Home, debian: Postgres) -> None:
    url = await debian.new_database()
    said = small.migrate(url, "--yes", code=5, PGPASSWORD="wr0ng-password")
    assert "password" in said
    assert "--target" in said
    assert "wr0ng-password" not in said
