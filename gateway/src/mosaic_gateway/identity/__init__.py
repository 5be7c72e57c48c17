"""Who is who on this gateway: users, teams, memberships and API tokens."""

from mosaic_gateway.identity.records import Account, Member, NewToken, TeamRecord, Token
from mosaic_gateway.identity.store import Identities

__all__ = ["Account", "Identities", "Member", "NewToken", "TeamRecord", "Token"]
