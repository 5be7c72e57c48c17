"""Secrets that stand in a file, as container engines hand them over."""

from __future__ import annotations

from pathlib import Path

from mosaic_hookspecs.errors import ConfigError


def read_secret(path: Path, *, where: str) -> str:
    """The one line of a file, without its line end. Raises :class:`ConfigError`, naming the key ``where``."""
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(
            f"{where}: {path} cannot be read: {reason}", remedy="let the user who runs the gateway read it"
        ) from None
    if not text or not text.isprintable():
        raise ConfigError(
            f"{where}: {path} does not hold one line of text", remedy="write the secret into it"
        )
    return text
