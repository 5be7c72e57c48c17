"""The six layers of all-MiniLM-L6-v2 (BERT: Devlin et al., 2018), forward only.

By hand, in sixty lines: the library for it is PyTorch, which takes 2 to 6 GB for one matrix product after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from mosaic_embed_minilm.files import ModelFiles

TOKENS = 256  # of a text; what follows is cut off, as in training
_HEADS = 12
_LAYERS = 6
_TOGETHER = 8  # texts; more need more memory, and are no faster

Array = Any


class Network:
    """The loaded model. Takes 100 MB."""

    def __init__(self, files: ModelFiles) -> None:
        self._weights: dict[str, Array] = load_file(files.weights)
        self._tokenizer = Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.enable_truncation(TOKENS)
        self._tokenizer.enable_padding()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of length 1 for each text."""
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # alike in length: little padding
        vectors: dict[int, list[float]] = {}
        for start in range(0, len(order), _TOGETHER):
            batch = order[start : start + _TOGETHER]
            vectors |= zip(batch, self._batch([texts[at] for at in batch]).tolist(), strict=True)
        return [vectors[at] for at in range(len(texts))]

    def _batch(self, texts: list[str]) -> Array:
        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in encoded])
        mask = np.array([one.attention_mask for one in encoded], dtype=np.float32)
        x = self._weights["embeddings.word_embeddings.weight"][ids]
        x = x + self._weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = x + self._weights["embeddings.token_type_embeddings.weight"][0]
        x = self._normed(x, "embeddings.LayerNorm")
        for number in range(_LAYERS):
            x = self._layer(x, mask, f"encoder.layer.{number}")
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _layer(self, x: Array, mask: Array, name: str) -> Array:
        seen = self._linear(
            self._attention(x, mask, f"{name}.attention.self"), f"{name}.attention.output.dense"
        )
        x = self._normed(x + seen, f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._normed(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _attention(self, x: Array, mask: Array, name: str) -> Array:
        texts, tokens, width = x.shape
        query, key, value = (
            self._linear(x, f"{name}.{part}").reshape(texts, tokens, _HEADS, -1).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32((width / _HEADS) ** 0.5)
        scores += (mask[:, None, None, :] - 1) * np.float32(1e4)  # padding is not looked at
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return (weights @ value).transpose(0, 2, 1, 3).reshape(texts, tokens, width)

    def _linear(self, x: Array, name: str) -> Array:
        rows = x.reshape(-1, x.shape[-1]) @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return rows.reshape(*x.shape[:-1], -1)

    def _normed(self, x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(1e-12))
        return scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _gelu(x: Array) -> Array:
    """x · Φ(x), with the error function by Abramowitz and Stegun 7.1.26 (off by 1.5e-7 at most)."""
    z = np.abs(x) / np.float32(2**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.float32(1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(coefficient)
    return x * (1 + np.sign(x) * (1 - series * t * np.exp(-z * z))) / 2
