"""A parent for the tests: two workers on one socket; prints the port."""

from __future__ import annotations

import sys
from pathlib import Path

from mosaic_gateway.serving import bind, run, stop_event, supervise
from mosaic_hookspecs.types import Listener


async def main() -> None:
    bound = bind(Listener("public", "127.0.0.1", 0))
    print(bound.getsockname()[1], flush=True)
    worker = [sys.executable, str(Path(__file__).with_name("worker_app.py"))]
    with stop_event() as stop:
        await supervise(worker, [bound], workers=2, stop=stop)


run(main())
