"""Two gateways, of which one reads what the other shares."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaic_gateway.testing.gateway import USER, LiveGateway, live_gateway
from mosaic_gateway.testing.ports import free_port

if TYPE_CHECKING:
    import httpx

_FEDERATION = ("audit", "embedded_ca", "federation")


@dataclass(frozen=True)
class Pair:
    """``work`` shares with ``home``, which has enrolled and calls it ``work``."""

    home: LiveGateway
    work: LiveGateway
    grant: str  # its id at work

    def read(self, path: str, **params: Any) -> httpx.Response:
        """What home's ``lead`` is answered for ``/v1/peers/work/<path>``, such as ``tasks``."""
        return self.home.client.get(f"/v1/peers/{self.work.name}/{path}", params=params)


@contextmanager
def live_pair(
    *plugins: str, resources: Collection[str], config: Mapping[str, Any] | None = None
) -> Iterator[Pair]:
    """Run both with these plugins while entered, and a grant to all that work's ``lead`` sees of the resources."""
    with ExitStack() as both:
        # home leaves first, and hangs up: work would wait for it
        work, home = (both.enter_context(_gateway(name, plugins, config)) for name in ("work", "home"))
        scope = {"resources": [*resources], "include_personal": True}
        asked = {"subject": USER, "peer": home.name, "scope": scope}
        offer = _made(work.client.post("/v1/admin/grants", json=asked))
        pin = offer["url"].partition("#ca=")[2]
        joining = {"url": offer["url"], "expect_fingerprint": pin, "name": work.name}
        _made(home.client.post("/v1/admin/peers", json=joining))
        yield Pair(home, work, offer["id"])


@contextmanager
def _gateway(name: str, plugins: Collection[str], config: Mapping[str, Any] | None) -> Iterator[LiveGateway]:
    # not kept: a test wants what is true now
    federation = {"listen": {"port": free_port()}, "reading": {"cache_seconds": 0}}
    wanted = (*plugins, *(each for each in _FEDERATION if each not in plugins))
    with live_gateway(*wanted, config=config, name=name, federation=federation) as gateway:
        yield gateway


def _made(answer: httpx.Response) -> Any:
    if not answer.is_success:
        raise AssertionError(f"{answer.request.method} {answer.request.url}: {answer.text}")
    return answer.json()
