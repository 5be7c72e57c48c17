"""The configuration: where it is read from, and the one model it is bound to."""

from mosaic_gateway.config.binding import bind, faults_of
from mosaic_gateway.config.files import CONFIG_NAMES, Source, find_config, read_config
from mosaic_gateway.config.model import Config

__all__ = ["CONFIG_NAMES", "Config", "Source", "bind", "faults_of", "find_config", "read_config"]
