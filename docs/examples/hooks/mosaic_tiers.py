from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import Tier


@hookimpl
def mosaic_tiers() -> list[Tier]:
    return [
        Tier("office", storage="office_postgres", summary="The Postgres of our office", ready_when=("disk",))
    ]
