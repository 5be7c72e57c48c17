"""``mosaic index``: what search has beside the rows, and making it anew."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mosaic_gateway.cli.shell import Shell

if TYPE_CHECKING:
    from mosaic_gateway.boot import Gateway
    from mosaic_gateway.config.model import Language


@click.group()
def index() -> None:
    """See and make what searches by meaning, or in another language, go by."""


@index.command(epilog="\b\nExamples:\n  mosaic index status\n  mosaic index status --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def status(shell: Shell, as_json: bool) -> None:
    """Say of each resource with vectors how many of its rows still wait for one."""
    columns = ["resource", "model", "rows", "waiting"]
    empty = "no vectors here: set storage.enable_vector, and add a plugin with an embedder to the config"
    shell.table(shell.gateway(_status), columns=columns, as_json=as_json, empty=empty)


@index.command(epilog="\b\nExamples:\n  mosaic index vectors\n  mosaic index vectors notes --anew")
@click.argument("resources", nargs=-1, metavar="[RESOURCE]...")
@click.option("--anew", is_flag=True, help="Embed all rows again; until that is done, only words find them.")
@click.pass_obj
def vectors(shell: Shell, resources: tuple[str, ...], anew: bool) -> None:
    """Embed rows that wait, now, and not in the background. Without a name: of every resource with vectors."""
    done = shell.gateway(lambda gateway: _embed(gateway, resources, anew=anew))
    for name, number in done.items():
        click.echo(f"{name}: {number} embedded")


@index.command(epilog="\b\nExample:\n  mosaic index language notes german")
@click.argument("resource")
@click.argument("language")
@click.pass_obj
def language(shell: Shell, resource: str, language: str) -> None:
    """Make an index for searches of RESOURCE in LANGUAGE, which else read every row the viewer sees."""
    from mosaic_gateway.resources.search_query import LANGUAGES

    known = next((each for each in LANGUAGES if each == language and each != "english"), None)
    if known is None:
        others = ", ".join(each for each in LANGUAGES if each != "english")
        raise click.BadParameter(f"{language!r} is none of {others}", param_hint="LANGUAGE")
    shell.gateway(lambda gateway: _make_language_index(gateway, resource, known))
    click.echo(f"{resource}: searches with lang={language} have an index")


async def _status(gateway: Gateway) -> list[dict[str, Any]]:
    from mosaic_gateway.resources.search_index import standing

    return [asdict(each) for each in await standing(gateway.database, gateway.searching)]


async def _embed(gateway: Gateway, names: tuple[str, ...], *, anew: bool) -> dict[str, int]:
    from mosaic_gateway.resources.search_index import embed_waiting, standing, want_anew
    from mosaic_gateway.transfer.progress import progress_bar

    database, searching = gateway.database, gateway.searching
    done: dict[str, int] = {}
    for name in names or sorted(searching.vectors):
        resource = gateway.rows.resource(name)
        if anew:
            await want_anew(database, searching, name)
        total = sum(each.waiting for each in await standing(database, searching) if each.resource == name)
        done[name] = 0
        with progress_bar() as show:

            def told(name: str, more: int, total: int = total) -> None:
                done[name] += more
                show(name, done[name], total)

            await embed_waiting(database, searching, resource, told)
    return done


async def _make_language_index(gateway: Gateway, name: str, language: Language) -> None:
    from mosaic_gateway.database import connect
    from mosaic_gateway.resources.search_index import language_index

    statement = language_index(gateway.rows.resource(name), language)
    connection = await connect(gateway.location)  # not of the pool: there a statement has 30 seconds
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
