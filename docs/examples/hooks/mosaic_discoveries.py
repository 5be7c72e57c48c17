from collections.abc import Sequence

from pydantic import BaseModel

from mosaic_hookspecs import hookimpl
from mosaic_hookspecs.protocols import Discovery, Host, Queries
from mosaic_hookspecs.types import Resource

# All standard columns, then the model's; what peers see of it is not for the query to say.
ORDERS = """
SELECT o.id, u.id AS owner_id, NULL::uuid AS team_id, NULL::text AS external_id,
       o.placed_at AS created_at, o.placed_at AS updated_at, 1::bigint AS version, o.title
FROM shop.orders o JOIN mosaic.users u ON u.username = o.customer
"""


class Order(BaseModel):
    title: str


class Shop:
    """Orders, where the shop keeps its tables in the same database."""

    async def find(self, queries: Queries) -> Sequence[Resource]:
        if not await queries.fetchval("SELECT to_regclass('shop.orders') IS NOT NULL"):
            return []
        await queries.fetchval("SELECT make_view('orders', $1)", ORDERS)
        return [Resource("orders", Order, "Orders of the shop", view=True)]


@hookimpl
def mosaic_discoveries(host: Host) -> list[Discovery]:
    return [Shop()]
