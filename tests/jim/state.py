"""What a JIM keeps, and how its worker goes through its tasks: one run at a time.

Facts as JIM was seen running: field names, values and quirks, the inconvenient ones too.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

ABANDONED = "Task was abandoned due to worker crash or restart."


@dataclass
class Key:
    """An API key: JIM knows its id and name, and attributes runs to them."""

    secret: str
    name: str = "rota"
    is_administrator: bool = True
    id: UUID = field(default_factory=uuid4)


@dataclass
class ConnectedSystem:
    id: int
    name: str
    description: str | None = None
    status: str = "Active"
    connector_name: str = "JIM LDAP Connector"
    object_count: int = 0
    pending_exports: int = 0
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Work:
    """What a run of a profile does."""

    phases: tuple[tuple[str, int], ...] = (("Import", 10), ("Synchronise", 20))
    """Names of the phases, and how many objects each has; 0 for a number that JIM cannot tell."""
    seconds: float = 0.02
    """How long it takes in all."""
    status: str = "Complete"
    warning_message: str | None = None
    error_message: str | None = None
    held: bool = False
    """Whether it stops half-way through its last phase until this is False."""


@dataclass
class RunProfile:
    id: int
    name: str
    system: ConnectedSystem
    run_type: str = "FullImport"
    targets_deselected_partition: bool = False
    warnings: tuple[str, ...] = ()
    """Partition warnings of each execute."""
    work: Work = field(default_factory=Work)


@dataclass
class Activity:
    """A run of a profile: `InProgress` from the moment of the request."""

    profile: RunProfile
    initiated_by_type: str
    initiated_by_id: UUID | None
    initiated_by_name: str | None
    created: datetime
    id: UUID = field(default_factory=uuid4)
    executed: datetime | None = None
    ended: datetime | None = None
    status: str = "InProgress"
    message: str | None = None
    warning_message: str | None = None
    error_message: str | None = None
    phase: int = 0
    processed: int = 0
    schedule_execution_id: UUID | None = None

    @property
    def to_process(self) -> int:
        return self.profile.work.phases[self.phase][1]


@dataclass
class Task:
    activity: Activity
    timestamp: datetime
    id: UUID = field(default_factory=uuid4)
    status: str = "Queued"
    worked: float = 0.0
    """Seconds of work done."""
    cancel_noticed: float = 0.0
    """Seconds since the cancel was asked for."""
    schedule_step_index: int | None = None


@dataclass
class State:
    """Everything in JIM's database, and the settings of the double that change how it behaves."""

    keys: list[Key] = field(default_factory=list)
    systems: dict[int, ConnectedSystem] = field(default_factory=dict)
    profiles: dict[int, RunProfile] = field(default_factory=dict)
    schedules: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    activities: dict[UUID, Activity] = field(default_factory=dict)
    tasks: dict[UUID, Task] = field(default_factory=dict)

    database_is_up: bool = True
    clock_offset: timedelta = timedelta()
    """How far JIM's clock is ahead of this machine's."""
    cancel_seconds: float = 0.02
    """Until the worker notices a cancel; JIM's takes up to 2 s."""
    cancelled_reads_in_progress_after: float = 3
    """Seconds from a cancelled run's `Cancelled` until its activity reads `InProgress` again, for good."""
    _relapsing: list[tuple[Activity, float]] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_offset

    def add_key(self, secret: str, **fields: Any) -> Key:
        key = Key(secret, **fields)
        self.keys.append(key)
        return key

    def add_system(self, system_id: int, name: str, **fields: Any) -> ConnectedSystem:
        system = self.systems[system_id] = ConnectedSystem(system_id, name, **fields)
        return system

    def add_profile(self, profile_id: int, name: str, system: ConnectedSystem, **fields: Any) -> RunProfile:
        profile = self.profiles[profile_id] = RunProfile(profile_id, name, system, **fields)
        return profile

    def add_schedule(self, name: str, steps: Iterable[dict[str, Any]] = (), **fields: Any) -> dict[str, Any]:
        """Adds a schedule as JIM stores and shows it: what its REST API drops is null, what it defaults is filled in."""
        schedule: dict[str, Any] = {
            "id": str(uuid4()),
            "name": name,
            "description": None,
            "triggerType": "Manual",
            "cronExpression": None,
            "patternType": "SpecificTimes",
            "daysOfWeek": None,
            "runTimes": None,
            "intervalValue": None,
            "intervalUnit": None,
            "intervalWindowStart": None,
            "intervalWindowEnd": None,
            "isEnabled": False,
            "lastRunTime": None,
            "nextRunTime": None,
            "created": stored(self.now()),
            "lastUpdated": None,
        } | fields
        schedule["steps"] = [
            {
                "id": str(uuid4()),
                "stepIndex": 0,
                "name": None,
                "executionMode": "Sequential",
                "stepType": "RunProfile",
                "continueOnFailure": False,
                "timeoutSeconds": None,
                "connectedSystemId": None,
                "runProfileId": None,
                "scriptPath": None,
                "executablePath": None,
                "workingDirectory": None,
                "arguments": None,
                "sqlConnectionString": None,
                "sqlScriptPath": None,
            }
            | step
            for step in steps
        ]
        self.schedules[UUID(schedule["id"])] = schedule
        return schedule

    def queue_run(
        self, profile: RunProfile, *, by: Key | None, schedule_execution_id: UUID | None = None
    ) -> tuple[Activity, Task]:
        """Queues a run as its execute endpoint does for a key; without one, as JIM's portal does for a user."""
        now = self.now()
        who = ("ApiKey", by.id, by.name) if by else ("User", uuid4(), "A. Dministrator")
        activity = Activity(profile, *who, created=now, schedule_execution_id=schedule_execution_id)
        task = Task(activity, timestamp=now, schedule_step_index=0 if schedule_execution_id else None)
        self.activities[activity.id] = activity
        self.tasks[task.id] = task
        return activity, task

    def runs_of(self, profile: RunProfile) -> list[Activity]:
        return [activity for activity in list(self.activities.values()) if activity.profile is profile]

    def request_cancel(self, task: Task) -> None:
        """A queued task goes at once, and cleanly; one that runs is asked, and goes when its worker notices."""
        if task.status == "Processing":
            task.status = "CancellationRequested"
        elif task.status == "Queued":
            self._end(task, "Cancelled")

    def abandon(self) -> None:
        """What a start of JIM's worker does: it fails what ran when the last one died, and queues nothing again."""
        for task in [task for task in self.tasks.values() if task.status != "Queued"]:
            self._end(task, "FailedWithError", error=ABANDONED)

    def work(self, seconds: float) -> None:
        """Lets JIM's worker work for some seconds."""
        if not self.database_is_up:
            return
        self._relapsing = [(activity, left - seconds) for activity, left in self._relapsing]
        for activity, left in self._relapsing:
            if left <= 0:
                activity.status = "InProgress"
        self._relapsing = [item for item in self._relapsing if item[1] > 0]
        running = next((task for task in self.tasks.values() if task.status != "Queued"), None)
        if running is None:
            queued = sorted(
                self.tasks.values(),
                key=lambda task: (task.schedule_step_index is None, task.schedule_step_index or 0, task.timestamp),
            )
            if queued:
                queued[0].status = "Processing"
                queued[0].activity.executed = self.now()
        elif running.status == "CancellationRequested":
            running.cancel_noticed += seconds
            if running.cancel_noticed >= self.cancel_seconds:
                self._end(running, "Cancelled")
                self._relapsing.append((running.activity, self.cancelled_reads_in_progress_after))
        else:
            self._go_on(running, seconds)

    def _go_on(self, task: Task, seconds: float) -> None:
        activity, work = task.activity, task.activity.profile.work
        task.worked += seconds
        share = min(task.worked / work.seconds, 1.0) * len(work.phases)
        if work.held:
            share = min(share, len(work.phases) - 0.5)
        activity.phase = min(int(share), len(work.phases) - 1)
        name, objects = work.phases[activity.phase]
        activity.processed = int(objects * (share - activity.phase))
        activity.message = name
        if share >= len(work.phases):
            self._end(task, work.status, warning=work.warning_message, error=work.error_message)

    def _end(self, task: Task, status: str, *, warning: str | None = None, error: str | None = None) -> None:
        activity = task.activity
        activity.status = status
        activity.ended = self.now()
        activity.warning_message, activity.error_message = warning, error
        del self.tasks[task.id]


def stored(moment: datetime) -> str:
    """A time as JIM answers it from its database: an offset, never `Z`, and no zeros at the end."""
    fraction = f"{moment.microsecond:06}".rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}+00:00"


def made(moment: datetime) -> str:
    """A time that JIM made for this very answer: seven digits and `Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06}1Z"


def span(duration: timedelta) -> str:
    """A duration as JIM answers it."""
    seconds = duration.total_seconds()
    return f"{int(seconds // 3600):02}:{int(seconds // 60 % 60):02}:{seconds % 60:010.7f}"
