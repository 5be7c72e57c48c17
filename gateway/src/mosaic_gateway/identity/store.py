"""Identities over the database. Names are looked up as given, usernames without regard to case."""

from __future__ import annotations

import hmac
from datetime import timedelta
from uuid import UUID

import asyncpg

from mosaic_gateway.identity import tokens
from mosaic_gateway.identity.known import Found, KnownTokens
from mosaic_gateway.identity.names import check_slug, check_text, check_username
from mosaic_gateway.identity.records import Account, Member, NewToken, Role, TeamRecord, Token
from mosaic_hookspecs.errors import Conflict, Fault, Invalid, NotFound, Unauthenticated
from mosaic_hookspecs.protocols import Cache, Database, Sealer
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import Team, User

_sql = load_queries("mosaic_gateway.identity", "queries.sql")
_NEW_TOKEN = "`mosaic token create` makes a new one"  # noqa: S105 - a hint, no secret
_LONGEST = timedelta(days=36500)


class Identities:
    """Users, teams, memberships and tokens. Implements :class:`mosaic_hookspecs.protocols.Identity`."""

    def __init__(self, database: Database, cache: Cache | None = None, sealer: Sealer | None = None) -> None:
        self._db = database
        self._known = KnownTokens(cache, sealer, self._find_token) if cache and sealer else None

    async def user(self, name_or_id: str | UUID) -> User:
        """Look a user up by username or id. Raises :class:`NotFound` for an unknown or disabled one."""
        by_id = isinstance(name_or_id, UUID)
        key = name_or_id if by_id else _lookup(str(name_or_id))
        row = await self._db.fetchrow(_sql.user_by_id if by_id else _sql.user_by_name, key)
        if row is None:
            raise _no_user(name_or_id)
        return User(**row)

    async def teams_of(self, user_id: UUID) -> tuple[Team, ...]:
        """Return the teams a user is in now, by slug."""
        return tuple(Team(**row) for row in await self._db.fetch(_sql.teams_of, user_id))

    async def add_user(self, username: str, *, display_name: str = "", admin: bool = False) -> Account:
        """Add a user. Raises :class:`Invalid` for a bad name, :class:`Conflict` for a taken one."""
        check_username(username), check_text(display_name, "display name")
        try:
            [row] = await self._db.fetch(
                _sql.add_user, username, display_name, "admin" if admin else "member"
            )
        except asyncpg.UniqueViolationError:
            raise Conflict(f"There is already a user {username!r}.", remedy="choose another name") from None
        return Account(**row)

    async def users(self) -> tuple[Account, ...]:
        """Return every user, disabled ones too, by username."""
        return tuple(Account(**row) for row in await self._db.fetch(_sql.users))

    async def disable_user(self, name: str) -> Account:
        """Refuse a user from now on; their rows stay. Raises :class:`NotFound`."""
        row = await self._db.fetchrow(_sql.disable_user, _lookup(name))
        if row is None:
            raise _no_user(name)
        await self._forget([token["prefix"] for token in await self._db.fetch(_sql.tokens, row["id"])])
        return Account(**row)

    async def add_team(self, slug: str, name: str = "") -> TeamRecord:
        """Add a team. Raises :class:`Invalid` for a bad name, :class:`Conflict` for a taken one."""
        check_slug(slug), check_text(name, "team name")
        try:
            [row] = await self._db.fetch(_sql.add_team, slug, name)
        except asyncpg.UniqueViolationError:
            raise Conflict(f"There is already a team {slug!r}.", remedy="choose another name") from None
        return TeamRecord(**row)

    async def teams(self) -> tuple[TeamRecord, ...]:
        """Return every team, by slug."""
        return tuple(TeamRecord(**row) for row in await self._db.fetch(_sql.teams))

    async def add_member(self, team: str, user: str, role: Role = "member") -> Member:
        """Put a user into a team, or change their role in it. Raises :class:`NotFound`."""
        team_id, member = await self._team_id(team), await self.user(user)
        [row] = await self._db.fetch(_sql.add_member, team_id, member.id, role)
        return Member(team=team, username=member.username, **row)

    async def remove_member(self, team: str, user: str) -> None:
        """Take a user out of a team: they lose sight of its rows at once. Raises :class:`NotFound`."""
        team_id = await self._team_id(team)
        if await self._db.fetchval(_sql.remove_member, team_id, _lookup(user)) is None:
            raise NotFound(
                f"{user!r} is not in the team {team!r}.", remedy="`mosaic team members` lists them"
            )

    async def members(self, team: str) -> tuple[Member, ...]:
        """Return the members of a team, by username. Raises :class:`NotFound`."""
        rows = await self._db.fetch(_sql.members, await self._team_id(team))
        return tuple(Member(**row) for row in rows)

    async def create_token(self, user: str, *, name: str, expires_in: timedelta | None) -> NewToken:
        """Make an API token for a user. Raises :class:`NotFound` and :class:`Invalid`."""
        check_text(name, "token name", required=True)
        if expires_in is not None and not timedelta(0) < expires_in <= _LONGEST:
            raise Invalid(
                "The token's life is not valid.",
                faults=[Fault("expires_in", "expected more than 0 and at most 100 years")],
            )
        owner = await self.user(user)
        secret, prefix = tokens.make()
        expires_at = await self._db.fetchval(
            _sql.create_token, owner.id, name, prefix, tokens.digest(secret), expires_in
        )
        return NewToken(secret=secret, prefix=prefix, expires_at=expires_at)

    async def tokens(self, user: str | None = None) -> tuple[Token, ...]:
        """Return the tokens of one user or of all, oldest first. Raises :class:`NotFound`."""
        user_id = None if user is None else (await self.user(user)).id
        return tuple(Token(**row) for row in await self._db.fetch(_sql.tokens, user_id))

    async def revoke_token(self, prefix: str) -> Token:
        """Refuse a token from now on. Raises :class:`NotFound`."""
        row = await self._db.fetchrow(_sql.revoke_token, _lookup(prefix))
        if row is None:
            raise NotFound(f"There is no token {prefix!r}.", remedy="`mosaic token list` shows the prefixes")
        await self._forget([row["prefix"]])
        return Token(**row)

    async def authenticate(self, token: str) -> User:
        """Return whose token this is. Raises :class:`Unauthenticated`.

        Unknown and wrong look the same; only who holds the right secret is told that it has expired.
        """
        prefix = tokens.prefix_of(token)
        find = self._known.find if self._known else self._find_token
        found = None if prefix is None else await find(prefix)
        if found is None or not hmac.compare_digest(found.hash, tokens.digest(token)):
            raise Unauthenticated("The API token is not valid.", remedy=f"check it; {_NEW_TOKEN}")
        if found.refusal:
            raise Unauthenticated(found.refusal, remedy=_NEW_TOKEN)
        if found.touch:
            await self._db.execute(_sql.touch_token, prefix)
        return found.user

    async def _find_token(self, prefix: str) -> Found | None:
        row = await self._db.fetchrow(_sql.find_token, prefix)
        return Found.of(row) if row else None

    async def _forget(self, prefixes: list[str]) -> None:
        if self._known:
            await self._known.forget(prefixes)

    async def _team_id(self, slug: str) -> UUID:
        team_id: UUID | None = await self._db.fetchval(_sql.team_id, _lookup(slug))
        if team_id is None:
            raise NotFound(f"There is no team {slug!r}.", remedy="`mosaic team list` shows the teams")
        return team_id


def _lookup(name: str) -> str:
    """Make any text safe to ask Postgres for: what it cannot store is nobody's name."""
    return name if name.isascii() and "\0" not in name else ""


def _no_user(name: str | UUID) -> NotFound:
    return NotFound(f"There is no active user {str(name)!r}.", remedy="`mosaic user list` shows the users")
