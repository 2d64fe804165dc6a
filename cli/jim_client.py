"""What `rota jim import` reads from a JIM, over its REST API."""

from collections.abc import Callable, Iterator
from typing import Any, Final, Self

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_exponential

from cli.client import ApiFailure, UsageError

_TIMEOUT: Final = httpx.Timeout(30, connect=10)
_PAGE_SIZE: Final = 100
_BASE: Final = "/api/v1"

_PATIENCE_SECONDS: Final = 180
"""How long one request is repeated: JIM's own limit of 300 requests a minute asks for a minute at most."""

_PAUSES: Final = wait_exponential(multiplier=0.5, max=10)
_PASSING: Final = frozenset({429, 500, 502, 503, 504})


class _Later(Exception):
    """The same request may succeed a little later."""

    def __init__(self, why: str, seconds: float | None = None) -> None:
        super().__init__(why)
        self.seconds = seconds


def jim_address(url: str) -> str:
    """Returns the address of a JIM, without a slash at its end and without the path of its API.

    Raises:
        UsageError: It is not the address of a web server.
    """
    try:
        parsed = httpx.URL(url.strip().rstrip("/").removesuffix(_BASE))
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo or parsed.query:
        raise UsageError("--url: write the address of JIM as https://jim.example.com, without user name and query.")
    return str(parsed).rstrip("/")


class JimClient:
    """A JIM that is read. Every method raises `ApiFailure` where JIM refuses, or cannot be asked."""

    def __init__(self, url: str, key: str, tell: Callable[[str], None]) -> None:
        """Takes the address as `jim_address` returns it, the API key, and what tells the user of a long wait."""
        self._url = url
        self._tell = tell
        self._http = httpx.Client(base_url=f"{url}{_BASE}", headers={"X-API-Key": key}, timeout=_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def read_version(self) -> str:
        """Returns JIM's version.

        Raises:
            ApiFailure: What answers there is no JIM.
        """
        answer = self._get("health/version")
        if not isinstance(answer, dict) or answer.get("product") != "JIM":
            raise ApiFailure(f"{self._url} is no JIM: it does not say so under {_BASE}/health/version. Check --url.")
        return str(answer.get("version"))

    def list_connected_systems(self) -> list[dict[str, Any]]:
        """Returns the connected systems, by id."""
        return list(self._items("synchronisation/connected-systems", sortBy="id", sortDirection="asc"))

    def list_run_profiles(self, system_id: int) -> list[dict[str, Any]]:
        """Returns the run profiles of a connected system."""
        return list(self._get(f"synchronisation/connected-systems/{system_id}/run-profiles"))

    def list_schedules(self) -> list[dict[str, Any]]:
        """Returns the schedules with their steps, by name."""
        return [self._get(f"schedules/{item['id']}") for item in self._items("schedules", sortBy="name")]

    def _items(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        seen: set[Any] = set()
        page = 1
        while True:
            answer = self._get(path, **query, page=page, pageSize=_PAGE_SIZE)
            # What is added or renamed meanwhile moves the others over the edges of the pages.
            yield from (item for item in answer["items"] if item["id"] not in seen)
            seen |= {item["id"] for item in answer["items"]}
            if not answer["hasNextPage"]:
                return
            page += 1

    def _get(self, path: str, **query: Any) -> Any:
        retrying = Retrying(
            retry=retry_if_exception_type(_Later),
            wait=self._pause,
            stop=stop_after_delay(_PATIENCE_SECONDS),
            reraise=True,
        )
        try:
            return retrying(self._try, path, query)
        except _Later as failure:
            raise ApiFailure(f"JIM at {self._url} did not answer within {_PATIENCE_SECONDS} s: {failure}.") from None

    def _pause(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.seconds if isinstance(failure, _Later) else None
        if asked is None:
            return _PAUSES(state)
        if asked > 1:
            self._tell(f"JIM asks to wait for {asked:.0f} s")
        return asked

    def _try(self, path: str, query: dict[str, Any]) -> Any:
        try:
            response = self._http.get(path, params=query)
        except httpx.ConnectError as error:
            raise ApiFailure(f"Nothing answers at {self._url} ({error}). Check --url.") from None
        except httpx.TransportError as error:
            raise _Later(str(error) or type(error).__name__) from None
        if response.status_code in _PASSING:
            raise _Later(f"it answered {response.status_code}", _seconds(response.headers.get("Retry-After")))
        if response.status_code == httpx.codes.UNAUTHORIZED:
            if self._http.get("health/ready").status_code != httpx.codes.OK:
                # Keys are in JIM's database: while it is away, no key is known.
                raise _Later("its database is not available")
            raise ApiFailure(f"JIM at {self._url} does not know this API key, or it has expired.")
        if response.status_code == httpx.codes.FORBIDDEN:
            raise ApiFailure(f"JIM at {self._url} lets this API key not read this: it needs the role Administrator.")
        if not response.is_success or "json" not in response.headers.get("content-type", ""):
            # Whatever JIM has no route for it answers with a page.
            kind = response.headers.get("content-type", "no content type")
            raise ApiFailure(
                f"{self._url} answered {response.status_code} ({kind}) to GET {_BASE}/{path}, which is not JIM's API. "
                "Check --url."
            )
        return response.json()


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None
