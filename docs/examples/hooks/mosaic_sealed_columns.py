from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.types import SealedColumn


@hookimpl
def mosaic_sealed_columns() -> list[SealedColumn]:
    return [SealedColumn("weather_stations", "sealed_password", "id", "weather_stations/{id}/password")]
