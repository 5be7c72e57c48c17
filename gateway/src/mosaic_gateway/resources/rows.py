"""The door to rows: every registered resource, for every viewer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from uuid import UUID

from mosaic_gateway.resources import bulk, explain, read, search, write
from mosaic_gateway.resources.peers import AsGrant, Reads
from mosaic_gateway.resources.refusals import OfView
from mosaic_gateway.resources.search import Searching
from mosaic_gateway.resources.search_query import Mode
from mosaic_gateway.resources.table import Table
from mosaic_gateway.resources.visibility import unknown_resource
from mosaic_hookspecs.errors import Fault, ReadOnly
from mosaic_hookspecs.protocols import Database
from mosaic_hookspecs.types import Answer, Explanation, GrantView, Resource, Survey, User, Viewer

Faults = list[Fault]  # named here, for inside the class ``list`` is a method


class ResourceRows:
    """Implements :class:`mosaic_hookspecs.protocols.Rows`, and the writes that a user may do.

    Every method that takes a resource's name raises :class:`NotFound` for an unknown one, and each that writes
    :class:`ReadOnly` for one that is a view.
    """

    def __init__(
        self,
        database: Database,
        resources: Sequence[Resource],
        cursor_keys: Callable[[], Sequence[bytes]],
        peers: Reads | None = None,
        searching: Searching | None = None,
    ) -> None:
        self._db = database
        self._searching = searching or Searching()
        self._peers = peers  # behind the second wall; None: it does not stand, and no grant is answered
        self._tables = {resource.name: Table(resource) for resource in resources}
        self._cursor_keys = cursor_keys  # as of now; the first one signs

    def names(self) -> tuple[str, ...]:
        """Names of the registered resources."""
        return tuple(self._tables)

    def resource(self, name: str) -> Resource:
        """Return a registered resource."""
        return self._table(name).resource

    def modes(self, name: str, viewer: Viewer | None = None) -> tuple[Mode, ...]:
        """Ways in which a resource can be searched, by users or by this viewer. Raises :class:`NotFound`."""
        table = self._table(name)
        return self._searching.modes(read.look(table, viewer, [])[0] if viewer else table)

    async def list(self, viewer: Viewer, resource: str, params: Mapping[str, str]) -> Answer:
        """Return one page: limit, cursor, sort and filters. Raises :class:`Malformed`."""
        table = self._table(resource)
        return await read.list_rows(self._for(viewer, table), self._cursor_keys, table, viewer, params)

    async def search(self, viewer: Viewer, resource: str, params: Mapping[str, str]) -> Answer:
        """Return the best matches of ``q``, at most ``limit``. Raises :class:`Malformed`."""
        table = self._table(resource)
        return await search.search_rows(self._for(viewer, table), self._searching, table, viewer, params)

    async def get(self, viewer: Viewer, resource: str, row_id: str) -> Answer:
        """Return one row. Raises :class:`NotFound`."""
        table = self._table(resource)
        return await read.get_row(self._for(viewer, table), table, viewer, row_id)

    async def explain(self, viewer: Viewer, resource: str, row_id: str) -> Explanation:
        """Say why ``viewer`` sees a row or not. For operators: it tells of rows the viewer cannot see."""
        return await explain.explain_row(self._db, self._table(resource), viewer, row_id)

    async def survey(self, viewer: Viewer, resource: str, ids: Collection[str]) -> Survey:
        """Count what ``viewer`` would see, and which of these ids (hex SHA-256) are among it. For operators."""
        return await explain.survey_rows(self._db, self._table(resource), viewer, ids)

    async def create(self, viewer: User, resource: str, body: bytes) -> Answer:
        """Add a row. Raises :class:`Malformed`, :class:`Invalid` and :class:`Conflict`."""
        return await write.create_row(self._db, self._written(resource), viewer, body)

    async def update(
        self, viewer: User, resource: str, row_id: str, body: bytes, *, if_match: int | None
    ) -> Answer:
        """Change fields of a row, if it is still at version ``if_match``.

        Raises :class:`NotFound`, :class:`PreconditionFailed`, and what :meth:`create` raises.
        """
        return await write.update_row(self._db, self._written(resource), viewer, row_id, body, if_match)

    async def delete(self, viewer: User, resource: str, row_id: str, *, if_match: int | None) -> None:
        """Remove a row. Raises :class:`NotFound` and :class:`PreconditionFailed`."""
        await write.delete_row(self._db, self._written(resource), viewer, row_id, if_match)

    async def store_many(
        self,
        viewer: User,
        resource: str,
        records: Sequence[Mapping[str, object]],
        *,
        team_id: UUID | None,
        dry_run: bool,
    ) -> bulk.Stored:
        """Store records all or nothing, idempotent by external id. Raises :class:`Invalid`."""
        table = self._written(resource)
        return await bulk.store_records(self._db, table, viewer, records, team_id, dry_run=dry_run)

    def check(self, resource: str, record: Mapping[str, object]) -> Faults:
        """Return every fault of a record, without storing it."""
        return bulk.check_record(self._written(resource), record)

    def export(self, viewer: Viewer, resource: str) -> AsyncIterator[bytes]:
        """Yield every visible row as one JSON object, oldest first."""
        table = self._table(resource)
        return read.export_rows(self._for(viewer, table), table, viewer)

    def _for(self, viewer: Viewer, table: Table) -> Reads:
        """What the viewer is answered through. Raises :class:`Unavailable` where no grant is answered."""
        reads = AsGrant(self._peers, viewer.grant_id) if isinstance(viewer, GrantView) else self._db
        return OfView(reads, table.name) if table.resource.view else reads

    def _written(self, name: str) -> Table:
        table = self._table(name)
        if table.resource.view:
            raise ReadOnly(
                f"The rows of {name} are only read here.", remedy="change them where they are kept"
            )
        return table

    def _table(self, name: str) -> Table:
        table = self._tables.get(name)
        if table is None:
            raise unknown_resource(name)
        return table
