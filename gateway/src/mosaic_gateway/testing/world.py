"""What :class:`mosaic_hookspecs.testing.ResourceContract` tries a resource in."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from mosaic_gateway.identity import Identities
from mosaic_gateway.resources import ResourceRows
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.scope import Scope
from mosaic_hookspecs.types import GrantView, User

#: In the place of the federation plugin's: a grant is on record once it is here.
_GRANTS = """
CREATE TABLE IF NOT EXISTS contract_grants (id uuid PRIMARY KEY, subject uuid NOT NULL, scope jsonb NOT NULL);
CREATE OR REPLACE FUNCTION granted(grant_id uuid) RETURNS TABLE (subject uuid, scope jsonb)
LANGUAGE sql STABLE AS 'SELECT g.subject, g.scope FROM contract_grants g WHERE g.id = grant_id';
"""


@dataclass(frozen=True, slots=True)
class RowsWorld:
    """Rows over a throw-away database, its users, teams and grants."""

    rows: ResourceRows
    database: Database

    async def user(self) -> User:
        """One more user, who has nothing."""
        identities = Identities(self.database)
        return await identities.user((await identities.add_user(f"user-{uuid4().hex}")).id)

    async def team(self, *members: User) -> UUID:
        """One more team."""
        identities = Identities(self.database)
        team = await identities.add_team(f"team-{uuid4().hex}")
        for member in members:
            await identities.add_member(team.slug, member.username)
        return team.id

    async def granted(self, subject: User, scope: Scope) -> GrantView:
        """A grant that both walls know."""
        grant = GrantView(uuid4(), subject.id, scope)
        await self.database.execute(_GRANTS)
        await self.database.execute(
            "INSERT INTO contract_grants VALUES ($1, $2, $3::text::jsonb)",
            *(grant.grant_id, grant.subject_id, scope.model_dump_json()),
        )
        return grant
