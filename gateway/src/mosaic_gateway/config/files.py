"""Read a config file and the environment over it. The only file that knows dynaconf."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mosaic_hookspecs.errors import ConfigError

# Dynaconf imports Flask and Jinja, if they are there, for what is not used here: a third of a second of each command.
_unused = {name: sys.modules.get(name) for name in ("flask", "jinja2")}
sys.modules |= dict.fromkeys(_unused)  # type: ignore[arg-type]
import dynaconf.base  # noqa: E402
from dynaconf import Dynaconf  # noqa: E402
from dynaconf.utils.inspect import get_history  # noqa: E402
from dynaconf.utils.parse_conf import (  # noqa: E402
    BaseFormatter,
    DynaconfFormatError,
    DynaconfParseError,
    Formatters,
)

for _name, _module in _unused.items():
    if _module is None:
        del sys.modules[_name]
    else:
        sys.modules[_name] = _module


def _not_run(_value: str, **_context: object) -> str:
    raise DynaconfFormatError("a config is data")


class _BadYaml(ValueError):
    """Says what and, with a colon before each, the line and column where."""


def _read_yaml(text: str) -> object:
    import yaml  # noqa: PLC0415  # few configs are YAML, and each command reads one

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise _BadYaml(f"{where}: {getattr(error, 'problem', None) or 'is not valid YAML'}") from None


# A config is data, and dynaconf has no switch for that: it would run a dynaconf_hooks.py beside it, and templates
# after @jinja that may import any module (`this.load_file`).
dynaconf.base.execute_module_hooks = lambda *_args, **_kwargs: None
Formatters.jinja_formatter = BaseFormatter(_not_run, "jinja")

CONFIG_NAMES = ("mosaic.config.json", "mosaic.config.toml", "mosaic.config.yaml", "mosaic.config.yml")
_PREFIX = "MOSAIC"
_PARSE: dict[str, Callable[[str], object]] = {
    ".json": json.loads,
    ".toml": tomllib.loads,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
# Variables that are no settings: MOSAIC_CONFIG names the file itself, MOSAIC_SEALING_KEYS holds keys, and
# MOSAIC_TOKEN the API token of a command that is a client.
_VARIABLES = {"config", "sealing_keys", "token"}
_NOT_SETTINGS = {*_VARIABLES, "$schema"}  # the last is for editors
_UNCOMPUTABLE = (DynaconfParseError, DynaconfFormatError, OSError, ValueError)
_NO_FILE = "`mosaic gateway init DIR` makes one; or name yours with --config or MOSAIC_CONFIG"
_BAD_JSON = "mend the JSON there; a comma before } or ] is a common cause"
_MOST_VALUES = 10_000  # a few lines of YAML can stand for billions
KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A config as plain data, and the file it came from."""

    path: Path
    data: dict[str, Any] = field(repr=False)  # may hold secrets


def find_config(directory: Path) -> Path:
    """Return the config file of a directory. Raises :class:`ConfigError` if there is none."""
    for name in CONFIG_NAMES:
        if (path := directory / name).is_file():
            return path
    raise ConfigError(
        f"no config found: {directory} has none of {', '.join(CONFIG_NAMES)}",
        remedy="run `mosaic gateway init`, or name the file with --config or MOSAIC_CONFIG",
    )


def read_config(path: Path) -> Source:
    """Read a JSON, TOML or YAML file; ``MOSAIC_A__B=value`` overrides ``a.b``.

    Raises :class:`ConfigError` for a file that is missing, unreadable, of unknown type or malformed.
    """
    _check(path)
    beside = path.with_suffix(f".local{path.suffix}")  # which dynaconf lays over it
    if beside.exists():
        _check(beside)
    try:
        values = _plain(_load(path).as_dict())
    except _UNCOMPUTABLE as error:  # without its text, which quotes the value
        raise ConfigError(
            f"{path}, or a variable {_PREFIX}_…: a value that starts with @ cannot be computed",
            remedy="mend what stands behind @format, @int and their like; @jinja is not allowed",
        ) from error
    return Source(path.absolute(), {key: value for key, value in values.items() if key not in _NOT_SETTINGS})


def read_origins(source: Source) -> dict[KeyPath, str]:
    """Where each value of a source comes from: the name of a variable, or the path of a file."""
    files = _layers(source)
    names = {name.upper(): name for name in os.environ if name.startswith(f"{_PREFIX}_")}

    def origin(path: KeyPath) -> str:
        for length in range(len(path), 0, -1):
            if name := names.get(f"{_PREFIX}_{'__'.join(path[:length])}".upper()):
                return name
        return next((file for file, layer in reversed(files) if path in layer), str(source.path))

    return {path: origin(path) for path, _ in leaves(source.data)}


def read_variables(source: Source, key: str) -> list[str]:
    """The variables that set what is at a dotted path, or all that is below it; none if a file names a part."""
    path = tuple(key.split("."))

    def along(other: KeyPath) -> bool:
        return all(mine == its for mine, its in zip(path, other, strict=False))

    origins = {other: origin for other, origin in read_origins(source).items() if along(other)}
    is_table = all(len(other) > len(path) for other in origins)
    if is_table and any(along(other) for other in read_named(source)):
        return []
    return sorted({origin for origin in origins.values() if origin.startswith(f"{_PREFIX}_")})


def read_named(source: Source) -> set[KeyPath]:
    """Every value that a file names, whatever variables say of it; an empty table is one, too."""
    return {path for _, layer in _layers(source) for path in layer}


def _layers(source: Source) -> list[tuple[str, dict[KeyPath, Any]]]:
    """Each file with its values. Dynaconf's history knows these, but only the sum of all variables."""
    return [
        (layer["identifier"], dict(leaves(_plain(layer["value"]))))
        for layer in get_history(_load(source.path))
        if Path(layer["identifier"]).suffix in _PARSE
    ]


def leaves(table: Mapping[str, Any], above: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value of nested tables with its path; an empty table is a value too."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _load(path: Path) -> Dynaconf:
    return Dynaconf(
        settings_files=[str(path.absolute())],
        envvar_prefix=_PREFIX,
        environments=False,
        core_loaders=["YAML", "TOML", "JSON"],
    )


def _check(path: Path) -> None:
    """Refuse what dynaconf would take, or could not name: a missing file, a syntax error, programs, endless values."""
    top = _parsed(path)
    if not isinstance(top, dict):
        raise ConfigError(f"{path}: expected a table of settings at the top")
    for key in top:
        if "dynaconf" in str(key).lower():  # it would import modules that such a key names
            raise ConfigError(
                f"{path}: unknown key {key}", remedy="take it out: a config cannot include others"
            )
        if str(key).lower() in _VARIABLES:
            raise ConfigError(
                f"{path}: {key} is no setting",
                remedy=f"take it out, and set {_PREFIX}_{str(key).upper()} instead",
            )
    waiting: list[object] = [top]
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        value = waiting.pop()
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    raise ConfigError(f"{path}: has too many values: more than {_MOST_VALUES}")


def _parsed(path: Path) -> object:
    if path.suffix not in _PARSE:
        raise ConfigError(f"{path}: unknown type of config file", remedy=f"use one of {', '.join(_PARSE)}")
    try:
        return _PARSE[path.suffix](path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = _NO_FILE if isinstance(error, FileNotFoundError) else "name a file that you may read"
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", remedy=remedy) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text", remedy="save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: {error.msg}", remedy=_BAD_JSON) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}", remedy="mend the TOML there") from None
    except _BadYaml as error:
        raise ConfigError(f"{path}{error}", remedy="mend the YAML there") from None
    except (RecursionError, ValueError):
        raise ConfigError(f"{path}: is nested too deeply, or has a number of thousands of digits") from None


def _plain(value: Any) -> Any:
    """Dynaconf upper-cases top-level keys, and those that only the environment names."""
    if isinstance(value, dict):
        return {(k.lower() if k.isupper() else k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value
