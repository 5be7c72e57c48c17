from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Resource


class Bookmark(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=200)
    url: HttpUrl


@hookimpl
def mosaic_resources() -> list[Resource]:
    return [Resource("bookmarks", Bookmark, summary="Pages worth keeping", search=("title",))]
