"""Write docs/reference from the code: `make docs`. With --check, exit 1 if a page is stale."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Iterator
from difflib import unified_diff
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mosaic_federation.peer_openapi import peer_openapi
from mosaic_gateway.cli.config import installed_schema
from mosaic_gateway.cli.main import mosaic
from mosaic_gateway.config import Config
from mosaic_gateway.health import Diagnosis
from mosaic_gateway.http.openapi import listener_document
from mosaic_gateway.refusals import REFUSALS
from mosaic_hookspecs import PROJECT, errors, specs
from mosaic_hookspecs.scope import Scope
from mosaic_valkey.server import FAILURES, REPLIES

DOCS = Path(__file__).parent
GENERATED = "<!-- Written by `make docs`. Change the code, not this page. -->\n"

VALKEY = (*FAILURES, *REPLIES)

#: Every hook there is, in the order of the source.
HOOKS: dict[str, Callable[..., Any]] = {
    name: spec for name, spec in vars(specs).items() if hasattr(spec, f"{PROJECT}_spec")
}


def hooks() -> str:
    parts = [
        "# Hooks",
        "A plugin is a module with some of these functions, each marked `@hookimpl` and named in the entry-point "
        "group `mosaic` of its distribution. They register; what runs later is on the objects they return.",
    ]
    for name, spec in HOOKS.items():
        example = (DOCS / "examples" / "hooks" / f"{name}.py").read_text()
        parts += [
            f"## {name}",
            fence("python", f"{kind(spec)} {name}{inspect.signature(spec)}".replace("'", "")),
            prose(spec),
            fence("python", example),
        ]
    return page(parts)


def kind(spec: Callable[..., Any]) -> str:
    return "async def" if inspect.iscoroutinefunction(spec) else "def"


def cli() -> str:
    parts = ["# Command line", "What `--help` says of each command."]
    for path, command in commands(["mosaic"], mosaic):
        context = click.Context(command, info_name=" ".join(path), terminal_width=100)
        parts += [f"## {' '.join(path)}", fence("text", command.get_help(context))]
    return page(parts)


def commands(path: list[str], command: click.Command) -> Iterator[tuple[list[str], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (child := command.get_command(context, name)) and not child.hidden:
                yield from commands([*path, name], child)


def config() -> str:
    parts = [
        "# Configuration",
        "One file, `mosaic.config.json` (or `.toml`, `.yaml`), in the directory a command runs in, or named by "
        "`--config` or `MOSAIC_CONFIG`. The environment overrides any key: `MOSAIC_LISTEN__PUBLIC__PORT=8081` "
        "sets `listen.public.port`. An unknown key stops the boot. `mosaic gateway config check` tells every fault, "
        "`config show --origin` where each value comes from; [config.schema.json](config.schema.json) is the whole as "
        'a JSON Schema, and a config may name it as `"$schema"` for an editor.',
        table(["key", "type", "default", "meaning"], settings(Config, "")),
        "## What each tier sets",
        "A value of yours goes before the tier's. The plugins are loaded without being named.",
        table(["tier", "storage", "queue", "pgvector", "plugins"], tiers()),
    ]
    for point in sorted(entry_points(group=PROJECT), key=lambda point: point.name):
        model = getattr(importlib.import_module(point.value), "mosaic_settings", lambda: None)()
        if model:
            rows = list(settings(model, f"plugins.{point.name}."))
            parts += [
                f"## plugins.{point.name}",
                prose(model),
                table(["key", "type", "default", "meaning"], rows),
            ]
    return page(parts)


def tiers() -> Iterator[list[str]]:
    for point in sorted(entry_points(group=PROJECT), key=lambda point: point.name):
        for tier in getattr(importlib.import_module(point.value), "mosaic_tiers", list)():
            storage, queue = (
                f"`{kind}`" + (f" at `{url}`" if url else "")
                for kind, url in ((tier.storage, tier.storage_url), (tier.queue, tier.queue_url))
            )
            plugins = ", ".join(f"`{name}`" for name in (f"tier_{tier.name}", *tier.needs))
            yield [f"`{tier.name}`", storage, queue, "on" if tier.enable_vector else "off", plugins]


def settings(model: type[BaseModel], prefix: str) -> Iterator[list[str]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            yield from settings(kind, f"{prefix}{name}.")
            continue
        default = (
            "required" if field.is_required() else shown_default(field.get_default(call_default_factory=True))
        )
        yield [f"`{prefix}{name}`", shown_type(kind), default, field.description or ""]


def shown_default(value: Any) -> str:
    if value is PydanticUndefined or value is None:
        return "none"
    return f"`{value}`"


def shown_type(kind: Any) -> str:
    """`str | None` for a union, `path` for a Path: what a person writes in the file."""
    names = {"Path": "path", "str": "text", "int": "integer", "float": "number", "bool": "true or false"}
    names |= {"SecretStr": "secret text", "IPvAnyNetwork": "networks"}
    if typing.get_origin(kind) in (dict,):
        return "table"
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(f"`{choice}`" for choice in typing.get_args(kind))
    if arguments := [a for a in typing.get_args(kind) if a is not type(None)]:
        return " or ".join(dict.fromkeys(shown_type(a) for a in arguments if hasattr(a, "__name__")))
    return names.get(kind.__name__, kind.__name__.lower())


def error_codes() -> str:
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.MosaicError)]
    rows = [[f"`{c.code}`", str(c.status), str(c.exit_code), c.title, prose(c)] for c in classes]
    return page(
        [
            "# Errors",
            "Over HTTP an error is a problem document (RFC 9457) whose `type` ends in the code; on the command line "
            "it is one sentence on standard error, what to do about it, and the exit code.",
            table(["code", "HTTP", "exit", "title", "when"], rows),
        ]
    )


def page(parts: list[str]) -> str:
    return "\n\n".join([parts[0], GENERATED.strip(), *parts[1:]]) + "\n"


def fence(language: str, text: str) -> str:
    return f"```{language}\n{text.strip()}\n```"


def prose(thing: Any) -> str:
    """The docstring, its reStructuredText roles as plain Markdown code."""
    text = (inspect.getdoc(thing) or "").replace("``", "`")
    for role in ("class", "func", "meth"):
        text = text.replace(f":{role}:`", "`")
    return text


def table(head: list[str], rows: typing.Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;').replace(chr(10), ' ') for cell in row)} |"
        for row in lines
    )


def config_schema() -> str:
    return json.dumps(installed_schema(), indent=2, ensure_ascii=False) + "\n"


def doctor_schema() -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Diagnosis.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def troubleshooting() -> str:
    """The page as it is written, with the tables of what can be wrong with the services between their marks."""
    text = (DOCS / "how-to" / "troubleshooting.md").read_text()
    postgres = [[refusal_text(each.detail), refusal_text(each.remedy)] for each in REFUSALS.values()]
    valkey = dict.fromkeys((f"Valkey at *address* {detail}", remedy) for _, detail, remedy in VALKEY)
    for name, rows in (("postgres", postgres), ("valkey", [list(row) for row in valkey])):
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = text.partition(start)
        what = table(["what it says", "what to do"], rows)
        text = f"{before}{start}\n{what}\n\n{end}{rest.partition(end)[2]}"
    return text


def refusal_text(template: str) -> str:
    return re.sub(r"'?\{(\w+)[^}]*\}'?", r"*\1*", template)


def peers() -> str:
    """What another gateway may ask: it is served by none."""
    whole = listener_document(
        "Mosaic Gateway, for peers", version("mosaic-federation"), peer_openapi()["paths"]
    )
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def scope_schema() -> str:
    return json.dumps(Scope.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def scope() -> str:
    """The page as it is written, with the table of keys from the schema between its marks."""
    schema = Scope.model_json_schema()
    rows = []
    for name, key in schema["properties"].items():
        default = "required" if name in schema["required"] else f"`{json.dumps(key['default'])}`"
        rows.append([f"`{name}`", default, f"`{json.dumps(key['examples'][0])}`", key["description"]])
    text = (DOCS / "reference" / "scope.md").read_text()
    start, end = "<!-- keys -->\n", "<!-- end of keys -->\n"
    before, _, rest = text.partition(start)
    keys = table(["key", "unless given", "example", "meaning"], rows)
    return f"{before}{start}\n{keys}\n\n{end}{rest.partition(end)[2]}"


FILES = {
    "reference/hooks.md": hooks,
    "reference/cli.md": cli,
    "reference/config.md": config,
    "reference/config.schema.json": config_schema,
    "reference/doctor.schema.json": doctor_schema,
    "reference/errors.md": error_codes,
    "reference/scope.md": scope,
    "reference/scope.schema.json": scope_schema,
    "reference/peers.openapi.json": peers,
    "how-to/troubleshooting.md": troubleshooting,
}


def main(*, check: bool) -> int:
    """Write the pages, or print how the stored ones differ. Returns the exit code."""
    stale = 0
    for name, write in FILES.items():
        path, text = DOCS / name, write()
        stored = path.read_text() if path.exists() else ""
        if check and stored != text:
            stale = 1
            sys.stdout.writelines(
                unified_diff(stored.splitlines(True), text.splitlines(True), str(path), "the code")
            )
        elif not check:
            path.write_text(text)
    return stale


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
