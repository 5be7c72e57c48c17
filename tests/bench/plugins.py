"""What plugins cost: a start with 0, 10 and 100 of them, a call of their hooks, and `mosaic --help`.

The plugins are trivial: a module and a probe each, installed as distributions of their own. A start is a process that
imports the host, composes, opens an embedded Postgres that has its tables, and ends. Rounds alternate; medians.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from tests.bench import Row

from mosaic_gateway.plugins import each, load

ROUNDS = 9
CALLS = 2000  # of a hook, in each round
MANY = 100
HELP = [str(Path(sys.executable).with_name("mosaic")), "--help"]
NOTHING = [sys.executable, "-c", "pass"]
#: Import and compose; import, compose, open and close.
COMPOSED = "import sys; from pathlib import Path; from mosaic_gateway.config import read_config; \
from mosaic_gateway.compose import compose; made = compose(read_config(Path(sys.argv[1])))"
OPENED = f"""{COMPOSED}
import asyncio
from mosaic_gateway.boot import open_gateway, prepare_data_dir
async def main():
    prepare_data_dir(made.config.data_dir)
    async with open_gateway(made, serving=True):
        pass
asyncio.run(main())"""
MODULE = """
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Finding, Probe


async def check():
    return Finding("green", "nothing to find")


@hookimpl
def mosaic_probes(host):
    return (Probe("{name}", check),)


@hookimpl
def mosaic_tiers():
    return ()
"""

Spent = tuple[float, float]  # wall and CPU, milliseconds


async def measure() -> list[Row]:
    return [*_commands(), *_starts(), *_calls()]


def _commands() -> list[Row]:
    times = _alternating({"help": lambda: _process(HELP), "nothing": lambda: _process(NOTHING)})
    return _rows("`mosaic --help` ÷ `python -c pass`", times["help"], times["nothing"])


def _starts() -> list[Row]:
    """Of ten and of a hundred, against the start with none; and of that against Python's own."""
    with tempfile.TemporaryDirectory(prefix="mosaic-bench-", dir="/tmp") as directory:
        home = Path(directory)
        home.chmod(0o711)  # Postgres may run as another user
        for number in range(MANY):
            _install(home / "site", number)
        environment = {**os.environ, "PYTHONPATH": str(home / "site")}
        works: dict[str, Callable[[], Spent]] = {"nothing": lambda: _process(NOTHING, environment)}
        for count in (0, 10, MANY):
            config = str(_configure(home / f"with-{count}", count))
            for name, script in (("composed", COMPOSED), ("opened", OPENED)):
                command = [sys.executable, "-c", script, config]
                works[f"{name} {count}"] = lambda command=command: _process(command, environment)  # type: ignore[misc]
        for work in works.values():
            work()  # the first makes the cluster and the tables, and compiles
        times = _alternating(works)
    rows = _rows("import and compose, no plugin ÷ `python -c pass`", times["composed 0"], times["nothing"])
    for name, what in (("composed", "import and compose"), ("opened", "import and start")):
        for count in (10, MANY):
            rows += _rows(f"{what}, {count} plugins ÷ none", times[f"{name} {count}"], times[f"{name} 0"])
    return rows


def _calls() -> list[Row]:
    """One hook of ten plugins: through the host's caller, through pluggy's, and as plain functions."""
    with tempfile.TemporaryDirectory(prefix="mosaic-bench-") as directory:
        site = Path(directory)
        for number in range(10):
            _install(site, number)
        sys.path.insert(0, directory)
        try:
            registry, faults = load({_name(number): {} for number in range(10)})
        finally:
            sys.path.remove(directory)
    assert not faults
    functions: list[Callable[[], tuple[()]]] = [each.module.mosaic_tiers for each in registry.plugins]
    hook = registry.manager.hook
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: each(registry, "mosaic_tiers"),
        "pluggy": hook.mosaic_tiers,
        "direct": lambda: [function() for function in functions],
    }
    times = _alternating({name: lambda work=work: _calling(work) for name, work in works.items()})  # type: ignore[misc]
    micro = {name: median(wall for wall, _ in each) * 1000 / CALLS for name, each in times.items()}
    return [
        Row("a hook of ten plugins, our caller ÷ pluggy", "µs", micro["ours"], micro["pluggy"]),
        Row("a hook of ten plugins, our caller ÷ direct calls", "µs", micro["ours"], micro["direct"]),
        Row("a hook of ten plugins, pluggy ÷ direct calls", "µs", micro["pluggy"], micro["direct"]),
    ]


def _alternating(works: Mapping[str, Callable[[], Spent]]) -> dict[str, list[Spent]]:
    times: dict[str, list[Spent]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            times[name].append(work())
    return times


def _rows(what: str, ours: list[Spent], plain: list[Spent]) -> list[Row]:
    return [
        Row(f"{what}, {kind}", "ms", median(each[i] for each in ours), median(each[i] for each in plain))
        for i, kind in enumerate(("wall", "CPU"))
    ]


def _process(command: list[str], environment: Mapping[str, str] | None = None) -> Spent:
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return wall * 1000, (used.ru_utime + used.ru_stime) * 1000


def _calling(work: Callable[[], object]) -> Spent:
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(CALLS):
        work()
    return (time.perf_counter() - start) * 1000, (time.process_time() - cpu) * 1000


def _name(number: int) -> str:
    return f"trivial_{number}"


def _install(site: Path, number: int) -> None:
    """As pip would: a module, and the metadata that names its entry point."""
    name = _name(number)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(MODULE.format(name=name))
    requires = "Requires-Dist: mosaic-hookspecs"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}\n")
    (info / "entry_points.txt").write_text(f"[mosaic]\n{name} = {name}\n")


def _configure(home: Path, count: int) -> Path:
    home.mkdir(mode=0o711)
    plugins: dict[str, object] = {_name(number): {} for number in range(count)}
    file = home / "mosaic.config.json"
    file.write_text(json.dumps({"tier": "local", "name": "bench", "data_dir": "data", "plugins": plugins}))
    return file
