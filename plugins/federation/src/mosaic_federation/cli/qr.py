"""A QR code of a URL, on a terminal that is wide enough for it; nowhere else."""

from __future__ import annotations

import shutil
import sys


def show_qr(url: str) -> None:
    """Print the code to standard output: about 30 lines for an enrollment URL."""
    if not sys.stdout.isatty():
        return
    import segno

    code = segno.make(url, error="l", micro=False)
    width, _ = code.symbol_size(border=2)
    if width <= shutil.get_terminal_size().columns:
        code.terminal(sys.stdout, border=2, compact=True)
