"""``mosaic mcp``: the tools of a running gateway over standard input and output."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import click


@click.command(
    epilog="""
\b
Examples:
  MOSAIC_TOKEN=... mosaic mcp --url https://gateway.example.org
  mosaic mcp --token-file ~/.mosaic-token
""",
)
@click.option(
    "--url", default="http://127.0.0.1:8080", show_default=True, help="The gateway's public address."
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File that holds the API token. Default: the variable MOSAIC_TOKEN.",
)
def mcp(url: str, token_file: Path | None) -> None:
    """Serve the tools of a gateway to an AI agent that starts programs (MCP over stdio).

    The agent sees what the token's user sees. The gateway must have `plugins.mcp` in its config. This speaks the
    protocol on standard output until standard input ends.
    """
    import anyio

    from mosaic_hookspecs.errors import Malformed, Unauthenticated
    from mosaic_mcp.relay import relay

    if not _keeps_secrets(url):
        raise Malformed(
            f"{url} would carry the API token in clear over a network",
            remedy="use the gateway's https:// address, or a tunnel to this machine",
        )
    token = token_file.read_text().strip() if token_file else os.environ.get("MOSAIC_TOKEN", "")
    if not token:
        raise Unauthenticated(
            "no API token is given",
            remedy="set MOSAIC_TOKEN or give --token-file; `mosaic token create` makes one",
        )
    anyio.run(relay, url.rstrip("/"), token)


def _keeps_secrets(url: str) -> bool:
    """Whether what is sent there is sealed, or stays on this machine."""
    there = urlsplit(url)
    if there.scheme == "https":
        return True
    try:
        here = ip_address(there.hostname or "").is_loopback
    except ValueError:
        here = there.hostname == "localhost"
    return there.scheme == "http" and here
