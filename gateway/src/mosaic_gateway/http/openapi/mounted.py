"""What the document says of plugins' routes: what they say themselves, and the problems that any may answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mosaic_gateway.http.openapi.shapes import Json, problems
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import Mount

_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def add_mounted(mount: Mount, paths: Json, schemas: Json) -> None:
    """Add a mount's paths and schemas. Raises :class:`ConfigError` for one that is there already."""
    more = {path: _whole(item, mount) for path, item in mount.openapi.get("paths", {}).items()}
    further = mount.openapi.get("components", {}).get("schemas", {})
    if taken := sorted((paths.keys() & more.keys()) | (schemas.keys() & further.keys())):
        raise ConfigError(
            f"blueprint {mount.blueprint.name!r} describes {taken[0]!r} in OpenAPI, which is there already",
            remedy="give the route or the schema another name",
        )
    paths |= more
    schemas |= further


def _whole(item: Mapping[str, Any], mount: Mount) -> Json:
    return {key: _operation(value, mount) if key in _METHODS else value for key, value in item.items()}


def _operation(operation: Mapping[str, Any], mount: Mount) -> Json:
    anywhere = problems(*(() if mount.anonymous else (401, 429)))
    security: Json = {"security": []} if mount.anonymous else {}
    return {**security, **operation, "responses": {**anywhere, **operation["responses"]}}
