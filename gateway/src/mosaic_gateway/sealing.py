"""Authenticated encryption at rest (AES-256-GCM, NIST SP 800-38D), bound to table, row and column."""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mosaic_hookspecs.errors import ConfigError

_MAGIC = b"mosaic1"
_NONCE = 12  # bytes


def create_keys(path: Path) -> None:
    """Write a new key file, mode 0600. Never overwrites one: without its key, sealed data is lost."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    text = json.dumps({"active": "k1", "keys": {"k1": key}}, indent=2)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # such as a full disk: an empty key file would be taken for a damaged one
        path.unlink()
        raise


class Keyring:
    """Implements :class:`mosaic_hookspecs.protocols.Sealer`. The envelope names its key: several may be known.

    Envelope: ``mosaic1`` · length of key id (1 byte) · key id · nonce (12 bytes) · ciphertext and tag.
    """

    def __init__(self, active: str, keys: dict[str, bytes]) -> None:
        self._active = active
        self._keys = keys

    @classmethod
    def read(cls, path: Path) -> Keyring:
        """Read a key file. Raises :class:`ConfigError` if it is absent, unreadable, open to others or broken."""
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigError(
                f"key file {path} does not exist",
                remedy="put it back from your backup; for a new gateway run `mosaic gateway init`",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise ConfigError(
                f"key file {path} cannot be read: {reason}",
                remedy="run mosaic as the user who owns it, or mend its mode",
            ) from None
        if mode & 0o077:
            raise ConfigError(f"key file {path} is open to other users", remedy=f"chmod 600 {path}")
        try:
            raw = json.loads(text)
            keys = {str(k): base64.b64decode(v, validate=True) for k, v in raw["keys"].items()}
            if any(len(k) != 32 for k in keys.values()) or raw["active"] not in keys:  # noqa: PLR2004 - AES-256
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"key file {path} is damaged", remedy="put it back from your backup") from None
        return cls(raw["active"], keys)

    @property
    def cursor_key(self) -> bytes:
        """A key for signing cursors, derived so that it reveals nothing of the sealing key (RFC 5869)."""
        kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"mosaic cursor")
        return kdf.derive(self._keys[self._active])

    def seal(self, plain: bytes, *, place: str) -> bytes:
        """Encrypt ``plain`` for ``place`` only, for example ``federation_peers/<id>/key``."""
        key_id = self._active.encode()
        header = _MAGIC + bytes([len(key_id)]) + key_id
        nonce = secrets.token_bytes(_NONCE)
        sealed = AESGCM(self._keys[self._active]).encrypt(nonce, plain, header + place.encode())
        return header + nonce + sealed

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """Decrypt. Raises :class:`ConfigError` if the key is missing, or the envelope or its place was changed."""
        if not sealed.startswith(_MAGIC) or len(sealed) <= len(_MAGIC):
            raise ConfigError(f"{place}: is not sealed data")
        start = len(_MAGIC) + 1
        end = start + sealed[len(_MAGIC)]
        key = self._keys.get(sealed[start:end].decode("utf-8", "replace"))
        if key is None:
            raise ConfigError(f"{place}: was sealed with a key that the key file does not hold")
        try:
            return AESGCM(key).decrypt(
                sealed[end : end + _NONCE], sealed[end + _NONCE :], sealed[:end] + place.encode()
            )
        except (InvalidTag, ValueError):
            raise ConfigError(f"{place}: the sealed data was changed or moved") from None
