"""``mosaic federation``: the services do the work; here is talk only."""

from __future__ import annotations

import click

from mosaic_federation.cli.grants import grant
from mosaic_federation.cli.peers import peer
from mosaic_federation.cli.reissue import grant_reissue, grant_release
from mosaic_federation.cli.rows import get_row, list_rows, search_rows
from mosaic_federation.cli.scopes import scope


@click.group()
def federation() -> None:
    """Share rows with other gateways, and read what they share.

    \b
    Examples:
      mosaic federation grant create --subject lead --peer home --resource tasks --team garden
      mosaic federation peer add 'https://…/federation/v1/enroll/…#ca=…'
      mosaic federation list work tasks --limit 10
    """


for _command in (grant, peer, scope, list_rows, search_rows, get_row):
    federation.add_command(_command)

for _command in (grant_reissue, grant_release):
    grant.add_command(_command)
