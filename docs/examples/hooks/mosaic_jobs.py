from collections.abc import Mapping
from typing import Any

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Job

ONE_DAY = 86_400  # seconds


@hookimpl
def mosaic_jobs(host: Host) -> list[Job]:
    async def forget_old_bookmarks(data: Mapping[str, Any]) -> None:
        await host.database.execute(
            "DELETE FROM bookmarks WHERE updated_at < now() - make_interval(days => $1)",
            data.get("days", 365),
        )

    return [Job("bookmarks.forget_old", forget_old_bookmarks, every=ONE_DAY)]
