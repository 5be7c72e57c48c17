"""``python -m mosaic_gateway.cli``: how a gateway starts its worker processes."""

from mosaic_gateway.cli import main

main()
