"""The command line. Commands are imported only when they are asked for."""

import gc
import os

# Importing makes many objects that stay: to look through them again and again is a fifteenth of a command's time.
gc.set_threshold(50_000)
# Pydantic would read the metadata of every installed distribution once more, for plugins of its own.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from mosaic_gateway.cli.main import main  # noqa: E402

__all__ = ["main"]
