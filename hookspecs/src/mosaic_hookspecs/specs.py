"""The hooks. They register: each is called once, synchronously, while the gateway is composed.

What must wait (a socket, a query) happens later, on the methods of the objects a hook returned.
Every docstring answers: when is it called, what may it return, how are several answers combined, what
does raising do. A hook that raises, or does not come back within 30 s, stops the boot, and the error names the
plugin. They are called in a thread without an event loop.

What may change with which release is in docs/explanation/plugin-compatibility.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mosaic_hookspecs.protocols import (
        AuditSink,
        Cache,
        CertificateAuthority,
        Discovery,
        Embedder,
        Host,
        Limiter,
        PeerPolicy,
        Queue,
        Storage,
    )
    from mosaic_hookspecs.sources import Sources
    from mosaic_hookspecs.types import (
        GrantNotice,
        Job,
        Listener,
        MigrationSet,
        Mount,
        PeerNotice,
        Probe,
        Resource,
        SealedColumn,
        Tier,
    )

PROJECT = "mosaic"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def mosaic_settings() -> type[BaseModel] | None:
    """Return the model of this plugin's table ``plugins.<name>`` in the config.

    When: right after import, before anything else. Returns a frozen pydantic model that forbids extra keys,
    or None for a plugin without settings. Combined: not at all, each plugin has its own table. Raising stops
    the boot. Added in 0.1.
    """


@hookspec
def mosaic_lifespan(host: Host) -> AbstractAsyncContextManager[None] | None:
    """Return what this plugin keeps running while the gateway is up.

    When: at start, after the database is reachable and migrated; in every worker process, and in a command
    for its duration. Combined: entered in the order of the config, left in reverse, each in a task of its own.
    Raising on entry, or taking more than 60 s for it, stops the boot and leaves what was entered; raising on leaving,
    or taking more than 10 s, is named in the log. Added in 0.1.
    """


@hookspec
def mosaic_tiers() -> Iterable[Tier]:
    """Return the tiers this plugin knows how to run.

    When: composing. Combined: all together; exactly one has the name the config's ``tier`` asks for.
    A name offered twice, and raising, stop the boot. Added in 0.1.
    """


@hookspec
def mosaic_storages(host: Host) -> Iterable[Storage]:
    """Return ways to a Postgres.

    When: composing, before any database. Combined: exactly one has the name that the tier asks for; only
    that one is opened. Raising stops the boot. Added in 0.1.
    """


@hookspec
def mosaic_queues(host: Host) -> Iterable[Queue]:
    """Return ways to keep and run jobs.

    When: composing, before any database. Combined: exactly one has the name that the tier or the config's
    ``queue.type`` asks for; only that one is opened, after the database. Raising stops the boot. Added in 0.1.
    """


@hookspec
def mosaic_caches(host: Host) -> Iterable[Cache]:
    """Return caches, each with the pub/sub that keeps it true.

    When: composing, before any database. Combined: exactly one has the name that the tier asks for; only that
    one is opened, after the database. Raising stops the boot. Added in 0.1.
    """


@hookspec
def mosaic_limiters(host: Host) -> Iterable[Limiter]:
    """Return rate limiters.

    When: composing, before any database. Combined: exactly one has the name that the tier asks for; only that
    one is opened, after the database. Raising stops the boot. Added in 0.1.
    """


@hookspec
def mosaic_jobs(host: Host) -> Iterable[Job]:
    """Return work for the background, on a schedule or for ``host.queue().enqueue``.

    When: once the lifespans are up; in every worker process of a gateway that serves, and in `mosaic jobs`.
    Combined: all together; a name offered twice stops the boot, as does raising. A job that raises is tried
    again, then shown by `mosaic jobs list --failed`. Added in 0.1.
    """


@hookspec
def mosaic_migrations() -> Iterable[MigrationSet]:
    """Return the SQL files that make this plugin's tables.

    A set with ``needs_vector`` is applied only where ``storage.enable_vector`` is on: there
    ``SELECT make_vectors('pages', 384)`` makes the table of a resource's vectors.
    When: composing, and before the lifespans for those not yet applied. Combined: sorted by their
    ``requires``, each file applied once, in its own transaction. A file that fails stops the boot and leaves
    the database as the file before left it. Added in 0.1.
    """


@hookspec
def mosaic_sealed_columns() -> Iterable[SealedColumn]:
    """Return the columns of this plugin's tables that hold what ``host.sealer`` sealed.

    `mosaic secrets rotate` seals their values anew, row by row, while gateways run: so read a value each time
    it is used, never compare two envelopes, and store one within a minute after it was sealed.
    When: composing. Combined: all together; a column named twice stops the boot, as does raising.
    Added in 0.1.
    """


@hookspec
def mosaic_resources() -> Iterable[Resource]:
    """Return resources: REST, OpenAPI, search and federation follow by themselves.

    When: composing. Combined: all together; a name offered twice stops the boot, as does raising.
    Added in 0.1.
    """


@hookspec
def mosaic_discoveries(host: Host) -> Iterable[Discovery]:
    """Return what finds resources in the database, for those that cannot be known before it is open.

    When: composing; `find` is awaited at each start of any process, after the migrations and before anything is
    served, as the owner of the gateway's tables, in one transaction with what the others find. `SELECT make_view(name,
    query)` there makes a resource of a query that gives the standard columns, with the wall around it that keeps
    peers to their grants; a view that no resource is called after any more is dropped. Combined: all together, beside
    `mosaic_resources`; a name offered twice stops the boot, as does raising, and nothing was made then. Added in 0.2.
    """


@hookspec
def mosaic_sources(host: Host) -> Iterable[Sources]:
    """Return places with rows that users may read beside the gateway's own, such as ``sources=local,peer:*``.

    When: composing, before the first such request; a place is asked later, all at once, each within the time of
    the request. Combined: all together, merged into one answer; a kind offered twice, or called ``local``, stops
    the boot, as does raising. A place that raises or hangs is reported in the answer and changes nothing for the
    others. Added in 0.2.
    """


@hookspec
def mosaic_embedders(host: Host) -> Iterable[Embedder]:
    """Return what turns texts into vectors, for search by meaning.

    When: composing; texts are embedded later, rows in the background and a search's words as it comes. A load that
    takes long belongs there, too. Combined: at most one may be configured; two stop the boot, as does one without
    ``storage.enable_vector`` or with other ``dimensions`` than a resource's vectors have. With another ``model``
    than before, all rows are embedded anew. Raising stops the boot. Added in 0.2.
    """


@hookspec
def mosaic_probes(host: Host) -> Iterable[Probe]:
    """Return health checks for the doctor, for ``/readyz`` and for the boot.

    When: composing; the checks run later, concurrently, at most 5 s each. Combined: all together, the worst
    finding decides. A check that raises or hangs is a red finding of its own, named with its plugin; it must
    await, never block. A ``standalone`` one that the tier's ``ready_when`` names stops the boot when it is red,
    before anything is started. Added in 0.1.
    """


@hookspec
def mosaic_listeners(host: Host) -> Iterable[Listener]:
    """Return further sockets to serve beside ``public``.

    When: composing; TLS material is asked for once the lifespans are up, and again when the plugin awaits
    ``host.listener(name).reload()``. Combined: all together, one Quart
    application each, so that no route leaks from one to another. A name or an address taken twice stops the
    boot. Added in 0.1.
    """


@hookspec
def mosaic_routes(host: Host) -> Iterable[Mount]:
    """Return Quart blueprints and the listener each belongs to.

    When: composing, in every worker. Combined: all together. On ``public`` a request needs an API token
    unless the mount is anonymous; on other listeners the blueprint guards itself. Naming an unknown
    listener stops the boot. Added in 0.1.
    """


@hookspec
def mosaic_authorities(host: Host) -> Iterable[CertificateAuthority]:
    """Return certificate authorities.

    When: composing. Combined: at most one may be configured; two stop the boot. Raising stops the boot.
    Added in 0.1.
    """


@hookspec
def mosaic_audit_sinks(host: Host) -> Iterable[AuditSink]:
    """Return where answers to peers are recorded.

    When: composing; each sink is awaited before an answer leaves. Combined: every sink must have the event,
    the first that fails turns the answer into 503. The first that is an ``AuditLog`` too is what
    ``host.audit_log()`` reads. Raising stops the boot. Added in 0.1.
    """


@hookspec
def mosaic_peer_policies(host: Host) -> Iterable[PeerPolicy]:
    """Return rules that may deny a peer's request, such as business hours or an allowlist of networks.

    When: composing; each policy is asked for each request of a peer whose grant allows it and that is within its
    limits, before any row is read. Combined: asked one after another, in the order of the config, and the first
    denial is the answer (403, with its reason, which the peer reads; ``policy`` in the audit log). One that raises,
    or thinks longer than ``plugins.federation.policy_timeout``, denies too, and the log names it and its plugin. A
    name offered twice, and raising in the hook, stop the boot. Added in 0.2.
    """


@hookspec
async def mosaic_peer_enrolled(host: Host, peer: PeerNotice) -> None:
    """Hear that another gateway has enrolled: from now on its certificate opens what its grant shares.

    When: after the change is committed, in the one process that made it, a gateway's or a command's; at most once,
    and not at all if that process dies in between. Returns nothing. Combined: all plugins are told at the same time,
    and awaited for 5 s at most. Raising, or hanging, is named in the log and changes nothing for anyone else.
    Added in 0.2.
    """


@hookspec
async def mosaic_peer_revoked(host: Host, peer: PeerNotice) -> None:
    """Hear that a grant was taken back from a gateway that had enrolled with it: its next request is refused.

    When, combined, raising: as `mosaic_peer_enrolled`. Returns nothing. Other grants of the same peer may go on.
    Added in 0.2.
    """


@hookspec
async def mosaic_grant_changed(host: Host, grant: GrantNotice) -> None:
    """Hear of any change of a grant, from being created to being revoked or expired.

    When, combined, raising: as `mosaic_peer_enrolled`. Returns nothing. It is told beside `mosaic_peer_enrolled` and
    `mosaic_peer_revoked`, in no certain order. Added in 0.2.
    """
