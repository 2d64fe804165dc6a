"""What Rota's API is measured against: `python -m bench.bare_api PORT [trivial]` serves it as Rota serves its own.

A FastAPI application with a synchronous session, as in its tutorial on SQL databases: no keys, no errors of its own, no
history; each route one statement on the same tables of the same database, but for one that looks up a key and reads the
steps as well. This way a request for one schedule takes the least CPU: an asynchronous session on SQLite takes more, and so
does one that is a dependency, as the tutorial has it, for which FastAPI goes to a thread twice more. The trivial one is no
FastAPI at all: it shows what the server and the load generator can do.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import create_engine, event
from sqlmodel import Session, col, select

from api.server import serve
from catalogue.api_keys import ApiKey, hash_key
from catalogue.engine import configure_sqlite, sync_url
from catalogue.schedules import Schedule, ScheduleStep
from runtime.memory import collect_new_objects_alone
from runtime.settings import load_settings


class NewSchedule(BaseModel):
    """What is created."""

    name: Annotated[str, Field(max_length=200)]
    description: str | None = None


class ScheduleWithSteps(BaseModel):
    """What is shown of a schedule to who has a key."""

    schedule: Schedule
    steps: Sequence[ScheduleStep]


def bare_app() -> FastAPI:
    """Returns the bare routes, on the catalogue that the environment names."""
    engine = create_engine(sync_url(load_settings().catalogue_url))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", configure_sqlite)
    app = FastAPI()

    @app.get("/schedules/{schedule_id}")
    def get_schedule(schedule_id: UUID) -> Schedule:
        with Session(engine) as session:
            schedule = session.get(Schedule, schedule_id)
        if schedule is None:
            raise HTTPException(404)
        return schedule

    @app.get("/schedules/{schedule_id}/with-steps")
    def get_with_steps(schedule_id: UUID, x_api_key: Annotated[str, Header()]) -> ScheduleWithSteps:
        of_key = select(ApiKey).where(col(ApiKey.key_hash) == hash_key(x_api_key))
        of_steps = select(ScheduleStep).where(col(ScheduleStep.schedule_id) == schedule_id)
        with Session(engine) as session:
            if session.exec(of_key).one_or_none() is None:
                raise HTTPException(401)
            schedule = session.get(Schedule, schedule_id)
            steps = session.exec(of_steps.order_by(col(ScheduleStep.position))).all()
        if schedule is None:
            raise HTTPException(404)
        return ScheduleWithSteps(schedule=schedule, steps=steps)

    @app.get("/schedules")
    def list_schedules(limit: int = 20) -> Sequence[Schedule]:
        with Session(engine) as session:
            return session.exec(select(Schedule).order_by(col(Schedule.created)).limit(limit)).all()

    @app.post("/schedules", status_code=201)
    def create_schedule(body: NewSchedule) -> Schedule:
        with Session(engine, expire_on_commit=False) as session:
            schedule = Schedule(**body.model_dump())
            session.add(schedule)
            session.commit()
        return schedule

    # As Rota's API does.
    collect_new_objects_alone()
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
