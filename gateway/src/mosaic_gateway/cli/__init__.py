"""The command line. Commands are imported only when they are asked for."""

from mosaic_gateway.cli.main import main

__all__ = ["main"]
