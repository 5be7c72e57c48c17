"""Authenticated encryption at rest (AES-256-GCM, NIST SP 800-38D), bound to table, row and column."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from mosaic_gateway.sealing.keys import ENVIRONMENT, KEY_FILE, FileState, KeyFile, Keys
from mosaic_hookspecs.errors import ConfigError

MAGIC = b"mosaic1"
_NONCE = 12  # bytes


class Keyring:
    """Implements :class:`mosaic_hookspecs.protocols.Sealer`. The envelope names its key: several may be known.

    Envelope: ``mosaic1`` · length of key id (1 byte) · key id · nonce (12 bytes) · ciphertext and tag.
    One that was read from a file follows the file: what another process changes there is seen on next use.
    """

    def __init__(self, keys: Keys, file: KeyFile | None = None, state: FileState | None = None) -> None:
        self.file = file  # what it was read from; None: the environment
        self._state = state
        self._take(keys)

    @classmethod
    def load(cls, data_dir: Path) -> Keyring:
        """The keys of a gateway: those of the environment, else of its key file. Raises :class:`ConfigError`."""
        text = os.environ.get(ENVIRONMENT)
        if text is None:
            return cls.read(data_dir / KEY_FILE)
        try:
            return cls(Keys.parse(text))
        except ValueError:
            raise ConfigError(
                f"{ENVIRONMENT} is not the text of a key file",
                remedy="give it as mosaic gateway init writes keys.json; or unset it to use the file",
            ) from None

    @classmethod
    def read(cls, path: Path) -> Keyring:
        """Read a key file. Raises :class:`ConfigError` if it is absent, unreadable, open to others or broken."""
        file = KeyFile(path)
        state = file.state()  # first: a change in between is then seen later
        return cls(file.read(), file, state)

    @property
    def keys(self) -> Keys:
        """The keys as they are now. Raises :class:`ConfigError` if the file has become unusable."""
        self._refresh()
        return self._known

    def cursor_keys(self) -> Sequence[bytes]:
        """Keys for signing cursors, the one to sign with first; they reveal nothing of the sealing keys (RFC 5869).

        A cursor signed before a rotation is good until its key is retired.
        """
        self._refresh()
        return self._cursor_keys

    def header(self) -> bytes:
        """What every envelope of the active key starts with."""
        return _header(self.keys.active)

    def seal(self, plain: bytes, *, place: str) -> bytes:
        """Encrypt ``plain`` for ``place`` only, for example ``federation_peers/<id>/key``."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  8 MB of any process

        keys = self.keys
        header = _header(keys.active)
        nonce = secrets.token_bytes(_NONCE)
        sealed = AESGCM(keys.keys[keys.active]).encrypt(nonce, plain, header + place.encode())
        return header + nonce + sealed

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """Decrypt. Raises :class:`ConfigError` if the key is missing, or the envelope or its place was changed."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        if not sealed.startswith(MAGIC) or len(sealed) <= len(MAGIC):
            raise ConfigError(f"{place}: is not sealed data")
        start = len(MAGIC) + 1
        end = start + sealed[len(MAGIC)]
        key_id = sealed[start:end].decode("utf-8", "replace")
        key = self._known.keys.get(key_id) or self.keys.keys.get(key_id)  # the second looks at the file
        if key is None:
            raise ConfigError(f"{place}: was sealed with a key that the key file does not hold")
        try:
            return AESGCM(key).decrypt(
                sealed[end : end + _NONCE], sealed[end + _NONCE :], sealed[:end] + place.encode()
            )
        except (InvalidTag, ValueError):
            raise ConfigError(f"{place}: the sealed data was changed or moved") from None

    def _refresh(self) -> None:
        if self.file is not None and (state := self.file.state()) != self._state:
            self._take(self.file.read())
            self._state = state

    def _take(self, keys: Keys) -> None:
        self._known = keys
        others = [key for name, key in keys.keys.items() if name != keys.active]
        self._cursor_keys = tuple(_cursor_key(key) for key in (keys.keys[keys.active], *others))


def _header(key_id: str) -> bytes:
    name = key_id.encode()
    return MAGIC + bytes([len(name)]) + name


def _cursor_key(key: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"mosaic cursor").derive(key)
