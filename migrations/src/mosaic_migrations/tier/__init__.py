"""Moving a gateway's rows to another Postgres: planned, checked on both sides, safe to kill and run again."""

from mosaic_migrations.tier.move import Report, move
from mosaic_migrations.tier.plan import Plan, make_plan
from mosaic_migrations.tier.sides import Connect, Progress, Route, Side, silent

__all__ = ["Connect", "Plan", "Progress", "Report", "Route", "Side", "make_plan", "move", "silent"]
