from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Listener


@hookimpl
def mosaic_listeners(host: Host) -> list[Listener]:
    return [Listener("metrics", host="127.0.0.1", port=9090)]
