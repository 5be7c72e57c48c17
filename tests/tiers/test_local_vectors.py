"""Search by meaning on the local tier: turned on in a config, embedded in the background, found by a user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mosaic_gateway.boot import open_gateway, prepare_data_dir
from mosaic_gateway.compose import compose
from mosaic_gateway.config import read_config
from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.errors import ConfigError


class Letters:
    name, model, similarity = "letters", "letters/1", 0.8

    def __init__(self, dimensions: int = 384) -> None:
        self.dimensions = dimensions

    async def embed(self, texts, *, kind):
        return [[0.01 + text.count(chr(code)) for code in range(self.dimensions)] for text in texts]


def written(folder: Path, **more: object) -> Path:
    config = {"tier": "local", "name": "home", "data_dir": "data", "plugins": {"workspace": {}}} | more
    path = folder / "mosaic.config.json"
    path.write_text(json.dumps(config))
    return path


def offer(monkeypatch: pytest.MonkeyPatch, *embedders: object) -> None:
    from mosaic_workspace import plugin

    monkeypatch.setattr(plugin, "mosaic_embedders", hookimpl(lambda: list(embedders)), raising=False)


async def test_vectors_can_be_turned_on_later_and_rows_from_before_are_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_data_dir(tmp_path / "data")
    async with open_gateway(compose(read_config(written(tmp_path))), serving=False) as gateway:
        await gateway.identities.add_user("lead")
        lead = await gateway.identities.user("lead")
        await gateway.rows.create(lead, "tasks", b'{"title": "oats"}')
        assert [job.name for job in gateway.jobs if job.name.startswith("search")] == []
        assert gateway.rows.modes("tasks") == ("text",)

    offer(monkeypatch, Letters())
    path = written(tmp_path, storage={"enable_vector": True})
    async with open_gateway(compose(read_config(path)), serving=True) as gateway:
        [job] = [job for job in gateway.jobs if job.name == "search.index"]
        await job.run({})
        answer = await gateway.rows.search(lead, "tasks", {"q": "toast", "mode": "vector"})
        assert [item["title"] for item in json.loads(answer.body)["items"]] == ["oats"]
        assert gateway.rows.modes("tasks") == ("text", "vector", "hybrid")

    offer(monkeypatch, Letters(512))
    with pytest.raises(ConfigError, match=r"of (tasks|notes) have 384 dimensions, .* 'letters' have 512"):
        async with open_gateway(compose(read_config(path)), serving=False):
            pass


def test_an_embedder_needs_somewhere_to_keep_its_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, Letters())
    with pytest.raises(ConfigError, match=r"storage\.enable_vector is off"):
        compose(read_config(written(tmp_path)))


def test_two_embedders_are_one_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Letters()
    other.name = "other"  # type: ignore[misc]
    offer(monkeypatch, Letters(), other)
    with pytest.raises(ConfigError, match="more than one embedder: letters, other"):
        compose(read_config(written(tmp_path, storage={"enable_vector": True})))
