"""The language Mosaic Gateway plugins speak.

A plugin imports this package and third-party libraries, never the gateway and never another plugin.
"""

from mosaic_hookspecs.specs import PROJECT, hookimpl

__all__ = ["PROJECT", "hookimpl"]
