"""The REST API as the commands call it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, Self, TypedDict, cast
from uuid import UUID

import httpx

from cli.key_file import api_key_file
from contracts.execution import ExecutionStatus
from runtime.settings import load_settings

API_URL_VARIABLE: Final = "ROTA_API_URL"
API_KEY_VARIABLE: Final = "ROTA_API_KEY"
DEFAULT_API_URL: Final = "http://127.0.0.1:8080"

# A cancel answers after 10 s at most, and the detail of a large execution takes the API a while.
_TIMEOUT: Final = httpx.Timeout(30, connect=5)
# The API gives a sign of life every 15 s.
_FOLLOW_TIMEOUT: Final = httpx.Timeout(60, connect=5)
_PAGE_SIZE: Final = 100
_MIN_PREFIX: Final = 4
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_TEMPORARY_STATUSES: Final = frozenset({429, 502, 503, 504})


class Schedule(TypedDict):
    """What the commands show of a schedule. In the detail there is `steps`, too."""

    id: str
    name: str
    description: str | None
    triggerType: str
    cronExpression: str | None
    patternType: str
    daysOfWeek: str | None
    runTimes: str | None
    intervalValue: int | None
    intervalUnit: str | None
    intervalWindowStart: str | None
    intervalWindowEnd: str | None
    timeZone: str
    startAt: str | None
    endAt: str | None
    overlapPolicy: str
    catchUpWindowSeconds: int
    jitterSeconds: int
    isEnabled: bool
    lastRunTime: str | None
    nextRunTime: str | None
    stepCount: int
    lastExecutionId: str | None
    lastExecutionStatus: str | None
    lastSkippedTime: str | None
    skippedCount: int
    warnings: list[str]


class ScheduleDetail(Schedule):
    """A schedule with its steps: the fields of every step type, null where a step does not use them."""

    steps: list[dict[str, Any]]


class PreviewTime(TypedDict):
    """A time at which a timetable fires: in UTC, on the wall clock of its zone, and what the clocks do that day."""

    time: str
    localTime: str
    clockChange: str | None


class Preview(TypedDict):
    """What a timetable means."""

    cronExpression: str
    sentence: str
    warnings: list[str]
    items: list[PreviewTime]


class ScheduleVersion(TypedDict):
    """What the commands show of one change of a schedule."""

    version: int
    operation: str
    initiatedByType: str
    initiatedByName: str | None
    when: str
    reason: str | None
    summary: str


class DiffNode(TypedDict):
    """A part of a schedule that differs between two versions."""

    name: str
    kind: str
    change: str
    isSecret: bool
    oldValue: Any
    newValue: Any
    children: list["DiffNode"]


class ScheduleDiff(TypedDict):
    """What differs between two versions of a schedule."""

    objectName: str
    oldVersion: int
    newVersion: int
    root: DiffNode
    addedCount: int
    removedCount: int
    modifiedCount: int
    hasChanges: bool


class Execution(TypedDict):
    """What the commands show of an execution."""

    id: str
    scheduleId: str
    scheduleName: str
    status: str
    currentStepIndex: int
    totalSteps: int
    queuedAt: str
    startedAt: str | None
    completedAt: str | None
    initiatedByType: str
    initiatedByName: str | None
    errorMessage: str | None


class StepProgress(TypedDict):
    """How far a running step has come."""

    done: int | None
    total: int | None
    message: str | None


class StepAttempt(TypedDict):
    """What the commands show of an attempt of a step that has ended."""

    number: int
    isCounted: bool
    status: str
    startedAt: str | None
    completedAt: str | None
    host: str | None
    exitCode: int | None
    errorMessage: str | None


class ExecutionStep(TypedDict):
    """What the commands show of a step of an execution."""

    id: str
    name: str
    stepType: str
    status: str
    startedAt: str | None
    completedAt: str | None
    errorMessage: str | None
    outputTail: str | None
    exitCode: int | None
    attempts: int
    attemptHistory: list[StepAttempt]
    host: str | None
    processesEnded: int
    progress: StepProgress | None


class ProgressGroup(TypedDict):
    """A step group; `taskStatuses` has one entry for each of its steps."""

    stepIndex: int
    name: str
    status: str
    taskStatuses: list[str]


class Progress(TypedDict):
    """How far an execution has come, by step group."""

    totalSteps: int
    steps: list[ProgressGroup]


class ExecutionDetail(Execution):
    """An execution with its steps, in the order of the plan."""

    steps: list[ExecutionStep]
    progress: Progress


class UsageError(Exception):
    """What the user gave cannot be used: an address, a key, the beginning of an id."""


class ApiFailure(Exception):
    """The API refused, or could not be asked; the message is for people."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Takes the message, the HTTP status if there was an answer, and the messages by JSON field."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.fields = dict(fields or {})

    @property
    def is_temporary(self) -> bool:
        """Whether the same call may succeed a little later: the API, Temporal or the database is away."""
        return self.status is None or self.status in _TEMPORARY_STATUSES


@dataclass(frozen=True)
class ApiKey:
    """An API key, and where it came from."""

    secret: str | None = field(repr=False)
    source: str


def find_api_key(given: str | None) -> ApiKey:
    """Returns the key that was given by option or variable, else the one that `rota dev` wrote to its data folder.

    Raises:
        UsageError: What is given, or stands in the file, is no key, or the file cannot be read.
        SettingsError: A `ROTA_*` variable has a wrong value.
    """
    if given:
        return ApiKey(_checked(given, "--api-key"), f"--api-key or {API_KEY_VARIABLE}")
    path = api_key_file(load_settings().data_dir)
    try:
        return ApiKey(_checked(path.read_text("utf-8"), str(path)), str(path))
    except FileNotFoundError:
        return ApiKey(None, f"{path}, which does not exist")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The API key in {path} cannot be read: {error}") from None


def _checked(text: str, source: str) -> str:
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"{source}: this is no API key; keys begin with rota_ak_.")
    return key


class ApiClient:
    """The endpoints of the REST API. Every method raises `ApiFailure` when the API refuses or cannot be asked."""

    def __init__(self, url: str, key: ApiKey, transport: httpx.BaseTransport | None = None) -> None:
        """Takes the API's base URL, `http://127.0.0.1:8080` for example.

        Args:
            url: Base URL, without `/api/v1`.
            key: What to send as `X-API-Key`.
            transport: Takes the place of the network.

        Raises:
            UsageError: It is not the URL of an API.
        """
        try:
            parsed = httpx.URL(url.rstrip("/"))
        except httpx.InvalidURL as error:
            raise UsageError(f"{url!r} is no URL: {error}. Write it as {DEFAULT_API_URL}.") from None
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise UsageError(f"{url!r} is not the URL of an API. Write it as {DEFAULT_API_URL}.")
        self.url = str(parsed)
        self._key = key
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"X-API-Key": key.secret} if key.secret else {},
            timeout=_TIMEOUT,
            transport=transport,
            # A proxy of the environment is for elsewhere: it does not know this machine's own ports.
            trust_env=parsed.host not in _LOOPBACK,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def list_schedules(self, search: str | None = None) -> list[Schedule]:
        """Returns the schedules by name; only those with the text in name or description, if one is given."""
        return list(self._items("schedules", {"search": search} if search else {}))

    def get_schedule(self, schedule_id: str) -> ScheduleDetail:
        """Returns a schedule with its steps."""
        return cast("ScheduleDetail", self._call("GET", f"schedules/{schedule_id}"))

    def create_schedule(self, body: Mapping[str, Any], *, dry_run: bool = False) -> ScheduleDetail:
        """Creates a schedule; in a dry run it is checked and shown only."""
        query = {"dryRun": "true"} if dry_run else None
        return cast("ScheduleDetail", self._call("POST", "schedules", body, query=query))

    def get_schedule_version(self, schedule_id: str) -> tuple[ScheduleDetail, str]:
        """Returns a schedule with its steps, and its ETag."""
        return self._version(self._send("GET", f"schedules/{schedule_id}"))

    def try_update_schedule(self, schedule_id: str, body: Mapping[str, Any]) -> tuple[ScheduleDetail, str]:
        """Returns what a change would make of a schedule, and its ETag then; nothing is changed."""
        return self._version(self._send("PUT", f"schedules/{schedule_id}", body, query={"dryRun": "true"}))

    def update_schedule(self, schedule_id: str, body: Mapping[str, Any], *, etag: str) -> ScheduleDetail:
        """Changes the version of a schedule that has this ETag; what the body leaves out keeps its value."""
        return self._version(self._send("PUT", f"schedules/{schedule_id}", body, headers={"If-Match": etag}))[0]

    def _version(self, response: httpx.Response) -> tuple[ScheduleDetail, str]:
        return cast("ScheduleDetail", self._json(response)), response.headers.get("ETag", "")

    def delete_schedule(self, schedule_id: str, *, reason: str | None = None) -> None:
        """Deletes a schedule; the reason goes to its change history."""
        self._call("DELETE", f"schedules/{schedule_id}", query=_with_reason(reason))

    def set_enabled(self, schedule_id: str, *, enabled: bool, reason: str | None = None) -> Schedule:
        """Lets a schedule's trigger fire, or keeps it from firing; the reason goes to its change history."""
        action = "enable" if enabled else "disable"
        return cast("Schedule", self._call("POST", f"schedules/{schedule_id}/{action}", query=_with_reason(reason)))

    def list_versions(self, schedule_id: str, limit: int) -> list[ScheduleVersion]:
        """Returns the changes of a schedule, the latest first; `limit` at most."""
        return list(self._items(f"schedules/{schedule_id}/change-history", {}, limit))

    def compare_versions(self, schedule_id: str, old: int, new: int) -> ScheduleDiff:
        """Returns what differs between two versions of a schedule."""
        query = {"fromVersion": old, "toVersion": new}
        path = f"schedules/{schedule_id}/change-history/compare"
        return cast("ScheduleDiff", self._call("GET", path, query=query))

    def preview(self, body: Mapping[str, Any]) -> Preview:
        """Returns what the timetable of a body means; nothing is stored."""
        return cast("Preview", self._call("POST", "schedules/preview", body))

    def list_next_runs(self, schedule_id: str, *, count: int, after: str) -> list[str]:
        """Returns the next times at which a schedule's trigger fires: none while it is disabled."""
        query = {"count": count, "from": after}
        return list(self._call("GET", f"schedules/{schedule_id}/next-runs", query=query)["items"])

    def run_schedule(self, schedule_id: str) -> str:
        """Starts an execution and returns its id."""
        return str(self._call("POST", f"schedules/{schedule_id}/run")["executionId"])

    def find_schedule(self, name_or_id: str) -> Schedule:
        """Returns the one schedule that has this id, or exactly this name.

        Raises:
            ApiFailure: There is none, or several have the name.
        """
        if _is_guid(name_or_id):
            try:
                return self.get_schedule(name_or_id)
            except ApiFailure as failure:
                if failure.status != httpx.codes.NOT_FOUND:
                    raise
        found = self.find_schedules(name_or_id)
        if not found:
            names = [schedule["name"] for schedule in self.list_schedules()]
            raise ApiFailure(
                f"There is no schedule {name_or_id!r}.{_suggestion(name_or_id, names)}",
                status=httpx.codes.NOT_FOUND,
            )
        if len(found) > 1:
            ids = ", ".join(schedule["id"] for schedule in found)
            raise ApiFailure(f"{len(found)} schedules are called {name_or_id!r}: name one by its id: {ids}")
        return found[0]

    def find_schedule_id(self, name_or_id: str) -> str:
        """Returns the id of the one schedule with exactly this name; an id as it is: the schedule may be deleted.

        Raises:
            ApiFailure: No schedule has the name, or several do.
        """
        if _is_guid(name_or_id):
            return name_or_id
        try:
            return self.find_schedule(name_or_id)["id"]
        except ApiFailure as failure:
            if failure.status != httpx.codes.NOT_FOUND:
                raise
            raise ApiFailure(
                f"{failure.message} One that is deleted is found by its id, which `rota schedules delete` has printed "
                "and `rota executions list --json` shows as scheduleId.",
                status=failure.status,
            ) from None

    def find_schedules(self, name: str) -> list[Schedule]:
        """Returns the schedules with exactly this name; an API other than Rota's may have several."""
        return [schedule for schedule in self.list_schedules(name) if schedule["name"] == name]

    def list_executions(
        self,
        *,
        schedule_id: str | None = None,
        statuses: Sequence[ExecutionStatus] = (),
        limit: int = _PAGE_SIZE,
    ) -> list[Execution]:
        """Returns executions, the latest first.

        Args:
            schedule_id: Only those of this schedule.
            statuses: Only those in one of these states.
            limit: How many at most.
        """
        query: dict[str, Any] = {"sortBy": "queuedAt", "sortDescending": "true"}
        if schedule_id:
            query["scheduleId"] = schedule_id
        if statuses:
            query["status"] = [str(status) for status in statuses]
        return list(self._items("schedule-executions", query, limit))

    def get_execution(self, execution_id: str) -> ExecutionDetail:
        """Returns an execution with its steps."""
        return cast("ExecutionDetail", self._call("GET", f"schedule-executions/{execution_id}"))

    def cancel_execution(self, execution_id: str) -> Execution:
        """Cancels an execution; its status tells whether everything it started is gone already."""
        return cast("Execution", self._call("POST", f"schedule-executions/{execution_id}/cancel"))

    def pause_execution(self, execution_id: str) -> Execution:
        """Holds an execution before its next step group; its status tells whether it is held already."""
        return cast("Execution", self._call("POST", f"schedule-executions/{execution_id}/pause"))

    def resume_execution(self, execution_id: str) -> Execution:
        """Lets a held execution go on."""
        return cast("Execution", self._call("POST", f"schedule-executions/{execution_id}/resume"))

    def retry_execution(self, execution_id: str) -> str:
        """Starts an execution that takes up a failed or cancelled one, and returns its id."""
        return str(self._call("POST", f"schedule-executions/{execution_id}/retry")["executionId"])

    def find_execution(self, id_or_prefix: str) -> str:
        """Returns the id of an execution, given whole or by its first characters.

        Raises:
            UsageError: It is shorter than four characters.
            ApiFailure: No id among the latest 100 executions begins so, or several do.
        """
        if _is_guid(id_or_prefix):
            return id_or_prefix
        if len(id_or_prefix) < _MIN_PREFIX:
            raise UsageError(
                f"{id_or_prefix!r} is too short: give the first {_MIN_PREFIX} characters of an id or more."
            )
        return match_prefix(id_or_prefix, self.list_executions())

    def read_output(
        self, execution_id: str, step_id: str, *, attempt: int | None = None, follow: bool = False
    ) -> Iterator[str]:
        """Yields what a step printed; where it is followed, what it goes on to print, until it has ended.

        Raises:
            ApiFailure: There is no such attempt, or the API refused or failed.
        """
        query = {"follow": str(follow).lower()} | ({} if attempt is None else {"attempt": str(attempt)})
        path = f"schedule-executions/{execution_id}/steps/{step_id}/output"
        with self._failures("GET"), self._http.stream("GET", path, params=query, timeout=_FOLLOW_TIMEOUT) as response:
            if not response.is_success:
                response.read()
                raise self._failure(response)
            yield from response.iter_text()

    def list_connected_systems(self) -> list[dict[str, Any]]:
        """Returns the connected systems."""
        return list(self._items("synchronisation/connected-systems", {}))

    def find_connected_system(self, name_or_id: str) -> dict[str, Any]:
        """Returns the connected system that has this id, or else exactly this name.

        Raises:
            ApiFailure: There is none.
        """
        systems = self.list_connected_systems()
        for key in ("id", "name"):
            found = [system for system in systems if str(system[key]) == name_or_id]
            if found:
                return found[0]
        raise ApiFailure(
            f"There is no connected system {name_or_id!r}."
            f"{_suggestion(name_or_id, [system['name'] for system in systems])}",
            status=httpx.codes.NOT_FOUND,
        )

    def create_connected_system(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates a connected system."""
        return dict(self._call("POST", "synchronisation/connected-systems", body))

    def update_connected_system(
        self, system_id: int, body: Mapping[str, Any], *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Changes a connected system; `settings`, when sent, are complete. In a dry run it is checked and shown only."""
        path = f"synchronisation/connected-systems/{system_id}"
        return dict(self._call("PUT", path, body, query={"dryRun": "true"} if dry_run else None))

    def import_connected_systems(
        self, systems: Sequence[Mapping[str, Any]], *, update: bool, dry_run: bool
    ) -> list[dict[str, Any]]:
        """Creates connected systems and run profiles under ids of their own, all or none; says what became of each."""
        body = {"connectedSystems": systems, "update": update}
        query = {"dryRun": "true"} if dry_run else None
        answer = self._call("POST", "synchronisation/connected-systems/import", body, query=query)
        return list(answer["connectedSystems"])

    def list_run_profiles(self, system_id: int) -> list[dict[str, Any]]:
        """Returns the run profiles of a connected system."""
        return list(self._call("GET", f"synchronisation/connected-systems/{system_id}/run-profiles"))

    def create_run_profile(self, system_id: int, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates a run profile."""
        return dict(self._call("POST", f"synchronisation/connected-systems/{system_id}/run-profiles", body))

    def update_run_profile(
        self, system_id: int, profile_id: int, body: Mapping[str, Any], *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Changes a run profile; `settings`, when sent, are complete. In a dry run it is checked and shown only."""
        path = f"synchronisation/connected-systems/{system_id}/run-profiles/{profile_id}"
        return dict(self._call("PUT", path, body, query={"dryRun": "true"} if dry_run else None))

    def _items(self, path: str, query: Mapping[str, Any], limit: int | None = None) -> Iterator[Any]:
        left, page = limit, 1
        while left is None or left > 0:
            answer = self._call("GET", path, query={**query, "page": page, "pageSize": _PAGE_SIZE})
            if not isinstance(answer, dict) or not isinstance(answer.get("items"), list):
                raise ApiFailure(f"{self.url} answered with no page of items, so it is not Rota's API. Check --url.")
            items = answer["items"] if left is None else answer["items"][:left]
            yield from items
            if not answer.get("hasNextPage"):
                return
            left = None if left is None else left - len(items)
            page += 1

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        response = self._send(method, path, body, query=query)
        return self._json(response) if response.content else None

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        with self._failures(method):
            response = self._http.request(method, path, json=body, params=query, headers=headers)
        if response.is_success:
            return response
        raise self._failure(response)

    @contextmanager
    def _failures(self, method: str) -> Iterator[None]:
        """Turns what may go wrong on the way into a message."""
        try:
            yield
        except httpx.ConnectError as error:
            raise ApiFailure(
                f"Nothing answers at {self.url} ({error}). Start Rota with `rota dev`, "
                f"or name its address with --url or {API_URL_VARIABLE}.",
            ) from None
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            unknown = "" if method == "GET" else " Whether it was done is not known."
            raise ApiFailure(f"{self.url} did not answer: {reason.rstrip('.')}.{unknown}") from None

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise self._not_rota(response) from None

    def _failure(self, response: httpx.Response) -> ApiFailure:
        try:
            body = response.json()
            message, fields = str(body["message"]), body.get("validationErrors")
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._not_rota(response)
        match response.status_code:
            case httpx.codes.UNAUTHORIZED if self._key.secret:
                message = (
                    f"{self.url} does not know the API key from {self._key.source}, or it has expired. "
                    f"`rota api-key list` says which keys there are."
                )
            case httpx.codes.UNAUTHORIZED:
                message = (
                    f"{self.url} asks for an API key. It is taken from --api-key, else from {API_KEY_VARIABLE}, "
                    f"else from the file {self._key.source}."
                )
            case httpx.codes.FORBIDDEN:
                message = f"{message.rstrip('.')} (API key from {self._key.source})."
            case _ if body.get("details"):
                message = f"{message} {body['details']}"
        return ApiFailure(message, status=response.status_code, fields=fields)

    def _not_rota(self, response: httpx.Response) -> ApiFailure:
        kind = response.headers.get("content-type", "no content type")
        return ApiFailure(
            f"{self.url} answered {response.status_code} ({kind}), which is not Rota's API. Check --url.",
            status=response.status_code,
        )


def match_prefix(prefix: str, executions: Iterable[Execution]) -> str:
    """Returns the id of the one execution whose id begins so, in either letter case.

    Raises:
        ApiFailure: None does, or several do; the message names them.
    """
    found = [execution for execution in executions if execution["id"].startswith(prefix.lower())]
    if not found:
        raise ApiFailure(
            f"None of the latest {_PAGE_SIZE} executions has an id that begins with {prefix!r}. "
            "`rota executions list` shows ids; an older execution needs its whole id.",
            status=httpx.codes.NOT_FOUND,
        )
    if len(found) > 1:
        ids = ", ".join(f"{execution['id']} ({execution['scheduleName']})" for execution in found)
        raise ApiFailure(f"{prefix!r} is the beginning of several ids; give more of it: {ids}")
    return found[0]["id"]


def _with_reason(reason: str | None) -> dict[str, str] | None:
    return {"changeReason": reason} if reason else None


def _is_guid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _suggestion(name: str, names: Sequence[str]) -> str:
    by_lower = {known.lower(): known for known in names}
    close = [by_lower[lower] for lower in get_close_matches(name.lower(), by_lower, n=3)]
    return f" Did you mean {' or '.join(repr(known) for known in close)}?" if close else ""
