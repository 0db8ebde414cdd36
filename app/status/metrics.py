"""`/metrics`, for Prometheus, when `METRICS_ENABLED` is on."""

from math import nan

from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from app.core.database.pool import Database, DatabaseUnavailable
from app.core.http.routing import make_router
from app.sessions.denylist import count_denied_tokens
from app.status.prometheus import Metrics

router = make_router(tag="service")


@router.get("/metrics", include_in_schema=False)
async def show_metrics(request: Request) -> Response:
    """Return the metrics, whether or not the database answers."""
    metrics: Metrics = request.app.state.metrics
    database: Database = request.app.state.database
    metrics.look_at(request.app)
    try:
        metrics.denylist_rows.set(await count_denied_tokens(database))
        metrics.database_up.set(1)
    except DatabaseUnavailable:
        metrics.denylist_rows.set(nan)
        metrics.database_up.set(0)
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
