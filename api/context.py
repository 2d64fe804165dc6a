"""What every route works with."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from temporalio.client import Client

from api.failed_keys import FailedKeys
from api.services.feed import OutputFeed
from catalogue.engine import Catalogue
from runtime.secrets import SecretBox


@dataclass(frozen=True)
class Context:
    """The catalogue, Temporal, the secret key and the failed API keys of one API process."""

    catalogue: Catalogue
    temporal: Client
    task_queue: str
    box: SecretBox
    failed_keys: FailedKeys
    outputs: OutputFeed


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(_context)]
