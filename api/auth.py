"""Who asks: API keys and their roles."""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from api.context import Context
from api.errors import Forbidden, Unauthorised
from catalogue.api_keys import ApiKey, Role, find_api_key
from catalogue.columns import utc_now

_READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_only_asking: Final[set[Callable[..., Any]]] = set()

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def only_asks(endpoint: Endpoint) -> Endpoint:
    """Marks a route's function that changes nothing, though its method is one that writes: a Reader may call it."""
    _only_asking.add(endpoint)
    return endpoint


_header = APIKeyHeader(
    name="X-API-Key",
    scheme_name="ApiKey",
    description="A key made with `rota api-key create`.",
    auto_error=False,
)


async def authenticate(request: Request, secret: Annotated[str | None, Security(_header)]) -> ApiKey:
    """Returns the key of the request, which is looked up once for each request.

    Raises:
        Unauthorised: It has none, or one that is unknown, expired or revoked.
        TooManyRequests: Its address has sent too many of those.
        Forbidden: It is a Reader's, and the request would change something.
    """
    known: ApiKey | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    secret = secret and secret.strip()
    if not secret:
        raise Unauthorised("Authentication required: send an API key in the header X-API-Key.")
    context: Context = request.app.state.context
    key = await context.catalogue.read_short(lambda connection: find_api_key(connection, secret))
    if key is None or not key.is_valid(utc_now()):
        await context.failed_keys.count(request.client.host if request.client else "")
        raise Unauthorised("The API key is unknown, expired or revoked.")
    may_write = request.method not in _READING_METHODS and request.scope["endpoint"] not in _only_asking
    if key.role is Role.READER and may_write:
        raise Forbidden("This API key has the role Reader: it may read, but change nothing.")
    request.state.caller = key
    return key


async def authenticate_first(request: Request) -> None:
    """Authenticates before FastAPI does: it reads and parses a body, anyone's, before it asks its dependencies.

    Raises:
        Unauthorised, TooManyRequests, Forbidden: As `authenticate`.
    """
    await authenticate(request, await _header(request))


CallerDep = Annotated[ApiKey, Depends(authenticate)]
