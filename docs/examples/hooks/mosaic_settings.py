from pydantic import BaseModel, ConfigDict

from mosaic_hookspecs import hookimpl


class Settings(BaseModel):
    """The table plugins.weather of the config."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    city: str
    """Whose weather to show."""
    every_minutes: int = 30
    """How often to ask."""


@hookimpl
def mosaic_settings() -> type[Settings]:
    return Settings
