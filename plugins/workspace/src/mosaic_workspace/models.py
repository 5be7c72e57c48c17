"""What a user may write of a task and of a note. Lengths are in characters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

Title = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Task(BaseModel):
    """Something to be done."""

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        extra="forbid",
        json_schema_extra={"examples": [{"title": "Order oats", "tags": ["kitchen"]}]},
    )

    title: Title = Field(description="What is to be done, in one line.")
    body: str = Field("", max_length=100_000, description="Details, as Markdown.")
    status: Literal["open", "doing", "done", "cancelled"] = Field("open", description="Where it stands.")
    priority: int | None = Field(
        None, ge=0, le=9, description="1 is the highest, 9 the lowest, 0 undefined (RFC 5545, PRIORITY)."
    )
    due_at: AwareDatetime | None = Field(None, description="When it should be done by.")
    completed_at: AwareDatetime | None = Field(None, description="When it was done.")
    tags: list[Tag] = Field(default_factory=list, max_length=50, description="Words to find it by.")


class Note(BaseModel):
    """Something to be remembered."""

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        extra="forbid",
        json_schema_extra={"examples": [{"title": "Oats", "body": "Steep overnight."}]},
    )

    title: Title = Field(description="What it is about, in one line.")
    body: str = Field("", max_length=10_000_000, description="The text, as Markdown.")
    tags: list[Tag] = Field(default_factory=list, max_length=50, description="Words to find it by.")
