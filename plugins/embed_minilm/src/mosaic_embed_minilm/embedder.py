"""The embedder: the network in a thread of its own, loaded with the first text."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mosaic_embed_minilm.files import ModelFiles
    from mosaic_embed_minilm.network import Network


class MiniLM:
    """Implements :class:`mosaic_hookspecs.protocols.Embedder`."""

    name = "minilm"
    model = "sentence-transformers/all-MiniLM-L6-v2"
    dimensions = 384
    similarity = 0.3  # texts that have nothing to do with each other are around 0 to 0.2

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self._network: Network | None = None
        # One: rows in the background and a search's words take turns, and one core stays free to serve.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minilm")

    async def embed(
        self,
        texts: Sequence[str],
        *,
        kind: Literal["query", "row"],  # noqa: ARG002 - to this model both are the same
    ) -> Sequence[Sequence[float]]:
        """Return vectors of length 1. Raises :class:`ConfigError` if the model's files are not the published ones."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, texts)

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self._network is None:
            self._network = _load(self._files)
        return self._network.embed(texts)


def _load(files: ModelFiles) -> Network:
    # Threads of OpenBLAS wait by spinning: where others want the cores, too, two are five times slower than one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from mosaic_embed_minilm.network import Network  # noqa: PLC0415 - half a second, and only where it is used

    files.check()
    return Network(files)
