"""Speak HTTPS with one step-ca: a pool, a time for everything, and no trust but in the pinned root."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from mosaic_hookspecs.errors import Unavailable

_PATIENCE = 12.0  # seconds for all attempts; who enrolls waits 15
_PAUSES = (0.3, 1.2)  # seconds; after a reload the authority refuses tokens of the second it began in
_LARGEST = 4_000_000  # bytes; a revocation list of some 100,000 serials
_CONNECTIONS = 8

Body = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, body, and the authority's own clock."""

    status: int
    body: bytes
    date: str = ""

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises :class:`Unavailable` for anything else."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise Unavailable(
                "the certificate authority answers what is no JSON",
                remedy="see whether plugins.step_ca.url is its",
            )
        return value


class Client:
    """One pool of connections. Enter it, or close it."""

    def __init__(self, url: str, *, root: bytes | None, timeout: float) -> None:
        """``root`` is PEM; None trusts nobody and verifies nothing: for fetching the root itself, by its hash."""
        self._url = url
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_context(root), limit=_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=timeout),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def get(self, path: str) -> Reply:
        """Ask. Raises :class:`Unavailable` unless the answer is a success."""
        reply = await self._patiently("GET", path, None)
        if reply.status >= 300:  # noqa: PLR2004
            raise _refused(path, reply.status)
        return reply

    async def post(self, path: str, body: Body) -> Reply:
        """Send what ``body`` makes, made anew for each attempt: a token is spent even where it is refused."""
        return await self._patiently("POST", path, body)

    async def _patiently(self, method: str, path: str, body: Body | None) -> Reply:
        try:
            async with asyncio.timeout(_PATIENCE):
                for pause in _PAUSES:
                    try:
                        reply = await self._once(method, path, body)
                    except Unavailable:
                        pass  # the last attempt says why
                    else:
                        if reply.status != 401 and reply.status < 500:  # noqa: PLR2004
                            return reply
                    await asyncio.sleep(pause)
                reply = await self._once(method, path, body)
        except TimeoutError:
            raise self._silent() from None
        if reply.status == 401 or reply.status >= 500:  # noqa: PLR2004
            raise _refused(path, reply.status)
        return reply

    async def _once(self, method: str, path: str, body: Body | None) -> Reply:
        content = await body() if body else None
        try:
            async with self._session.request(
                method, self._url + path, json=content, allow_redirects=False
            ) as response:
                answer = await response.content.read(_LARGEST + 1)
                while len(answer) <= _LARGEST and not response.content.at_eof():
                    answer += await response.content.read(_LARGEST + 1 - len(answer))
        except aiohttp.ClientConnectorCertificateError:
            raise Unavailable(
                f"the server at {self._url} is not our certificate authority: its certificate does not come from "
                "the pinned root, or is for another name",
                remedy="compare plugins.step_ca.fingerprint and url with `mosaic federation ca init`'s; "
                "if they are right, somebody else answers there",
            ) from None
        except TimeoutError:
            raise self._silent() from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(
                f"the certificate authority at {self._url} cannot be reached: {_cause(error)}",
                remedy="see whether step-ca runs and plugins.step_ca.url is its address",
            ) from None
        if len(answer) > _LARGEST:
            raise Unavailable(f"the certificate authority answers more than {_LARGEST} bytes")
        return Reply(response.status, answer, response.headers.get("Date", ""))

    def _silent(self) -> Unavailable:
        return Unavailable(
            f"the certificate authority at {self._url} does not answer in time",
            remedy="see whether step-ca hangs, its log and its database",
        )


def _context(root: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # with an empty store: never the system's
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if root is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=root.decode("ascii"))
    return context


def _cause(error: Exception) -> str:
    """In words of our own: an exception's text may quote what was sent."""
    if isinstance(error, aiohttp.ClientSSLError):
        return "it does not speak TLS 1.3"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    return "it does not speak HTTP"


def _refused(path: str, status: int) -> Unavailable:
    if status == 401:  # noqa: PLR2004
        return Unavailable(
            f"the certificate authority does not accept this gateway's tokens ({path})",
            remedy="compare the clocks, and the provisioners' keys: `mosaic federation ca show`",
        )
    return Unavailable(
        f"the certificate authority answers {path} with HTTP {status}", remedy="look into the log of step-ca"
    )
