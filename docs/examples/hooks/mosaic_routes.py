from quart import Blueprint

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Mount


@hookimpl
def mosaic_routes(host: Host) -> list[Mount]:
    hello = Blueprint("hello", __name__)

    @hello.get("/hello")
    async def greet() -> dict[str, str]:
        return {"from": host.gateway_name}

    return [Mount("public", hello, anonymous=True)]
