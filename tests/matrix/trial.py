"""What is tried in a row's environment: one method for each step."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.matrix import audit, environments
from tests.matrix.environments import Environment, distribution
from tests.matrix.inspected import Inspected
from tests.matrix.processes import Clock, Failed, kill_group
from tests.matrix.rows import CONFIG, MAY_BE_NOT_RUN, MAY_BE_RED, SERVICES, Row
from tests.matrix.services import Services, needs_authority, step_ca
from tests.matrix.wheels import Wheel
from tests.shared.free_ports import free_port

SECONDS = 120.0  # of a row, once it is installed: ten times what it takes on a machine that does nothing else
USER = (["user", "add", "lead", "--admin"], ["token", "create", "lead", "--name", "matrix", "--json"])


class Trial:
    """One row at work."""

    def __init__(
        self, row: Row, home: Path, environment: Environment, wheels: Mapping[str, Wheel],
        services: Services, bytecode: Path,
    ) -> None:  # fmt: skip
        self.row, self.home, self.environment, self.wheels = row, home, environment, wheels
        self.services = services
        self.port = free_port()
        self.config = home / "mosaic.config.json"
        self.mosaic = Inspected(environment.python, self.config, bytecode, Clock(SECONDS))

    def run(self) -> None:
        """Its steps, in order. Raises :class:`Failed`."""
        self._write(self._settings())
        for step in self.row.steps:
            try:
                getattr(self, f"_{step}")()
            except Failed as failure:
                raise Failed(f"{step}: {failure}") from failure

    def _settings(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "tier": self.row.tier or "local",
            "name": "work",
            "data_dir": "data",
            "listen": {"public": {"port": self.port}},
            "plugins": {name: {} for name in self.row.plugins},
        }
        if self.row.tier not in (None, "local"):
            config |= self.services.config()
        if "federation" in self._loaded():
            config["plugins"]["federation"] = {"listen": {"port": free_port()}}
        for name in self.row.plugins:
            config |= CONFIG.get(name, {})
        return config

    def _write(self, config: dict[str, Any]) -> None:
        self.config.write_text(json.dumps(config, indent=2))

    def _loaded(self) -> set[str]:
        """What the row's config names, its tier, and what the tier's wheel requires."""
        if self.row.tier is None:
            return set()
        tier = self.wheels[distribution(f"tier_{self.row.tier}")]
        brought = [self.wheels[need.name] for need in tier.needed() if need.name in self.wheels]
        return {*self.row.plugins, *(name for wheel in (tier, *brought) for name in wheel.plugins)}

    def _help(self) -> None:
        self.mosaic.check(["--help"])
        audit.check_light(self.mosaic.modules())

    def _missing(self) -> None:
        said = self.mosaic.run("gateway", "config", "check", code=3)
        _expect("pip install mosaic-tier-local" in said, f"it does not say what is missing: {said}")

    def _refused(self) -> None:
        said = self.mosaic.run("gateway", "config", "check", code=3)
        _expect(self.row.says in said, f"it does not say {self.row.says!r}: {said}")

    def _boot(self) -> None:
        """Serve, answer what can be asked without parameters, stop; then look what was imported."""
        with self._authority():
            commands = (["gateway", "prepare"], *USER, ["gateway", "start"])
            with self.mosaic.serving(commands, self.port) as gateway:
                for path, methods in gateway.get("/openapi.json")["paths"].items():
                    if "get" in methods and "{" not in path and not methods["get"].get("parameters"):
                        gateway.get(path)
        site = next(self.environment.python.parents[1].glob("lib/python*/site-packages"))
        audit.check_exact(self.mosaic.modules(), self._loaded(), site)

    @contextmanager
    def _authority(self) -> Iterator[None]:
        """A step-ca of this gateway's own, where it needs one."""
        program = step_ca() if needs_authority(self.row) else None
        if program is None:
            yield
            return
        address = f"127.0.0.1:{free_port()}"
        url = f"https://localhost:{address.rpartition(':')[2]}"
        self.mosaic.check(["gateway", "prepare"])
        init = ("federation", "ca", "init", str(self.home / "ca"), "--url", url, "--address", address)
        made = json.loads(self.mosaic.run(*init, "--json"))
        settings = json.loads(self.config.read_text())
        settings["plugins"]["step_ca"] = {key: made[key] for key in ("url", "fingerprint")}
        self._write(settings)
        process = subprocess.Popen(
            [program, *shlex.split(made["start"].partition(" && ")[2])[1:]],
            cwd=self.home / "ca", text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            kill_group(process)

    def _doctor(self) -> None:
        found = json.loads(self.mosaic.run("gateway", "doctor", "--json", code=None))["findings"]
        red = [each for each in found if each["status"] == "red" and each["probe"] not in MAY_BE_RED]
        _expect(not red, "; ".join(f"{each['probe']}: {each['detail']}" for each in red))

    def _contracts(self) -> None:
        """With what the suites themselves need, which comes only now: the row booted without it."""
        gateway = self.wheels["mosaic-gateway"].path
        testing = f"mosaic-gateway[testing] @ {gateway.as_uri()}"
        environments.install(self.environment, "--find-links", gateway.parent, testing)
        plugin = self.row.plugins[0]
        file = self.home / "check.json"
        offered = self.services.config() if plugin in SERVICES else {}
        given = {SERVICES[plugin]: offered[SERVICES[plugin]]} if offered else {}
        file.write_text(json.dumps(given | CONFIG.get(plugin, {})))
        code = None if plugin in MAY_BE_NOT_RUN else 0
        said = self.mosaic.run("plugins", "check", distribution(plugin), "--config", str(file), code=code)
        _expect("\nfailed" not in said, said)


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise Failed(otherwise)
