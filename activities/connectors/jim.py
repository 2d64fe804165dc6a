"""The connector `Jim`: a run is a run of a run profile of a JIM, driven over its REST API.

JIM takes no key by which it would know a repeated request, and queues another run for each. So a run is asked for in
steps that a crash may interrupt anywhere: what JIM had already seen is written down first, then one request is sent; and
where its answer is lost, or the worker, JIM's own list says whether it was carried out.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any, Final, TypeVar
from weakref import WeakValueDictionary

import httpx
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter, ValidationError, field_validator
from pydantic.alias_generators import to_camel
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, stop_never
from tenacity.wait import wait_exponential

from activities.connectors.connector import Connector, ConnectorSettings
from activities.support.step_type import StepFailure, StepRun
from activities.support.variables import PLACEHOLDER, expand
from contracts.execution import StepProgress, StepStatus
from runtime.secrets import MASK, Sealed

_BASE: Final = "/api/v1"

_TIMEOUT: Final = httpx.Timeout(30, connect=10)
"""For one request. JIM answers within milliseconds; an answer given up too early may still have been carried out."""

_KEPT_OPEN_SECONDS: Final = 3.0
"""Younger than any server gives up a quiet connection: a request sent on a dead one would count as lost."""

_PAUSES: Final = wait_exponential(multiplier=0.5, max=10)
"""Seconds between two tries while JIM cannot answer."""

_OUTAGE: Final = timedelta(minutes=15)
"""How long a step without a time limit waits for a JIM that does not answer."""

_SETTLING_SECONDS: Final = (0.0, 1.0, 2.0, 3.0, 4.0)
"""Pauses before each look for a run whose answer was lost: JIM may still be carrying the request out."""

_KNOWN_WINDOW: Final = timedelta(minutes=2)
"""By how much the clocks of one JIM's servers may differ: what is as much older than its newest activity is old."""

_SOONEST_SECONDS: Final = 0.5
_LATEST_SECONDS: Final = 5.0
"""Shortest and longest pause between two looks at a run."""

_SHARE_SECONDS: Final = 0.6
"""Pause between two looks for each run that a worker follows with one key: with two requests a look, 200 a minute of the
300 that JIM allows."""

_ENDING_SECONDS: Final = 60.0
"""How long a cancelled run may take to end: JIM notices within 2 s, and stops at the next page of its work."""

_VANISHED_LOOKS: Final = 3
"""How often a run without a task is looked at until its status counts: a cancelled one reads `InProgress` for good."""

_PAGE: Final = 100
_MESSAGE_LENGTH: Final = 500


def _mask(key: str) -> str:
    """A key that is a variable's name is no secret."""
    return key if PLACEHOLDER.fullmatch(key) else MASK


class JimSettings(ConnectorSettings):
    """The settings of a connected system with the connector `Jim`."""

    url: str = Field(
        max_length=500,
        title="URL",
        examples=["https://jim.example.com"],
        description="Address of JIM, such as `https://jim.example.com`. `${env:NAME}` stands for a variable of the "
        "worker that its `ROTA_STEP_ENV` lists.",
    )
    api_key: Annotated[str, Sealed(_mask)] = Field(
        max_length=500,
        title="API key",
        examples=["${env:JIM_API_KEY}"],
        description="Key of JIM, of the role Administrator. `${env:NAME}` as in `url`.",
    )

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        if not PLACEHOLDER.search(url):
            _origin(url)
        elif re.search("[@?#]", url):
            # What the variables make of it is seen on the worker; but what could hold a password would be shown here.
            raise ValueError(_NO_ADDRESS)
        return url.strip()


class JimRunProfile(ConnectorSettings):
    """The settings of a run profile with the connector `Jim`: none."""


_ADDRESS: Final = TypeAdapter(HttpUrl)
_NO_ADDRESS: Final = "The URL must be an address such as https://jim.example.com, without user name and query."


def _origin(url: str) -> str:
    """Returns the address of JIM without the path of its API.

    Raises:
        ValueError: It is no address of a web server; the message does not repeat it, as it may hold a password.
    """
    try:
        parsed = _ADDRESS.validate_python(url.strip())
    except ValidationError:
        parsed = None
    if parsed is None or parsed.username or parsed.password or parsed.query or parsed.fragment:
        raise ValueError(_NO_ADDRESS)
    return str(parsed).rstrip("/").removesuffix(_BASE)


@cache
def _trust() -> ssl.SSLContext:
    """Returns whom this process trusts: read once, as it takes some 0.3 s.

    Raises:
        OSError: The file or folder of certificates that the environment names cannot be used.
    """
    return httpx.create_ssl_context()


class Jim(Connector[JimSettings, JimRunProfile]):
    """Runs a run profile on a JIM, over its REST API; the ids of system and run profile are JIM's.

    `Complete` is success, `CompleteWithWarning` too, with a warning. A step that is cancelled or times out cancels JIM's
    run. One whose worker is stopped or lost is taken up by another worker, and starts no second run. While JIM cannot
    answer, the step waits: to its time limit, or for 15 minutes where it has none.
    """

    name = "Jim"
    settings_model = JimSettings
    run_profile_model = JimRunProfile

    def __init__(self) -> None:
        """Follows no run yet."""
        self._paces: WeakValueDictionary[tuple[str, str], _Pace] = WeakValueDictionary()

    async def run(self, step: StepRun[Any], settings: JimSettings, profile: JimRunProfile) -> None:
        """Asks JIM for a run, or takes up the one that an attempt before had asked for, and follows it to its end."""
        del profile
        step.resumable = True
        environment = step.worker.named_environment
        key = expand(settings.api_key, environment, "the API key").strip()
        if not re.fullmatch(r"[!-~]+", key):
            raise StepFailure("The API key has characters that no key of JIM has.", retryable=False)
        try:
            origin = _origin(expand(settings.url, environment, "the URL"))
        except ValueError as error:
            raise StepFailure(f"{error}", retryable=False) from None
        async with _connected(step, origin, key, self._paces.setdefault((origin, key), _Pace())) as api:
            run = _Run(step, api, step.config.connected_system_id, step.config.run_profile_id)
            try:
                await run.begin()
                await run.follow()
            except asyncio.CancelledError:
                if not await step.continuity.hands_over():
                    await run.end()
                raise


class _Later(Exception):
    """JIM cannot answer now, and may be able to later."""

    def __init__(self, message: str, *, is_lost: bool = False, after: float = 0) -> None:
        """Says why, whether the request may have been carried out all the same, and how many seconds to wait."""
        super().__init__(message)
        self.is_lost = is_lost
        self.after = after


class _Refused(Exception):
    """JIM has understood and refused a request; the message is JIM's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Pace:
    """What the runs share that a worker follows with one key, as JIM counts the requests of a key."""

    def __init__(self) -> None:
        self.runs = 0
        self._blocked_until = 0.0

    def block(self, seconds: float) -> None:
        """Keeps every request back for so long."""
        self._blocked_until = max(self._blocked_until, asyncio.get_running_loop().time() + seconds)

    async def clear(self) -> None:
        """Returns when a request may be sent."""
        # What JIM asked for with Retry-After; a time that is over is no wait.
        await asyncio.sleep(self._blocked_until - asyncio.get_running_loop().time())

    def pause(self, age: float) -> float:
        """Returns the seconds until the next look at a run of this age: a tenth of it, within limits."""
        return max(min(age / 10, _LATEST_SECONDS), _SOONEST_SECONDS, self.runs * _SHARE_SECONDS)


class _Shape(BaseModel):
    """Base of what is read of JIM's answers."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")


class _Queued(_Shape):
    activity_id: str
    task_id: str
    message: str = ""
    warnings: list[str] = Field(default_factory=list)


class _Progress(_Shape):
    status: str
    message: str | None = None
    objects_processed: int = 0
    objects_to_process: int = 0
    current_phase: str | dict[str, Any] | None = None
    current_phase_number: int | None = None
    total_phases: int | None = None

    @property
    def phase(self) -> str | None:
        """The phase that it is in, such as `Import (1 of 3)`."""
        phase = self.current_phase
        name = phase.get("name") if isinstance(phase, dict) else phase
        if name and self.current_phase_number and self.total_phases:
            return f"{name} ({self.current_phase_number} of {self.total_phases})"
        return str(name) if name else None


class _Activity(_Shape):
    created: datetime
    status: str
    message: str | None = None
    warning_message: str | None = None
    error_message: str | None = None
    initiated_by_type: str | None = None
    connected_system_id: int | None = None
    connected_system_run_profile_id: int | None = None
    schedule_execution_id: str | None = None


class _Listed(_Shape):
    id: str
    created: datetime


class _Activities(_Shape):
    items: list[_Listed]
    has_next_page: bool = False


class _Task(_Shape):
    id: str
    status: str
    activity_id: str | None = None


class _Tasks(_Shape):
    items: list[_Task]
    has_next_page: bool = False


Read = TypeVar("Read", bound=_Shape)
Done = TypeVar("Done")


class _Api:
    """JIM's REST API, asked with one key."""

    def __init__(self, step: StepRun[Any], http: httpx.AsyncClient, pace: _Pace) -> None:
        self.pace = pace
        self._step = step
        self._http = http

    async def get(self, shape: type[Read], path: str, **query: str | int) -> Read:
        """Returns what JIM answers, as soon as it can.

        Raises:
            _Refused: JIM refuses the request.
            StepFailure: It does not answer for too long, or not as JIM does, or not this key.
        """
        return await self.insist(lambda: self._read(shape, "GET", path, query))

    async def cancel(self, task_id: str) -> None:
        """Asks JIM to cancel a task; a repetition does no harm."""
        await self.insist(lambda: self._send("POST", f"/worker-tasks/{task_id}/cancel", {}))

    async def execute(self, system_id: int, profile_id: int) -> _Queued:
        """Asks JIM once for a run.

        Raises:
            _Later: There is no answer; where it is lost, the run may have been queued.
        """
        path = f"/synchronisation/connected-systems/{system_id}/run-profiles/{profile_id}/execute"
        answer = await self._send("POST", path, {})
        try:
            return _Queued.model_validate_json(answer.content)
        except ValidationError:
            raise _Later("JIM's answer to the request for a run cannot be read", is_lost=True) from None

    async def insist(self, ask: Callable[[], Awaitable[Done]]) -> Done:
        """Asks until JIM can answer.

        Raises:
            StepFailure: It cannot for too long. A step with a time limit waits until that ends it.
        """
        stop = stop_never if self._step.time_limit is not None else stop_after_delay(_OUTAGE)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Later),
            wait=_pause,
            stop=stop,
            before_sleep=self._tell,
            reraise=True,
        )

        async def asked() -> Done:
            return await ask()

        try:
            return await retrying(asked)
        except _Later as later:
            minutes = _OUTAGE.total_seconds() / 60
            raise StepFailure(f"JIM did not answer for {minutes:.0f} minutes: {later}.") from None

    def _tell(self, state: RetryCallState) -> None:
        later = state.outcome.exception() if state.outcome else None
        self._step.report(StepProgress(message=f"Waiting for JIM: {later}"))

    async def _read(self, shape: type[Read], method: str, path: str, query: Mapping[str, str | int]) -> Read:
        answer = await self._send(method, path, query)
        try:
            return shape.model_validate_json(answer.content)
        except ValidationError:
            raise StepFailure(
                f"{self._http.base_url.host} does not answer {path} as JIM does: is its address right?",
                retryable=False,
            ) from None

    async def _send(self, method: str, path: str, query: Mapping[str, str | int]) -> httpx.Response:
        answer = await self._once(method, path, query)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            # So JIM answers a good key while it cannot reach its database, or could not until just now.
            if not await self._is_ready():
                raise _Later("it is not ready, and knows no key")
            answer = await self._once(method, path, query)
        return self._judged(answer)

    async def _once(self, method: str, path: str, query: Mapping[str, str | int]) -> httpx.Response:
        await self.pace.clear()
        try:
            return await self._http.request(method, f"{_BASE}{path}", params=query)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            if untrusted := _untrusted(error):
                raise StepFailure(
                    f"JIM's certificate is not trusted ({untrusted}): name its CA's file in SSL_CERT_FILE.",
                    retryable=False,
                ) from None
            raise _Later(f"it cannot be reached ({_reason(error)})") from None
        except httpx.TransportError as error:
            raise _Later(f"no answer came ({_reason(error)})", is_lost=True) from None

    def _judged(self, answer: httpx.Response) -> httpx.Response:
        status = answer.status_code
        if answer.is_success:
            return answer
        if status == httpx.codes.TOO_MANY_REQUESTS:
            after = _retry_after(answer)
            self.pace.block(after)
            raise _Later(f"too many requests with this key, {after:.0f} s to wait", after=after)
        if answer.is_server_error:
            raise _Later(f"it answers with status {status}", is_lost=True, after=_retry_after(answer))
        if status == httpx.codes.UNAUTHORIZED:
            raise StepFailure("JIM refuses the API key.", retryable=False)
        if status == httpx.codes.FORBIDDEN:
            raise StepFailure("JIM's API key may not do this: it needs the role Administrator.", retryable=False)
        if answer.is_redirect:
            raise StepFailure(
                f"{self._http.base_url.host} answers with a redirect: write the address that it leads to.",
                retryable=False,
            )
        raise _Refused(status, _said(answer))

    async def _is_ready(self) -> bool:
        try:
            return (await self._http.get(f"{_BASE}/health/ready")).is_success
        except httpx.TransportError:
            return False


@asynccontextmanager
async def _connected(step: StepRun[Any], origin: str, key: str, pace: _Pace) -> AsyncIterator[_Api]:
    headers = {"X-API-Key": key, "Accept": "application/json"}
    limits = httpx.Limits(keepalive_expiry=_KEPT_OPEN_SECONDS)
    try:
        http = httpx.AsyncClient(base_url=origin, headers=headers, timeout=_TIMEOUT, limits=limits, verify=_trust())
    except OSError as error:
        raise StepFailure(
            f"The certificates that SSL_CERT_FILE names cannot be used: {error.strerror}.", retryable=False
        ) from None
    pace.runs += 1
    try:
        async with http:
            yield _Api(step, http, pace)
    finally:
        pace.runs -= 1


class _Run:
    """A run of a run profile: asked for once, followed to its end, by as many attempts as it takes.

    The step remembers `since` and `known` before JIM is asked for the run, `activityId` and `taskId` afterwards.
    """

    def __init__(self, step: StepRun[Any], api: _Api, system_id: int, profile_id: int) -> None:
        self._step = step
        self._api = api
        self._system_id = system_id
        self._profile_id = profile_id
        self._turn = f"jim-run-profile/{system_id}/{profile_id}"
        self._is_unanswered = "known" in step.memo and "activityId" not in step.memo
        """Whether JIM may have been asked for the run, and may have queued it."""
        self._others: set[str] = set()
        self._began = asyncio.get_running_loop().time()
        self._phase: str | None = None

    async def begin(self) -> None:
        """Asks JIM for the run, unless an attempt before has.

        Equal runs of one key cannot be told apart in JIM. So steps that run one profile take turns at asking, and have
        their turn until it is known for sure which run is theirs.
        """
        if "activityId" not in self._step.memo:
            self._step.report(StepProgress(message="Waiting for the turn to start this run profile"))
            await self._step.continuity.take_turn(self._turn)
            try:
                await self._step.remember_surely(**await self._started())
            except StepFailure:
                if not self._is_unanswered:
                    await self._step.continuity.give_back(self._turn)
                raise
        # Also where an attempt before had come as far as this, and no further.
        await self._step.continuity.give_back(self._turn)
        self._step.activity_id = self._step.memo["activityId"]
        self._step.output.write_line(f"Activity {self._step.activity_id}")

    async def _started(self) -> dict[str, str | None]:
        """Returns the ids of this step's run and of its task, which JIM has queued just now or for an attempt before."""
        if "known" not in self._step.memo:
            await self._step.remember_surely(**await self._known())
        elif found := await self._find():
            return found
        try:
            return await self._api.insist(self._ask)
        except _Refused as refused:
            raise StepFailure(
                f"JIM refuses to run run profile {self._profile_id} of connected system {self._system_id}: {refused}",
                retryable=refused.status != httpx.codes.NOT_FOUND,
            ) from None

    async def _known(self) -> dict[str, Any]:
        """Returns what JIM's list shows before this run is asked for: everything that is not in it is newer."""
        newest = (await self._activities(since=None, page=1)).items
        if not newest:
            return {"since": None, "known": []}
        since = newest[0].created - _KNOWN_WINDOW
        if len(newest) == _PAGE:
            since = max(since, newest[-1].created)
        known = [item.id for item in newest if item.created >= since]
        return {"since": since.isoformat(), "known": known}

    async def _activities(self, since: str | None, page: int) -> _Activities:
        return await self._api.get(
            _Activities,
            "/activities",
            targetType="ConnectedSystemRunProfile",
            operation="Execute",
            sortBy="created",
            sortDirection="desc",
            page=page,
            pageSize=_PAGE,
            **({} if since is None else {"createdFrom": since}),
        )

    async def _ask(self) -> dict[str, str | None]:
        """Asks for the run once, and looks for it where the answer is lost.

        Raises:
            _Later: JIM has not queued it.
        """
        await self._api.pace.clear()
        # A worker that Temporal has taken for lost may not ask any more: another one does.
        await self._step.continuity.keep()
        self._is_unanswered = True
        try:
            queued = await self._api.execute(self._system_id, self._profile_id)
        except _Later as later:
            if later.is_lost and (found := await self._find()):
                return found
            self._is_unanswered = False
            raise
        except (_Refused, StepFailure):
            self._is_unanswered = False
            raise
        for line in (queued.message, *(f"Warning: {warning}" for warning in queued.warnings)):
            self._step.output.write_line(line)
        return {"activityId": queued.activity_id, "taskId": queued.task_id}

    async def _find(self) -> dict[str, str | None] | None:
        """Returns the run that was asked for without an answer; None where JIM has none.

        Raises:
            StepFailure: There are several, of which one at most is this step's.
        """
        for pause in _SETTLING_SECONDS:
            await asyncio.sleep(pause)  # JIM tells nobody when a run begins
            found = await self._started_since()
            if len(found) > 1:
                raise StepFailure(
                    f"It cannot be told which run is this step's: {' or '.join(found)}. Nothing but Rota may start this "
                    "run profile with an API key while a step does.",
                    retryable=False,
                )
            if found:
                self._step.output.write_line("Found the run whose answer was lost")
                return {"activityId": found[0], "taskId": None}
        return None

    async def _started_since(self) -> list[str]:
        """Returns the runs of this profile that some API key has started since this step wanted one."""
        memo, found, page = self._step.memo, list[str](), 1
        while True:
            listed = await self._activities(memo["since"], page)
            for item in listed.items:
                if item.id not in memo["known"] and item.id not in self._others:
                    activity = await self._api.get(_Activity, f"/activities/{item.id}")
                    if self._may_be(activity):
                        found.append(item.id)
                    else:
                        self._others.add(item.id)
            if not listed.has_next_page:
                return found
            page += 1

    def _may_be(self, activity: _Activity) -> bool:
        return (
            activity.connected_system_id == self._system_id
            and activity.connected_system_run_profile_id == self._profile_id
            and activity.initiated_by_type == "ApiKey"
            and activity.schedule_execution_id is None
        )

    async def follow(self) -> None:
        """Follows the run to its end.

        Raises:
            StepFailure: It ended without success.
        """
        before: _Progress | None = None
        while True:
            progress = await self._progress()
            self._step.activity_status = progress.status
            if progress.status in _ENDS:
                return await self._conclude(progress.status)
            if progress == before and await self._is_gone():
                return await self._conclude(await self._status_of_vanished())
            self._show(progress)
            before = progress
            age = asyncio.get_running_loop().time() - self._began
            await asyncio.sleep(self._api.pace.pause(age))  # JIM has to be asked: it calls nobody back

    async def _progress(self) -> _Progress:
        activity_id = self._step.memo["activityId"]
        try:
            return await self._api.get(_Progress, f"/activities/{activity_id}/progress")
        except _Refused as refused:
            raise StepFailure(f"JIM does not know its run {activity_id} any more: {refused}", retryable=False) from None

    def _show(self, progress: _Progress) -> None:
        phase = progress.phase
        if phase and phase != self._phase:
            self._step.output.write_line(phase)
            self._phase = phase
        total = progress.objects_to_process or None
        done = progress.objects_processed if phase or total else None
        self._step.report(StepProgress(done=done, total=total, message=phase or progress.message or "Queued in JIM"))

    async def _task(self) -> _Task | None:
        """Returns the task of the run, which JIM deletes at its end; None then."""
        task_id = self._step.memo.get("taskId")
        if task_id is None:
            return await self._look_up_task()
        try:
            return await self._api.get(_Task, f"/worker-tasks/{task_id}")
        except _Refused as refused:
            if refused.status == httpx.codes.NOT_FOUND:
                return None
            raise StepFailure(f"JIM refuses to show its task {task_id}: {refused}", retryable=False) from None

    async def _look_up_task(self) -> _Task | None:
        """Returns the task by its activity: all that is known of a run whose answer was lost."""
        page = 1
        while True:
            tasks = await self._api.get(_Tasks, "/worker-tasks", page=page, pageSize=_PAGE)
            for task in tasks.items:
                if task.activity_id == self._step.memo["activityId"]:
                    self._step.remember(taskId=task.id)
                    return task
            if not tasks.has_next_page:
                return None
            page += 1

    async def _is_gone(self) -> bool:
        return await self._task() is None

    async def _status_of_vanished(self) -> str:
        """Returns the status of a run whose task is gone."""
        status = ""
        for _ in range(_VANISHED_LOOKS):
            status = (await self._progress()).status
            if status in _ENDS:
                return status
            await asyncio.sleep(_SOONEST_SECONDS)  # the end may be noted a moment after the task is gone
        return "Cancelled" if status == "InProgress" else status

    async def _conclude(self, status: str) -> None:
        """Lets the step end as JIM's run did.

        Raises:
            StepFailure: It was no success.
        """
        activity_id = self._step.memo["activityId"]
        activity = await self._api.get(_Activity, f"/activities/{activity_id}")
        self._step.activity_status = status
        self._step.output.write_line(status)
        said = _line(activity.error_message or activity.warning_message or activity.message)
        # Another attempt is another run.
        self._step.begins_anew = True
        match status:
            case "Complete":
                return
            case "CompleteWithWarning":
                self._step.warn(said or "JIM's run ended with warnings.")
            case "CompleteWithError":
                message = f"JIM's run ended with errors: {said}" if said else "JIM's run ended with errors."
                raise StepFailure(message, status=StepStatus.COMPLETED_WITH_ERROR)
            case "FailedWithError":
                raise StepFailure(f"JIM's run failed: {said}" if said else "JIM's run failed.")
            case "Cancelled":
                raise StepFailure("The run was cancelled in JIM.", retryable=False, status=StepStatus.CANCELLED)
            case _:
                raise StepFailure(f"JIM's run {activity_id} ended with the unknown status {status}.", retryable=False)

    async def end(self) -> None:
        """Cancels the run and waits until it is gone, for a minute at most; says so where it is not known to be gone."""
        if self._is_unanswered or "activityId" in self._step.memo:
            try:
                async with asyncio.timeout(_ENDING_SECONDS):
                    await self._end()
                self._step.begins_anew = True
            except (TimeoutError, StepFailure, _Refused):
                run = f"its run {self._step.activity_id}" if self._step.activity_id else "the run that it was asked for"
                self._step.remark = f"JIM has not confirmed that {run} has ended."
                if "activityId" not in self._step.memo:
                    return
        await self._step.continuity.give_back(self._turn)

    async def _end(self) -> None:
        if "activityId" not in self._step.memo:
            found = await self._find()
            if found is None:
                return
            self._step.remember(**found)
        self._step.activity_id = self._step.memo["activityId"]
        task = await self._task()
        if task is not None:
            await self._cancel(task.id)
        status = (await self._progress()).status
        self._step.activity_status = status if status in _ENDS else "Cancelled"
        self._step.output.write_line(self._step.activity_status)

    async def _cancel(self, task_id: str) -> None:
        try:
            await self._api.cancel(task_id)
        except _Refused as refused:
            if refused.status != httpx.codes.NOT_FOUND:
                raise
        pause = _SOONEST_SECONDS
        while not await self._is_gone():
            await asyncio.sleep(pause)  # nor does it tell when a cancel is through
            pause = min(pause * 2, _LATEST_SECONDS)


_ENDS: Final = frozenset({"Complete", "CompleteWithWarning", "CompleteWithError", "FailedWithError", "Cancelled"})


def _pause(state: RetryCallState) -> float:
    later = state.outcome.exception() if state.outcome else None
    return max(_PAUSES(state), later.after if isinstance(later, _Later) else 0)


def _retry_after(answer: httpx.Response) -> float:
    """Returns the seconds that JIM asks to wait; 0 where it names none."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0


def _said(answer: httpx.Response) -> str:
    """Returns what JIM says in an error."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    said = (body.get("message") or body.get("title")) if isinstance(body, dict) else None
    return _line(said) or f"status {answer.status_code}"


def _line(text: object) -> str:
    """Returns a text of JIM's as one line that is not too long; nothing for what is no text."""
    return " ".join(text.split())[:_MESSAGE_LENGTH] if isinstance(text, str) else ""


def _untrusted(error: BaseException) -> str | None:
    """Returns what is wrong with the server's certificate; None where it is something else that is wrong."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        cause = cause.__cause__ or cause.__context__
    return None


def _reason(error: Exception) -> str:
    return _line(str(error)) or type(error).__name__
