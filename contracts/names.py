"""Names that live in every history: changing one breaks the replay of what ran before."""

from typing import Final, Literal

DEFAULT_TASK_QUEUE: Final = "rota"
"""Task queue of the workflows and of every step without a worker pool."""

SCHEDULE_EXECUTION: Final = "ScheduleExecution"
"""Workflow type of one execution of a schedule."""

OPEN_EXECUTION: Final = "open-execution"
RECORD_PROGRESS: Final = "record-progress"
CLOSE_EXECUTION: Final = "close-execution"
"""Local activities through which a workflow keeps its record in the catalogue."""

PROCEED: Final = "proceed"
"""Signal that tells a fire which was held back that its turn has come."""

PAUSE: Final = "pause"
RESUME: Final = "resume"
"""Signals that hold an execution before its next step group, and let it go on."""

TURN: Final = "Turn"
"""Workflow type of a turn, which a step has at something that one step may do at a time; nothing runs it."""

NO_TASK_QUEUE: Final = "rota-nobody"
"""Task queue on which no worker listens."""

UPKEEP: Final = "Upkeep"
"""Workflow type of one pass of the upkeep."""

KEEP_TRIGGERS: Final = "keep-triggers"
KEEP_EXECUTIONS: Final = "keep-executions"
KEEP_RETENTION: Final = "keep-retention"
"""Activities of the upkeep."""

EXECUTION_FAILED: Final = "ExecutionFailed"
STEP_FAILED: Final = "StepFailed"
STEP_TIMED_OUT: Final = "StepTimedOut"
STEP_CANCELLED: Final = "StepCancelled"
STEP_INTERRUPTED: Final = "StepInterrupted"
"""Types of the failures that an operator sees in the Web UI."""

SEARCH_SCHEDULE_ID: Final = "RotaScheduleId"
SEARCH_SCHEDULE_NAME: Final = "RotaScheduleName"
SEARCH_EXECUTION_ID: Final = "RotaExecutionId"
SEARCH_TRIGGER: Final = "RotaTrigger"
SEARCH_OUTCOME: Final = "RotaOutcome"

SearchAttributeType = Literal["Keyword", "Text", "Int", "Double", "Bool", "Datetime", "KeywordList"]

SEARCH_ATTRIBUTES: Final[dict[str, SearchAttributeType]] = {
    SEARCH_SCHEDULE_ID: "Keyword",
    SEARCH_SCHEDULE_NAME: "Keyword",
    SEARCH_EXECUTION_ID: "Keyword",
    SEARCH_TRIGGER: "Keyword",
    SEARCH_OUTCOME: "Keyword",
}
"""Every custom search attribute and its type; registered with the server before the first use."""
