"""What this plugin offers: one embedder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_hookspecs import hookimpl

if TYPE_CHECKING:
    from mosaic_hookspecs.protocols import Embedder, Host


@hookimpl
def mosaic_embedders(host: Host) -> list[Embedder]:  # noqa: ARG001 - pluggy passes it by name
    """all-MiniLM-L6-v2. Raises :class:`ConfigError` if the model is not installed."""
    from mosaic_embed_minilm.embedder import MiniLM
    from mosaic_embed_minilm.files import model_files

    return [MiniLM(model_files())]
