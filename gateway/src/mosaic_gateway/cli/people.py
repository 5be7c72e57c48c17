"""``mosaic user``, ``mosaic team``, ``mosaic token``: thin over :class:`Identities`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mosaic_gateway.cli.shell import Shell

if TYPE_CHECKING:
    from mosaic_gateway.identity import Identities

T = TypeVar("T")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ROLE = click.Choice(["admin", "member"])


def _ask(shell: Shell, work: Callable[[Identities], Awaitable[T]]) -> T:
    return shell.gateway(lambda gateway: work(gateway.identities))


def _show_all(
    shell: Shell, records: Sequence[Any], columns: Sequence[str], as_json: bool, empty: str
) -> None:
    shell.table([asdict(record) for record in records], columns=columns, as_json=as_json, empty=empty)


@click.group()
def user() -> None:
    """Manage the users of this gateway."""


@user.command("add", epilog="\b\nExample:\n  mosaic user add lead --display-name 'Design lead'")
@click.argument("username")
@click.option("--display-name", default="", help="Shown beside the username.")
@click.option("--admin", is_flag=True, help="Give the role admin. It opens no row of other users.")
@as_json
@click.pass_obj
def add_user(shell: Shell, username: str, display_name: str, admin: bool, as_json: bool) -> None:
    """Add a user. A token for them comes from `mosaic token create`."""
    account = _ask(shell, lambda i: i.add_user(username, display_name=display_name, admin=admin))
    shell.record(asdict(account), as_json=as_json)


@user.command("list", epilog="\b\nExample:\n  mosaic user list --json")
@as_json
@click.pass_obj
def list_users(shell: Shell, as_json: bool) -> None:
    """List users, disabled ones too."""
    columns = ["username", "display_name", "role", "created_at", "disabled_at"]
    _show_all(shell, _ask(shell, lambda i: i.users()), columns, as_json, "no user yet")


@user.command("disable", epilog="\b\nExample:\n  mosaic user disable lead")
@click.argument("username")
@as_json
@click.pass_obj
def disable_user(shell: Shell, username: str, as_json: bool) -> None:
    """Refuse a user and their tokens from now on; their rows stay."""
    shell.record(asdict(_ask(shell, lambda i: i.disable_user(username))), as_json=as_json)


@click.group()
def team() -> None:
    """Manage teams and who is in them."""


@team.command("add", epilog="\b\nExample:\n  mosaic team add atlas --name 'Project Atlas'")
@click.argument("slug")
@click.option("--name", default="", help="Shown beside the slug.")
@as_json
@click.pass_obj
def add_team(shell: Shell, slug: str, name: str, as_json: bool) -> None:
    """Add a team."""
    shell.record(asdict(_ask(shell, lambda i: i.add_team(slug, name))), as_json=as_json)


@team.command("list", epilog="\b\nExample:\n  mosaic team list --json")
@as_json
@click.pass_obj
def list_teams(shell: Shell, as_json: bool) -> None:
    """List teams."""
    _show_all(
        shell, _ask(shell, lambda i: i.teams()), ["slug", "name", "id", "created_at"], as_json, "no team yet"
    )


@team.command("members", epilog="\b\nExample:\n  mosaic team members atlas")
@click.argument("slug")
@as_json
@click.pass_obj
def list_members(shell: Shell, slug: str, as_json: bool) -> None:
    """List the members of a team."""
    members = _ask(shell, lambda i: i.members(slug))
    _show_all(shell, members, ["username", "role", "created_at"], as_json, "nobody is in this team yet")


@team.command("add-member", epilog="\b\nExample:\n  mosaic team add-member atlas lead")
@click.argument("slug")
@click.argument("username")
@click.option("--role", type=_ROLE, default="member", show_default=True, help="Role inside the team.")
@as_json
@click.pass_obj
def add_member(shell: Shell, slug: str, username: str, role: Any, as_json: bool) -> None:
    """Put a user into a team, or change their role in it."""
    shell.record(asdict(_ask(shell, lambda i: i.add_member(slug, username, role))), as_json=as_json)


@team.command("remove-member", epilog="\b\nExample:\n  mosaic team remove-member atlas lead")
@click.argument("slug")
@click.argument("username")
@click.pass_obj
def remove_member(shell: Shell, slug: str, username: str) -> None:
    """Take a user out of a team: they lose sight of its rows at once, and so do their grants."""
    _ask(shell, lambda i: i.remove_member(slug, username))
    click.echo(f"{username} is no longer in {slug}")


@click.group()
def token() -> None:
    """Manage API tokens."""


@token.command("create", epilog="\b\nExample:\n  mosaic token create lead --name laptop --days 30")
@click.argument("username")
@click.option("--name", required=True, help="What the token is for.")
@click.option(
    "--days", type=click.IntRange(1, 36500), default=90, show_default=True, help="Life of the token."
)
@as_json
@click.pass_obj
def create_token(shell: Shell, username: str, name: str, days: int, as_json: bool) -> None:
    """Make an API token. It is shown once and stored only as a hash."""
    new = _ask(shell, lambda i: i.create_token(username, name=name, expires_in=timedelta(days=days)))
    shell.record({"token": new.secret, "prefix": new.prefix, "expires_at": new.expires_at}, as_json=as_json)


@token.command("list", epilog="\b\nExample:\n  mosaic token list --user lead")
@click.option("--user", "username", help="Only this user's.")
@as_json
@click.pass_obj
def list_tokens(shell: Shell, username: str | None, as_json: bool) -> None:
    """List tokens by prefix, without their secrets."""
    columns = ["prefix", "name", "username", "expires_at", "last_used_at", "revoked_at"]
    _show_all(shell, _ask(shell, lambda i: i.tokens(username)), columns, as_json, "no token yet")


@token.command("revoke", epilog="\b\nExample:\n  mosaic token revoke k3jd92ma")
@click.argument("prefix")
@as_json
@click.pass_obj
def revoke_token(shell: Shell, prefix: str, as_json: bool) -> None:
    """Refuse a token from now on."""
    shell.record(asdict(_ask(shell, lambda i: i.revoke_token(prefix))), as_json=as_json)
