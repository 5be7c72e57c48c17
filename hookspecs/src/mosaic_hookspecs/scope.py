"""What a grant lets its peer see: one model for making grants and for enforcing them."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

ResourceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Exclusion = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$")
]


class Scope(BaseModel):
    """A narrowing of what the subject user sees. What is not named here is not shared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    resources: Annotated[tuple[ResourceName, ...], Field(min_length=1)]
    excluded_resources: tuple[Exclusion, ...] = ()
    """Whole resources (``notes``) or single rows (``notes/<uuid>``). Exclusion wins."""
    include_teams: tuple[UUID, ...] | Literal["all"] = ()
    """Rows of these teams, as long as the subject is a member; ``all`` follows the subject's memberships."""
    include_personal: bool = False
    max_rows_per_query: Annotated[int, Field(ge=1, le=1000)] = 100

    @model_validator(mode="after")
    def _shares_something(self) -> Scope:
        if not self.include_personal and not self.include_teams:
            raise ValueError("shares nothing: set include_personal or name a team in include_teams")
        if set(self.resources) <= set(self.excluded_resources):
            raise ValueError("shares nothing: every resource is also in excluded_resources")
        return self

    def allows(self, resource: str) -> bool:
        """Whether rows of ``resource`` may be seen at all."""
        return resource in self.resources and resource not in self.excluded_resources

    def excluded_rows(self, resource: str) -> tuple[UUID, ...]:
        """Ids of single rows of ``resource`` that are withheld."""
        prefix = f"{resource}/"
        return tuple(UUID(e.removeprefix(prefix)) for e in self.excluded_resources if e.startswith(prefix))
