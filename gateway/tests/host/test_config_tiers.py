"""The tier's defaults, what goes before them, what a tier refuses, and where each value is said to come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner, Result

from mosaic_gateway.bound import find_tier
from mosaic_gateway.cli.main import mosaic
from mosaic_gateway.compose import Composition, compose
from mosaic_gateway.config import Config, bind, queue_target, read_config, storage_target
from mosaic_gateway.config.model import Storage
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import MigrationSet

HOST = {"name": "home", "data_dir": "data"}
Compose = Callable[..., Composition]


@pytest.fixture
def composed(tmp_path: Path) -> Compose:
    def make(tier: str, **tables: Any) -> Composition:
        return compose(read_config(write(tmp_path, HOST | {"tier": tier} | tables)))

    return make


def write(directory: Path, config: dict[str, Any]) -> Path:
    path = directory / "mosaic.config.json"
    path.write_text(json.dumps(config))
    return path


def mosaic_config(path: Path, *args: str) -> Result:
    return CliRunner().invoke(mosaic, ["--config", str(path), "gateway", "config", *args])


def shown(path: Path) -> dict[str, tuple[Any, str]]:
    result = mosaic_config(path, "show", "--origin", "--json")
    assert result.exit_code == 0, result.output
    return {row["key"]: (row["value"], row["origin"]) for row in json.loads(result.stdout)}


class TestTiers:
    def test_standalone_brings_its_plugins_and_defaults(self, composed: Compose) -> None:
        composition = composed("standalone")
        names = [plugin.name for plugin in composition.registry.plugins]
        assert names == ["tier_standalone", "postgres", "valkey"]
        target = composition.host.storage_target
        assert (target.type, target.url) == ("postgres", "postgresql://mosaic@localhost:5432/mosaic")
        assert composition.host.queue_target.url == "redis://localhost:6379/0"
        assert not target.enable_vector

    def test_federated_keeps_out_of_the_way_of_other_servers(self, tmp_path: Path) -> None:
        tier, _ = find_tier("federated")
        assert tier
        config = read_config(write(tmp_path, HOST | {"tier": "federated"})).data
        bound, faults = bind(Config, config)
        assert bound, faults
        storage, queue = storage_target(bound, tier, tmp_path), queue_target(bound, tier, tmp_path)
        assert storage.url == "postgresql://mosaic@localhost:5433/mosaic"
        assert (queue.type, queue.url) == ("bullmq", "redis://localhost:6380/0")
        assert storage.enable_vector
        off = bound.model_copy(update={"storage": Storage(enable_vector=False)})
        assert not storage_target(off, tier, tmp_path).enable_vector

    @pytest.mark.parametrize(
        ("tier", "tables", "says"),
        [
            ("standalone", {"storage": {"type": "oracle"}}, "no plugin offers storage 'oracle'"),
            ("standalone", {"storage": {"type": "embedded"}}, "no plugin offers storage 'embedded'"),
            ("standalone", {"queue": {"type": "postgres"}}, "no plugin offers queue 'postgres'"),
            ("local", {"queue": {"type": "bullmq"}}, "no plugin offers queue 'bullmq'"),
            ("standalone", {"storage": {"pool": 501}}, "storage.pool"),
            ("standalone", {"storage": {"pool": "many"}}, "storage.pool"),
            ("standalone", {"storage": {"enable_vector": "perhaps"}}, "storage.enable_vector"),
            ("standalone", {"storage": {"vector": True}}, "storage.vector: unknown key"),
            ("standalone", {"queue": {"pool": 5}}, "queue.pool: unknown key"),
            ("standalone", {"storage": {"url": 5}}, "storage.url"),
            ("standalone", {"queue": {"url": "http://h/0"}}, "queue"),
            ("galactic", {}, "no installed plugin offers 'galactic'"),
        ],
    )
    def test_what_a_service_cannot_be_is_named_by_its_key(
        self, composed: Compose, tier: str, tables: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(ConfigError) as refused:
            composed(tier, **tables)
        assert says in str(refused.value)
        assert refused.value.remedy

    def test_a_type_may_be_named_where_it_is_the_tier_s_own(self, composed: Compose) -> None:
        tables = {"storage": {"type": "postgres"}, "queue": {"type": "bullmq"}}
        assert composed("standalone", **tables).queue.name == "bullmq"

    def test_the_config_goes_before_the_tier(self, composed: Compose, tmp_path: Path) -> None:
        url = "postgresql://me@db.example.org/work"
        tables = {"url": url, "password_file": "secret", "enable_vector": True, "pool": 3}
        target = composed("standalone", storage=tables).host.storage_target
        assert (target.url, target.enable_vector, target.pool) == (url, True, 3)
        assert target.password_file == tmp_path / "secret"

    def test_plugins_of_the_tier_take_their_table_from_the_config(self, composed: Compose) -> None:
        composition = composed("standalone", plugins={"workspace": {}, "postgres": {}})
        names = [plugin.name for plugin in composition.registry.plugins]
        assert names == ["tier_standalone", "postgres", "valkey", "workspace"]

    def test_team_is_the_old_name_of_standalone(self, composed: Compose) -> None:
        with pytest.warns(DeprecationWarning, match=r"'team' is the old name of 'standalone'.*0\.3"):
            assert composed("team").tier.name == "standalone"

    def test_federated_takes_no_other_queue_and_says_why(self, composed: Compose) -> None:
        with pytest.raises(ConfigError) as refused:
            composed("federated", queue={"type": "postgres"})
        faults = {fault.where: fault.message for fault in refused.value.faults}
        assert "runs with 'bullmq' only: a revoked grant" in faults["queue.type"]

    def test_federated_needs_an_authority(self, composed: Compose) -> None:
        with pytest.raises(ConfigError, match="needs a certificate authority"):
            composed("federated")

    def test_federated_refuses_the_embedded_authority(self, composed: Compose) -> None:
        with pytest.raises(ConfigError, match="embedded_ca: an authority inside the gateway is not for"):
            composed("federated", plugins={"embedded_ca": {}})

    @pytest.mark.parametrize("storage", [{"url": "postgresql://u@h/d"}, {"password_file": "x"}])
    def test_what_the_embedded_postgres_would_pass_over_is_refused(
        self, composed: Compose, storage: dict[str, Any]
    ) -> None:
        with pytest.raises(ConfigError, match=r"storage.*the embedded Postgres"):
            composed("local", storage=storage)

    def test_so_is_where_a_queue_of_its_own_would_be(self, composed: Compose) -> None:
        with pytest.raises(ConfigError, match="takes neither url nor password_file"):
            composed("local", queue={"url": "redis://h/0"})

    def test_migrations_that_need_vectors_wait_for_pgvector(
        self, composed: Compose, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sets = [MigrationSet("pages", "pages.sql"), MigrationSet("page_vectors", "pages.vectors", True)]
        monkeypatch.setattr("mosaic_workspace.plugin.mosaic_migrations", hookimpl(lambda: sets))
        plain = composed("standalone", plugins={"workspace": {}})
        vector = composed("standalone", plugins={"workspace": {}}, storage={"enable_vector": True})
        components = [{each.component for each in one.migrations} for one in (plain, vector)]
        assert components[1] - components[0] == {"page_vectors"}
        assert "pages" in components[0]

    def test_a_bad_url_is_told_while_composing_and_not_repeated(self, composed: Compose) -> None:
        with pytest.raises(ConfigError, match=r"storage\.url") as refused:
            composed("standalone", storage={"url": "postgresql://me:hunter2/x@db/work"})
        assert "hunter2" not in str(refused.value)


def test_no_secret_is_in_a_repr(composed: Compose) -> None:
    composition = composed("standalone", storage={"url": "postgresql://me:hunter2@h/d"})
    host = composition.host
    shown = [composition, host, host.storage_target, composition.config, composition.storage]
    assert "hunter2" not in "".join(map(repr, shown))


class TestShow:
    def test_file_variable_tier_and_default_are_told_apart(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = {"url": "postgresql://me:hunter2@db.example.org/work", "pool": 2}
        path = write(tmp_path, HOST | {"tier": "standalone", "storage": storage})
        monkeypatch.setenv("MOSAIC_STORAGE__POOL", "7")
        values = shown(path)
        assert values["name"] == ("home", str(path))
        assert values["storage.pool"] == (7, "MOSAIC_STORAGE__POOL")
        assert values["storage.type"] == ("postgres", "tier standalone")
        assert values["storage.url"] == ("********", str(path))
        assert values["queue.url"] == ("redis://localhost:6379/0", "tier standalone")
        assert values["workers"] == (1, "default")
        assert values["plugins.postgres"] == ({}, "tier standalone")

    def test_a_variable_that_sets_a_whole_table(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path, HOST | {"tier": "local", "listen": {"public": {"port": 1}}})
        monkeypatch.setenv("MOSAIC_LISTEN", '@json {"public": {"port": 2}}')
        values = shown(path)
        assert values["listen.public.port"] == (2, "MOSAIC_LISTEN")
        assert values["listen.public.host"] == ("127.0.0.1", "default")

    def test_settings_of_plugins(self, tmp_path: Path) -> None:
        plugins = {"tier_local": {"run_as": "nobody"}, "embedded_ca": {}}
        values = shown(write(tmp_path, HOST | {"tier": "local", "plugins": plugins}))
        assert values["plugins.tier_local.run_as"][0] == "nobody"
        assert values["plugins.embedded_ca.client_hours"] == (24, "default")

    @pytest.mark.parametrize("flags", [[], ["--json"], ["--origin"], ["--origin", "--json"]])
    def test_no_secret_is_shown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
    ) -> None:
        monkeypatch.setenv("MOSAIC_QUEUE__URL", "redis://:hunter2@db.example.org/0")
        storage = {"url": "postgresql://me:hunter2@db.example.org/work"}
        path = write(tmp_path, HOST | {"tier": "standalone", "storage": storage})
        result = mosaic_config(path, "show", *flags)
        assert (result.exit_code, "hunter2" in result.output) == (0, False)


class TestCheck:
    def test_a_good_config(self, tmp_path: Path) -> None:
        result = mosaic_config(write(tmp_path, HOST | {"tier": "local"}), "check")
        assert (result.exit_code, "good" in result.output) == (0, True)
        assert not (tmp_path / "data").exists()

    def test_faults_of_composing_come_together(self, tmp_path: Path) -> None:
        storage = {"url": "postgresql://db/work"}
        path = write(
            tmp_path, HOST | {"tier": "federated", "storage": storage, "plugins": {"embedded_ca": {}}}
        )
        error = mosaic_config(path, "check").exception
        assert isinstance(error, ConfigError)
        assert error.exit_code == 3
        assert "storage.url" in str(error)
        assert "embedded_ca" in str(error)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    result = CliRunner().invoke(mosaic, ["gateway", "config", "schema"])
    assert result.exit_code == 0, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    jsonschema_rs.meta.validate(parsed)
    return parsed


class TestSchema:
    @pytest.mark.parametrize(
        "config",
        [
            {"tier": "local"},
            {"tier": "team"},
            {"$schema": "config.schema.json", "tier": "standalone", "storage": {"url": "postgresql://u@h/d"}},
            {"tier": "federated", "plugins": {"federation": {"listen": {"port": 8443}}}},
        ],
    )
    def test_a_good_config_fits(self, schema: dict[str, Any], config: dict[str, Any]) -> None:
        jsonschema_rs.validate(schema, HOST | config)

    @pytest.mark.parametrize(
        ("config", "where"),
        [
            ({"tier": "locale"}, "tier"),
            ({"tier": "local", "listen": {"public": {"prot": 1}}}, "listen"),
            ({"tier": "local", "plugins": {"federation": {"listen": {"port": "x"}}}}, "plugins"),
            ({"tier": "local", "plugins": {"worskpace": {}}}, "plugins"),
            ({"tier": "local", "storage": {"pool": 0}}, "storage"),
        ],
    )
    def test_a_mistake_does_not(self, schema: dict[str, Any], config: dict[str, Any], where: str) -> None:
        with pytest.raises(jsonschema_rs.ValidationError) as refused:
            jsonschema_rs.validate(schema, HOST | config)
        assert refused.value.instance_path[0] == where

    def test_the_schema_may_be_named_in_the_config(self, composed: Compose) -> None:
        assert composed("local", **{"$schema": "config.schema.json"}).tier.name == "local"

    def test_nothing_in_the_schema_names_this_machine(self, schema: dict[str, Any]) -> None:
        assert str(Path.home()) not in json.dumps(schema)
