"""What a connection's protocol is given: by the listener, the same for all of them; and by its two ends."""

from __future__ import annotations

import logging
import ssl
import sys
from asyncio import StreamWriter
from dataclasses import dataclass
from typing import Any

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import ConnectionState

from mosaic_gateway.serving.fast import FastH1
from mosaic_gateway.serving.hypercorn_protocols import H1, H2
from mosaic_gateway.serving.limits import Limits

log = logging.getLogger("mosaic.serving")


@dataclass(frozen=True, slots=True)
class Ends:
    """Who speaks with whom: host and port where there are any, and over TLS the client's certificate in DER."""

    client: tuple[str, int] | None
    server: tuple[str, int] | None
    tls: bool
    alpn: str | None
    certificate: bytes | None

    @property
    def state(self) -> dict[str, Any]:
        """What every request of the connection has in its scope."""
        return {"client_certificate": self.certificate}


def ends_of(writer: StreamWriter) -> Ends:
    """Those of a connection whose handshake is done."""
    peer, ours = (writer.get_extra_info(name) for name in ("peername", "sockname"))
    tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    return Ends(
        client=peer and peer[:2],
        server=ours and ours[:2],
        tls=tls is not None,
        alpn=tls.selected_alpn_protocol() if tls else None,
        certificate=tls.getpeercert(binary_form=True) if tls else None,
    )


class Shared:
    """What the connections of one listener have in common."""

    def __init__(self, app: Any, limits: Limits, *, http2: bool = True, fast: bool = True) -> None:
        self.application = app
        self.app = ASGIWrapper(app)
        self.fast = fast
        self.limits = limits
        self.context = WorkerContext(None)
        self.config = Config()
        self.config.h11_max_incomplete_size = limits.max_header_bytes
        self.config.h2_max_header_list_size = limits.max_header_bytes
        self.config.h2_max_concurrent_streams = limits.max_streams
        self.config.alpn_protocols = ["http/1.1", "h2"] if http2 else ["http/1.1"]
        self.config.keep_alive_max_requests = sys.maxsize  # on h2 reaching it loses answers under way
        self.config.include_server_header = False
        self.config.accesslog = None  # Hypercorn's copies os.environ for each request
        self.config.errorlog = log

    def speak(self, protocol: type[H1] | type[H2], ends: Ends, tasks: TaskGroup, send: Any) -> H1 | H2:
        """One of Hypercorn's protocols, which gives ``send`` its events."""
        state = ConnectionState(ends.state)
        return protocol(
            self.app, self.config, self.context, tasks, state, ends.tls, ends.client, ends.server, send
        )

    def speak_fast(self, ends: Ends, **calls: Any) -> FastH1:
        """The fast HTTP/1.1, which makes these ``calls``."""
        scope = {
            "type": "http",
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "scheme": "https" if ends.tls else "http",
            "root_path": self.config.root_path,
            "client": ends.client,
            "server": ends.server,
            "state": ends.state,
        }
        return FastH1(
            self.application,
            max_header_bytes=self.limits.max_header_bytes,
            http2="h2" in self.config.alpn_protocols,
            stopping=self.context.terminated.is_set,
            scope=scope,
            **calls,
        )

    async def terminate(self) -> None:
        """Let every connection end with the answer it is giving."""
        await self.context.terminated.set()
