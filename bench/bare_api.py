"""What Rota's API is measured against: `python -m bench.bare_api PORT [trivial]` serves it as Rota serves its own.

A FastAPI application as its tutorial shows it: no keys, no errors of its own, no history; each route one statement on
the same tables of the same database. The trivial one is no FastAPI at all: it shows what the server and the load
generator can do.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.server import serve
from catalogue.engine import configure_sqlite
from catalogue.schedules import Schedule
from runtime.settings import load_settings

_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


class NewSchedule(BaseModel):
    """What is created."""

    name: Annotated[str, Field(max_length=200)]
    description: str | None = None


def bare_app() -> FastAPI:
    """Returns the bare routes, on the catalogue that the environment names."""
    url = make_url(load_settings().catalogue_url)
    engine = create_async_engine(url.set(drivername=_DRIVERS[url.get_backend_name()]))
    if url.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", configure_sqlite)
    app = FastAPI()

    @app.get("/schedules/{schedule_id}")
    async def get_schedule(schedule_id: UUID) -> Schedule:
        async with AsyncSession(engine) as session:
            schedule = await session.get(Schedule, schedule_id)
        if schedule is None:
            raise HTTPException(404)
        return schedule

    @app.get("/schedules")
    async def list_schedules(limit: int = 20) -> Sequence[Schedule]:
        async with AsyncSession(engine) as session:
            return (await session.exec(select(Schedule).order_by(col(Schedule.created)).limit(limit))).all()

    @app.post("/schedules", status_code=201)
    async def create_schedule(body: NewSchedule) -> Schedule:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            schedule = Schedule(**body.model_dump())
            session.add(schedule)
            await session.commit()
        return schedule

    return app


def trivial_app() -> Any:
    """Returns an application that always answers the same."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


if __name__ == "__main__":
    kind = "trivial" if "trivial" in sys.argv[2:] else "bare"
    serve(f"bench.bare_api:{kind}_app", host="127.0.0.1", port=int(sys.argv[1]))
