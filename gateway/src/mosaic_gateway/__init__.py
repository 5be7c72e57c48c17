"""The host: reads a config, loads the plugins it names, composes a tier, serves resources."""

from importlib.metadata import version

__version__ = version("mosaic-gateway")
