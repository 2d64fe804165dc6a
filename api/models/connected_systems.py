"""Connected systems and run profiles in requests and responses."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import Field

from api.models.base import RequestModel, ResponseModel, member
from api.models.schedules import Name


class RunType(StrEnum):
    """Kinds of run, in JIM's words."""

    NOT_SET = "NotSet"
    FULL_IMPORT = "FullImport"
    DELTA_IMPORT = "DeltaImport"
    FULL_SYNCHRONISATION = "FullSynchronisation"
    DELTA_SYNCHRONISATION = "DeltaSynchronisation"
    EXPORT = "Export"


if TYPE_CHECKING:
    RunTypeIn = RunType
else:
    RunTypeIn = member(RunType)


class ConnectedSystemChange(RequestModel):
    """The fields of a connected system that a client may set; what is left out of a PUT keeps its value."""

    name: Name = ""
    description: str | None = Field(default=None, max_length=1000)
    settings: dict[str, Any] = Field(default_factory=dict)
    """The connector's own fields."""


class ConnectedSystemCreate(ConnectedSystemChange):
    """A new connected system."""

    name: Name
    connector_name: str = Field(max_length=100)


class ConnectedSystemOut(ResponseModel):
    """A connected system. Secrets in its settings are masked."""

    id: int
    name: str
    description: str | None
    created: datetime
    status: str
    connector_name: str
    settings: dict[str, Any]


class RunProfileChange(RequestModel):
    """The fields of a run profile that a client may set; what is left out of a PUT keeps its value."""

    name: Name = ""
    run_type: RunTypeIn = RunType.NOT_SET
    settings: dict[str, Any] = Field(default_factory=dict)


class RunProfileCreate(RunProfileChange):
    """A new run profile."""

    name: Name


class RunProfileOut(ResponseModel):
    """A run profile of a connected system."""

    id: int
    name: str
    connected_system_id: int
    run_type: RunType
    settings: dict[str, Any]
