"""The `mosaic` of a row's environment, and what it imported."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.matrix.processes import Clock, Failed, kill_group, run

INSIDE = Path(__file__).with_name("inside.py")
#: Of a user who has set nothing.
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": str(Path.home()),
    "LANG": "C.UTF-8",
}


@dataclass(frozen=True)
class Served:
    """A gateway that answers."""

    port: int
    token: str
    clock: Clock

    def get(self, path: str) -> Any:
        """The body; JSON is read. Raises :class:`Failed` for an answer that is an error."""
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self.clock.left) as answer:
                body = answer.read()
                return json.loads(body) if "json" in answer.headers.get("Content-Type", "") else body
        except urllib.error.HTTPError as error:
            raise Failed(f"GET {path}: {error.code} {error.read().decode()}") from None
        except OSError as error:
            raise Failed(f"GET {path}: {error}") from None


class Inspected:
    """Runs it by the environment's Python, which sees nothing of the checkout."""

    def __init__(self, python: Path, config: Path, bytecode: Path, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._python = [str(python), "-I", "-X", f"pycache_prefix={bytecode}"]
        self._modules = config.with_name("modules.json")

    def run(self, *command: str, code: int | None = 0) -> str:
        """As its user does, and what it printed. Raises :class:`Failed` unless it exits with this code."""
        given = [*self._python, "-m", "mosaic_gateway.cli", "--config", str(self._config), *command]
        ended, said = run(given, ENVIRONMENT, self._clock.left, self._config.parent)
        if code not in (None, ended):
            raise Failed(f"`mosaic {' '.join(command)}` ended with {ended}: {said}")
        return said

    def check(self, *commands: Sequence[str]) -> None:
        """Run some in one process; :meth:`modules` are then those it had imported."""
        code, said = run(self._inside(commands), ENVIRONMENT, self._clock.left, self._config.parent)
        if code:
            raise Failed(said)

    def modules(self) -> list[str]:
        """What the last process had imported when it ended."""
        modules: list[str] = json.loads(self._modules.read_text())
        return modules

    @contextmanager
    def serving(self, commands: Sequence[Sequence[str]], port: int) -> Iterator[Served]:
        """The last command serves; it is stopped at the end as an operator stops it."""
        said = self._config.with_name("said.txt")
        with said.open("w") as out:
            process = subprocess.Popen(
                self._inside(commands), cwd=self._config.parent, env=ENVIRONMENT, text=True,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        try:
            while not _ready(port):
                if process.poll() is not None:
                    raise Failed(f"it ended with {process.returncode}")
                assert self._clock.left
                time.sleep(0.05)
            token = re.findall(r'"token": "(\S+)"', said.read_text())[-1]
            yield Served(port, token, self._clock)
            process.terminate()
            if process.wait(self._clock.left):
                raise Failed(f"it ended with {process.returncode}")
        except subprocess.TimeoutExpired:
            raise Failed(f"it did not stop: {said.read_text()}") from None
        except Failed as failure:
            raise Failed(f"{said.read_text()}{failure}") from None
        finally:
            kill_group(process)

    def _inside(self, commands: Sequence[Sequence[str]]) -> list[str]:
        given = [["--config", str(self._config), *command] for command in commands]
        return [*self._python, str(INSIDE), str(self._modules), json.dumps(given)]


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
