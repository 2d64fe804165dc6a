"""The routes of JIM's REST API that a driver and an import use, over what a JIM keeps."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from tests.jim.state import Activity, Key, State, Task, made, span, stored

Json = dict[str, Any] | list[Any] | str | None


@dataclass
class Answer(Exception):
    """An answer of the API; a body that is text is a page."""

    status: int
    body: Json = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """A request that was let in."""

    state: State
    query: Mapping[str, list[str]]
    """By lower-case name."""
    key: Key | None
    match: re.Match[str]

    @property
    def id(self) -> UUID:
        return UUID(self.match["id"])

    def one(self, name: str) -> str | None:
        return self.query.get(name.lower(), [None])[0]

    def number(self, name: str, default: int) -> int:
        text = self.one(name)
        try:
            return default if text is None else int(text)
        except ValueError:
            problem = {"title": "One or more validation errors occurred.", "status": 400, "errors": {name: ["?"]}}
            raise Answer(400, problem) from None


def error(state: State, code: str, message: str) -> Json:
    """The body of most errors."""
    body = {"code": code, "message": message, "details": None, "validationErrors": None}
    return body | {"timestamp": made(state.now())}


def _not_found(request: Request, message: str) -> Answer:
    return Answer(404, error(request.state, "NOT_FOUND", message))


def _envelope(items: list[dict[str, Any]], page: int, size: int, total: int) -> Answer:
    pages = math.ceil(total / size)
    return Answer(
        200,
        {
            "items": items,
            "totalCount": total,
            "page": page,
            "pageSize": size,
            "totalPages": pages,
            "hasNextPage": page < pages,
            "hasPreviousPage": page > 1,
        },
    )


def _page(request: Request, items: list[dict[str, Any]]) -> Answer:
    """A page of the lists that take any page size: 25 by default, 100 at most."""
    page, size = max(request.number("page", 1), 1), request.number("pageSize", 25)
    size = 25 if size < 1 else min(size, 100)
    return _envelope(items[(page - 1) * size : page * size], page, size, len(items))


def _is_descending(request: Request) -> bool:
    direction = (request.one("sortDirection") or "asc").lower()
    if direction not in {"asc", "desc"}:
        raise Answer(400, error(request.state, "VALIDATION_ERROR", "sortDirection must be asc or desc."))
    return direction == "desc"


# Health, and who is there


def _health(request: Request) -> Answer:
    return Answer(200, {"status": "healthy", "timestamp": made(request.state.now())})


def _ready(request: Request) -> Answer:
    timestamp = made(request.state.now())
    if request.state.database_is_up:
        return Answer(200, {"status": "ready", "timestamp": timestamp})
    reason = {"reason": "error", "error": "The database cannot be reached."}
    return Answer(503, {"status": "not_ready", **reason, "timestamp": timestamp})


def _live(request: Request) -> Answer:
    return Answer(200, {"status": "alive", "timestamp": made(request.state.now())})


def _version(request: Request) -> Answer:
    del request
    return Answer(200, {"product": "JIM", "version": "0.14.0"})


def _userinfo(request: Request) -> Answer:
    """A key is no one in the metaverse: it is told that it is not authorised, though it is."""
    body = {"authorised": False, "isAdministrator": False, "name": request.key and request.key.name}
    return Answer(200, body | {"authMethod": "ApiKey", "metaverseObjectId": None, "roles": [], "message": None})


# Connected systems and run profiles

_FILTERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda value, wanted: value == wanted,
    "ne": lambda value, wanted: value != wanted,
    "contains": lambda value, wanted: wanted in value,
    "startswith": lambda value, wanted: value.startswith(wanted),
    "endswith": lambda value, wanted: value.endswith(wanted),
    "gt": lambda value, wanted: value > wanted,
    "gte": lambda value, wanted: value >= wanted,
    "lt": lambda value, wanted: value < wanted,
    "lte": lambda value, wanted: value <= wanted,
}


def _passes(item: dict[str, Any], text: str) -> bool:
    """Whether an item passes `property:operator:value`; what is not understood filters nothing."""
    name, _, rest = text.partition(":")
    operator, _, wanted = rest.partition(":")
    value = next((value for key, value in item.items() if key.lower() == name.lower()), None)
    test = _FILTERS.get(operator.lower())
    if value is None or test is None:
        return True
    try:
        return test(value, int(wanted)) if isinstance(value, int) else test(value.lower(), wanted.lower())
    except (TypeError, ValueError, AttributeError):
        return True


def _connected_systems(request: Request) -> Answer:
    items = [
        {
            "id": system.id,
            "name": system.name,
            "description": system.description,
            "created": stored(system.created),
            "status": system.status,
            "objectCount": system.object_count,
            "connectorsCount": system.object_count,
            "pendingExportObjectsCount": system.pending_exports,
            "connectorName": system.connector_name,
            "connectorId": 1,
        }
        for system in list(request.state.systems.values())
    ]
    for text in request.query.get("filter", []):
        items = [item for item in items if _passes(item, text)]
    descending = _is_descending(request)
    wanted = (request.one("sortBy") or "id").lower()
    name = next((name for name in items[0] if name.lower() == wanted), "id") if items else "id"
    items.sort(key=lambda item: (item[name] is not None, item[name]), reverse=descending)
    return _page(request, items)


def _run_profiles(request: Request) -> Answer:
    system = request.state.systems.get(int(request.match["system"]))
    if system is None:
        return _not_found(request, f"Connected system not found: {request.match['system']}")
    return Answer(
        200,
        [
            {
                "id": profile.id,
                "name": profile.name,
                "connectedSystemId": system.id,
                "runType": profile.run_type,
                "pageSize": 100,
                "partitionName": None,
                "targetsDeselectedPartition": profile.targets_deselected_partition,
                "filePath": None,
                "verifyImportContentHashes": False,
            }
            for profile in list(request.state.profiles.values())
            if profile.system is system
        ],
    )


def _execute(request: Request) -> Answer:
    """Queues a run, and another for every repetition: there is no key by which a repetition is known."""
    state, system = request.state, request.state.systems.get(int(request.match["system"]))
    if system is None:
        return _not_found(request, f"Connected system not found: {request.match['system']}")
    profile = state.profiles.get(int(request.match["profile"]))
    if profile is None or profile.system is not system:
        return _not_found(request, f"Run profile not found: {request.match['profile']}")
    if profile.targets_deselected_partition:
        return Answer(400, error(state, "BAD_REQUEST", "The run profile targets a partition that is not selected."))
    activity, task = state.queue_run(profile, by=request.key)
    message = f"Run Profile '{profile.name}' has been queued for execution."
    ids = {"activityId": str(activity.id), "taskId": str(task.id)}
    return Answer(202, ids | {"message": message, "warnings": list(profile.warnings)})


# Activities


def _activity(activity: Activity) -> dict[str, Any]:
    ended = activity.ended
    worked = span(ended - activity.executed) if ended and activity.executed else None
    return {
        "id": str(activity.id),
        "parentActivityId": None,
        "created": stored(activity.created),
        "executed": stored(activity.executed) if activity.executed else None,
        "status": activity.status,
        "targetType": "ConnectedSystemRunProfile",
        "targetOperationType": "Execute",
        "targetName": activity.profile.name,
        "targetContext": activity.profile.system.name,
        "message": activity.message,
        "initiatedByType": activity.initiated_by_type,
        "initiatedById": str(activity.initiated_by_id) if activity.initiated_by_id else None,
        "initiatedByName": activity.initiated_by_name,
        "objectsToProcess": activity.to_process,
        "objectsProcessed": activity.processed,
        "executionTime": worked,
        # Counted from the request, waiting included.
        "totalActivityTime": span(ended - activity.created) if ended else None,
        "warningMessage": activity.warning_message,
        "errorMessage": activity.error_message,
        "errorStackTrace": None,
        "errorDetail": None,
        "connectedSystemRunType": activity.profile.run_type,
        "connectedSystemId": activity.profile.system.id,
        "connectedSystemRunProfileId": activity.profile.id,
        "syncRuleId": None,
        "metaverseObjectId": None,
        "exampleDataTemplateId": None,
        "executionStats": None,
        "phases": _phases(activity),
        "scheduleExecutionId": str(activity.schedule_execution_id) if activity.schedule_execution_id else None,
        "scheduleStepIndex": 0 if activity.schedule_execution_id else None,
        "scheduledByScheduleId": None,
        "scheduledByScheduleName": None,
        "changeReason": None,
        "configurationChangeVersion": None,
        "configurationChangeSnapshot": None,
    }


def _phases(activity: Activity) -> list[dict[str, Any]]:
    def status(number: int) -> str:
        if activity.executed is None or number > activity.phase:
            return "Pending"
        return "Active" if number == activity.phase and activity.ended is None else "Completed"

    return [
        {
            "key": name.lower(),
            "name": name,
            "parentKey": None,
            "order": number,
            "status": status(number),
            "started": None,
            "ended": None,
            "durationSeconds": None,
        }
        for number, (name, _) in enumerate(activity.profile.work.phases)
    ]


def _find_activity(request: Request) -> Activity:
    activity = request.state.activities.get(request.id)
    if activity is None:
        raise _not_found(request, f"Activity not found: {request.id}")
    return activity


def _one_activity(request: Request) -> Answer:
    return Answer(200, _activity(_find_activity(request)))


def _progress(request: Request) -> Answer:
    activity, now = _find_activity(request), request.state.now()
    elapsed = ((activity.ended or now) - (activity.executed or activity.created)).total_seconds()
    phases = _phases(activity)
    current = phases[activity.phase] if activity.executed else None
    total = activity.to_process
    return Answer(
        200,
        {
            "id": str(activity.id),
            "status": activity.status,
            "message": activity.message,
            "objectsProcessed": activity.processed,
            "objectsToProcess": total,
            "percentComplete": 100 * activity.processed // total if total else None,
            "elapsedSeconds": elapsed,
            "objectsPerSecond": None,
            "estimatedSecondsRemaining": None,
            "targetType": "ConnectedSystemRunProfile",
            "runType": activity.profile.run_type,
            "operationCounts": {},
            "totalErrors": 0,
            "retrievedAt": made(now),
            "phases": phases,
            "currentPhase": current["name"] if current else None,
            "currentPhaseNumber": activity.phase + 1 if current else None,
            "totalPhases": len(phases),
        },
    )


_ACTIVITY_FILTERS: Final = {
    "targettype": "targetType",
    "operation": "targetOperationType",
    "initiatortype": "initiatedByType",
    "initiatedbyid": "initiatedById",
    "initiatedby": "initiatedByName",
    "status": "status",
    "outcome": "status",
    "connectedsystem": "targetContext",
    "runprofile": "targetName",
}
_ACTIVITY_SORTS: Final = {"executed": "executed", "status": "status", "type": "targetType", "target": "targetName"}


def _activities(request: Request) -> Answer:
    """Oldest first unless asked otherwise."""
    found = sorted(request.state.activities.values(), key=lambda activity: activity.created)
    for name, compare in (("createdFrom", datetime.__ge__), ("createdTo", datetime.__le__)):
        if text := request.one(name):
            # A plus sign that was not escaped arrives as a blank.
            limit = datetime.fromisoformat(text.replace(" ", "+"))
            found = [activity for activity in found if compare(activity.created, limit)]
    items = [_activity(activity) for activity in found]
    for name, attribute in _ACTIVITY_FILTERS.items():
        if wanted := request.query.get(name):
            items = [item for item in items if item[attribute] in wanted]
    if search := request.one("search"):
        items = [item for item in items if search.lower() in f"{item['targetName']} {item['targetContext']}".lower()]
    if (request.one("scheduledOnly") or "").lower() == "true":
        items = [item for item in items if item["scheduleExecutionId"]]
    if attribute := _ACTIVITY_SORTS.get((request.one("sortBy") or "").lower(), ""):
        items.sort(key=lambda item: (item[attribute] is not None, item[attribute]))
    if _is_descending(request):
        items.reverse()
    return _page(request, [{name: item[name] for name in _HEADER} for item in items])


_HEADER: Final = (
    "id",
    "parentActivityId",
    "created",
    "executed",
    "status",
    "targetType",
    "targetOperationType",
    "targetName",
    "targetContext",
    "message",
    "initiatedByType",
    "initiatedById",
    "initiatedByName",
    "executionTime",
    "totalActivityTime",
    "connectedSystemRunType",
    "scheduleExecutionId",
)


# Worker tasks


def _task(task: Task) -> dict[str, Any]:
    activity = task.activity
    return {
        "id": str(task.id),
        "name": f"{activity.profile.system.name} - {activity.profile.name}",
        "type": "Synchronisation",
        "timestamp": stored(task.timestamp),
        "status": task.status,
        "initiatedByType": activity.initiated_by_type,
        "initiatedById": str(activity.initiated_by_id) if activity.initiated_by_id else None,
        "initiatedByName": activity.initiated_by_name,
        "activityId": str(activity.id),
        "objectsToProcess": activity.to_process,
        "objectsProcessed": activity.processed,
        "progressMessage": activity.message,
        "steps": None,
        "scheduleExecutionId": str(activity.schedule_execution_id) if activity.schedule_execution_id else None,
        "scheduleExecutionName": None,
        "scheduleStepIndex": task.schedule_step_index,
        "scheduleTotalSteps": None,
        "scheduleCurrentStepIndex": None,
    }


def _tasks(request: Request) -> Answer:
    newest_first = sorted(request.state.tasks.values(), key=lambda task: task.timestamp, reverse=True)
    page, size = max(request.number("page", 1), 1), min(max(request.number("pageSize", 50), 1), 100)
    listed = newest_first[(page - 1) * size : page * size]
    return _envelope([_task(task) for task in listed], page, size, len(newest_first))


def _find_task(request: Request) -> Task:
    """A task that has ended is gone."""
    task = request.state.tasks.get(request.id)
    if task is None:
        raise _not_found(request, f"Worker task not found: {request.id}")
    return task


def _one_task(request: Request) -> Answer:
    return Answer(200, _task(_find_task(request)))


def _cancel_task(request: Request) -> Answer:
    request.state.request_cancel(_find_task(request))
    return Answer(202)


# Schedules

_SCHEDULE_SORTS: Final = {
    "name": "name",
    "isenabled": "isEnabled",
    "enabled": "isEnabled",
    "status": "isEnabled",
    "lastruntime": "lastRunTime",
    "lastrun": "lastRunTime",
    "nextruntime": "nextRunTime",
    "nextrun": "nextRunTime",
}
_LAST_EXECUTION: Final = ("Id", "Status", "CurrentStepIndex", "TotalSteps", "CompletedAt", "ErrorMessage")


def _schedule(schedule: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in schedule.items() if name != "steps"}
    shown["stepCount"] = len(schedule["steps"])
    # JIM fills them in its list alone, for schedules that have run; none here has.
    return shown | {f"lastExecution{name}": None for name in _LAST_EXECUTION}


def _schedules(request: Request) -> Answer:
    page, size = max(request.number("page", 1), 1), request.number("pageSize", 20)
    if size < 1:
        message = "pageSize must be a positive number (Parameter 'pageSize')"
        return Answer(400, error(request.state, "VALIDATION_ERROR", message))
    size = min(size, 100)
    found = list(request.state.schedules.values())
    if search := (request.one("search") or "").lower():
        found = [item for item in found if search in f"{item['name']}\n{item['description'] or ''}".lower()]
    name = _SCHEDULE_SORTS.get((request.one("sortBy") or "").lower(), "created")
    found.sort(key=lambda item: (item[name] is not None, item[name]))
    if (request.one("sortDescending") or "").lower() == "true":
        found.reverse()
    items = [_schedule(item) for item in found[(page - 1) * size : page * size]]
    # Past the end JIM counts nothing.
    return _envelope(items, page, size, len(found) if items else 0)


def _one_schedule(request: Request) -> Answer:
    schedule = request.state.schedules.get(request.id)
    if schedule is None:
        # The controllers of schedules leave the code empty.
        return Answer(404, error(request.state, "", f"Schedule not found: {request.id}"))
    steps = sorted(schedule["steps"], key=lambda step: step["stepIndex"])
    return Answer(200, _schedule(schedule) | {"steps": steps})


def _switch(request: Request) -> Answer:
    """Enables or disables; the answer counts no steps, as they are not loaded."""
    schedule = request.state.schedules.get(request.id)
    if schedule is None:
        return Answer(404, error(request.state, "", f"Schedule not found: {request.id}"))
    schedule["isEnabled"] = request.match["to"] == "enable"
    schedule["lastUpdated"] = made(request.state.now())
    return Answer(200, _schedule(schedule) | {"stepCount": 0})


Handler = Callable[[Request], Answer]

_GUID = r"(?P<id>[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12})"
_SYSTEMS = "/synchronisation/connected-systems"

_ROUTES: Final[Iterable[tuple[str, str, Handler]]] = (
    ("GET", "/health", _health),
    ("GET", "/health/ready", _ready),
    ("GET", "/health/live", _live),
    ("GET", "/health/version", _version),
    ("GET", "/userinfo", _userinfo),
    ("GET", _SYSTEMS, _connected_systems),
    ("GET", rf"{_SYSTEMS}/(?P<system>\d+)/run-profiles", _run_profiles),
    ("POST", rf"{_SYSTEMS}/(?P<system>\d+)/run-profiles/(?P<profile>\d+)/execute", _execute),
    ("GET", "/activities", _activities),
    ("GET", f"/activities/{_GUID}", _one_activity),
    ("GET", f"/activities/{_GUID}/progress", _progress),
    ("GET", "/worker-tasks", _tasks),
    ("GET", f"/worker-tasks/{_GUID}", _one_task),
    ("POST", f"/worker-tasks/{_GUID}/cancel", _cancel_task),
    ("GET", "/schedules", _schedules),
    ("GET", f"/schedules/{_GUID}", _one_schedule),
    ("POST", f"/schedules/{_GUID}/(?P<to>enable|disable)", _switch),
)


def route(method: str, path: str) -> tuple[Handler, re.Match[str]] | None:
    """Returns what answers a path below `/api/v1`, in lower case and without a slash at its end; None for nothing."""
    for wanted, pattern, handler in _ROUTES:
        if method == wanted and (match := re.fullmatch(pattern, path)):
            return handler, match
    return None
