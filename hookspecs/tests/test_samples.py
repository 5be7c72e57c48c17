"""A model without an example is given values of its types."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from mosaic_hookspecs.testing.samples import sample


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    word: Annotated[str, StringConstraints(min_length=12)]


class Everything(BaseModel):
    title: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    size: Annotated[int, Field(gt=6)]
    weight: Annotated[float, Field(ge=0.5)]
    fresh: bool
    day: date
    seen_at: AwareDatetime
    ref: UUID
    colour: Colour
    kind: Literal["a", "b"]
    only: Literal["one"]
    inner: Inner
    tags: Annotated[list[str], Field(min_length=2)]
    extra: dict[str, Any]
    maybe: int | None
    shown: Annotated[str, Field(examples=["like this"], pattern="^like")]
    left_out: str = ""


def test_each_type_has_a_value_that_its_model_takes() -> None:
    made = sample(Everything)
    Everything.model_validate(made)
    assert "left_out" not in made
    assert made["shown"] == "like this"


def test_an_example_goes_before_all() -> None:
    class Shown(BaseModel):
        model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Oats", "size": 7}]})
        title: str
        size: int = 0

    assert sample(Shown) == {"title": "Oats", "size": 7}
