"""``mosaic plugin new``: the project of a new plugin."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from mosaic_gateway.cli.shell import Shell

_KINDS = ("probe", "resource", "policy", "authority", "storage")


@click.command(
    "new",
    epilog="""
\b
Examples:
  mosaic plugin new probe disk_room
  mosaic plugin new resource recipes --directory ~/src/recipes
""",
)
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="A new or empty directory. Default: ./mosaic-NAME",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def new(shell: Shell, kind: str, name: str, directory: Path | None, as_json: bool) -> None:
    """Write the project of a new plugin: code, tests that pass, README, CI. Then it is yours to change.

    NAME is the plugin's in configs, of lower-case letters, digits and _; its distribution is called mosaic-NAME.
    """
    from mosaic_gateway.scaffold import write_project
    from mosaic_gateway.scaffold.names import normalised

    # absolute: "." has no name, and whoever stands in it stands in what this takes the place of
    chosen = (directory or Path(f"mosaic-{normalised(name)}")).absolute()
    written = [str(path.relative_to(chosen)) for path in write_project(kind, name, chosen)]
    where = quote(str(chosen) if directory else chosen.name)
    steps = [
        f"cd {where}",
        "pip install -e '.[test]'",
        "pytest",
        f"add {name} to plugins in a gateway's config, as the README says",
    ]
    if as_json:
        shell.record({"directory": chosen, "files": written, "next": steps}, as_json=True)
        return
    for line in (
        f"wrote {where}:",
        *(f"  {path}" for path in written),
        "next:",
        *(f"  {step}" for step in steps),
    ):
        click.echo(line)
