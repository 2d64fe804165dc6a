"""The FastAPI application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from temporalio.client import Client

from api.context import Context
from api.errors import ErrorResponse, install_error_handlers
from api.failed_keys import FailedKeys
from api.openapi import DESCRIPTION, TAGS, DocumentedApi, operation_id
from api.request_ids import install_request_ids, mark_log_lines
from api.routes import change_history, connected_systems, executions, health, schedules
from api.services.feed import OutputFeed
from catalogue.engine import Catalogue
from runtime.logs import configure_logging
from runtime.memory import collect_new_objects_alone, give_back_freed_memory
from runtime.secrets import SecretBox
from runtime.settings import Settings, load_settings
from runtime.signals import called_at_stop
from runtime.temporal import connect, connect_when_up
from runtime.zones import use_packaged_zones

Scope = MutableMapping[str, Any]
AsgiApp = Callable[[Scope, Any, Any], Awaitable[None]]


class LenientAddresses:
    """Reads addresses as JIM does: paths in any letter case, with a trailing slash or without, HEAD where GET is."""

    def __init__(self, app: AsgiApp) -> None:
        """Stands before the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Passes the request on. The body of an answer to HEAD is left out by the server."""
        if scope["type"] == "http":
            # No segment of a path holds what letter case could tell apart: names are fixed, ids are GUIDs or numbers.
            path = scope["path"].lower().rstrip("/") or "/"
            scope = {**scope, "path": path, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}
        await self._app(scope, receive, send)


def create_app(settings: Settings, *, temporal: Client | None = None) -> FastAPI:
    """Returns the API. It starts with catalogue and Temporal away: what needs one that is away answers 503.

    Args:
        settings: Where the catalogue is, the task queue, the secret key.
        temporal: The client to use; by default one for the server that the environment names.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        catalogue = Catalogue(settings.catalogue_url)
        outputs = OutputFeed(catalogue)
        app.state.context = Context(
            catalogue=catalogue,
            temporal=temporal or await connect(lazy=True),
            task_queue=settings.task_queue,
            box=SecretBox(settings.sealing_key),
            failed_keys=FailedKeys(settings.failed_keys_per_minute),
            outputs=outputs,
        )
        # A run needs the search attributes, and no worker may have been there yet.
        registering = asyncio.create_task(connect_when_up()) if temporal is None else None
        trimming = asyncio.create_task(give_back_freed_memory())
        with called_at_stop(outputs.end):
            yield
        trimming.cancel()
        if registering is not None:
            registering.cancel()
        await outputs.close()
        await catalogue.close()

    app = DocumentedApi(
        title="Rota",
        version=version("rota"),
        summary="Schedules of identity run profiles, PowerShell scripts, executables and SQL scripts on Temporal.",
        description=DESCRIPTION,
        openapi_tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        lifespan=lifespan,
        generate_unique_id_function=operation_id,
        redirect_slashes=False,
        redoc_url=None,
        responses={"4XX": {"model": ErrorResponse}},
    )
    app.add_middleware(LenientAddresses)
    install_error_handlers(app)
    install_request_ids(app)
    for resource in (schedules, change_history, executions, connected_systems, health):
        app.include_router(resource.router)
    return app


def app_from_environment() -> FastAPI:
    """Returns the API with the settings of the environment: what each uvicorn worker process calls."""
    configure_logging()
    mark_log_lines()
    use_packaged_zones()
    app = create_app(load_settings())
    collect_new_objects_alone()
    return app
