"""What an agent may ask: the tools, and their arguments as it must give them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mosaic_hookspecs.errors import Fault, Malformed

MOST_ROWS = 200  # of any answer of the gateway
OWN_PARAMETERS = frozenset({"limit", "cursor", "sort", "sources", "timeout"})


def _whole(text: str) -> str:
    """Raise ValueError for half a surrogate pair, which JSON can hold and no URL of a peer can."""
    text.encode()
    return text


_Text = Annotated[str, AfterValidator(_whole)]
Sources = Annotated[
    str,
    Field(
        max_length=1000,
        description="Where to look, separated by commas: `local` is this gateway, `peer:*` all other organisations "
        "that share with you, `peer:<name>` one of them.",
    ),
]
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="Most rows to answer.")]
ResourceName = Annotated[str, Field(max_length=63, description="Name of a resource, such as `tasks`.")]


class _Call(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ListRows(_Call):
    """List rows of one resource, sorted and filtered, newest first unless `sort` says otherwise."""

    resource: ResourceName
    sources: Sources = "local"
    limit: Limit = 20
    cursor: _Text | None = Field(None, description="`next_cursor` of the answer before, to go on from there.")
    sort: str | None = Field(
        None, max_length=64, description="A field to sort by, `-` before it: descending."
    )
    where: dict[_Text, _Text] = Field(
        default_factory=dict,
        max_length=20,
        description="Conditions, all of which hold: a field, with `.gt`, `.gte`, `.lt`, `.lte`, `.in` (values "
        'separated by commas) or `.null` behind it if need be: {"status": "open", "due_at.lt": '
        '"2026-12-01T00:00:00Z"}.',
    )

    def params(self) -> dict[str, str]:
        """The same as query parameters. Raises :class:`Malformed`."""
        if clash := sorted(OWN_PARAMETERS & self.where.keys()):
            raise Malformed(
                f"where: {clash[0]!r} is no field", faults=[Fault("where", f"give {clash[0]} beside it")]
            )
        own = {"limit": str(self.limit), "cursor": self.cursor, "sort": self.sort}
        return {**self.where, **{name: value for name, value in own.items() if value is not None}}


class GetRow(_Call):
    """Get one row by its id, with every field that you may see."""

    resource: ResourceName
    id: Annotated[str, Field(max_length=64, description="The row's `id`.")]
    source: Annotated[
        str, Field(max_length=200, pattern=r"^[^,*]+$", description="The row's `source`: one, without `*`.")
    ] = "local"


class SearchRows(_Call):
    """Search the text of rows, best matches first."""

    q: Annotated[str, Field(min_length=1, max_length=500, description="Words, or a question.")]
    resources: Annotated[
        list[ResourceName] | None,
        Field(max_length=50, description="Where to search; without it, in every resource that has text."),
    ] = None
    sources: Sources = "local"
    limit: Limit = 20


TOOLS: dict[str, type[ListRows | GetRow | SearchRows]] = {
    "list_rows": ListRows,
    "get_row": GetRow,
    "search_rows": SearchRows,
}
