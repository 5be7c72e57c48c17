"""Merkle tree hash as in RFC 6962, section 2.1, over leaves that come one by one.

By hand, in thirty lines: pymerkle keeps every leaf, and this must do for more rows than memory holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256


class Tree:
    """Holds one hash for each perfect subtree, the largest first: as many as the number of leaves has ones."""

    def __init__(self) -> None:
        self.leaves = 0
        self._peaks: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Append a leaf."""
        self._peaks.append(sha256(b"\0" + leaf).digest())
        self.leaves += 1
        size = self.leaves
        while size % 2 == 0:
            right = self._peaks.pop()
            self._peaks[-1] = _node(self._peaks[-1], right)
            size //= 2

    def root(self) -> bytes:
        """Hash over all leaves so far, 32 bytes."""
        if not self._peaks:
            return sha256(b"").digest()
        *left, top = self._peaks
        for peak in reversed(left):
            top = _node(peak, top)
        return top


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Hash over these leaves."""
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()
