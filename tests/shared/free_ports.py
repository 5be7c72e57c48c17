"""The kit's, which gives each process a block of ports to itself."""

from mosaic_gateway.testing.ports import free_port

__all__ = ["free_port"]
