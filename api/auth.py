"""Who asks: API keys and their roles."""

from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from api.context import ContextDep
from api.errors import Forbidden, Unauthorised
from catalogue.api_keys import ApiKey, Role, find_api_key
from catalogue.columns import utc_now

_READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_header = APIKeyHeader(
    name="X-API-Key",
    scheme_name="ApiKey",
    description="A key made with `rota api-key create`.",
    auto_error=False,
)


async def authenticate(
    request: Request,
    context: ContextDep,
    secret: Annotated[str | None, Security(_header)],
) -> ApiKey:
    """Returns the key of the request.

    Raises:
        Unauthorised: It has none, or one that is unknown, expired or revoked.
        Forbidden: It is a Reader's, and the request would change something.
    """
    if secret is None or not secret.strip():
        raise Unauthorised("Authentication required: send an API key in the header X-API-Key.")
    async with context.catalogue.read() as session:
        key = await find_api_key(session, secret.strip())
    if key is None or not key.is_valid(utc_now()):
        raise Unauthorised("The API key is unknown, expired or revoked.")
    if key.role is Role.READER and request.method not in _READING_METHODS:
        raise Forbidden("This API key has the role Reader: it may read, but change nothing.")
    return key


CallerDep = Annotated[ApiKey, Depends(authenticate)]
