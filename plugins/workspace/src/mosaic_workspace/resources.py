"""The resources of this plugin."""

from __future__ import annotations

from mosaic_hookspecs.types import Resource
from mosaic_workspace.models import Note, Task

TASKS = Resource("tasks", Task, "Things to be done", search=("title", "body"))
NOTES = Resource("notes", Note, "Things to be remembered", search=("title", "body"))
