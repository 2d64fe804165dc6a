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
    connector_name: str = Field(default="", max_length=100, description="A PUT may repeat it, but not change it.")
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="The connector's own fields; when sent, they are complete.",
    )


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
    object_count: int = Field(description="As in JIM; 0, as Rota holds no objects of a system.")
    connectors_count: int = Field(description="As in JIM; 0, as Rota holds no objects of a system.")
    pending_export_objects_count: int = Field(description="As in JIM; 0, as Rota holds no objects of a system.")
    connector_name: str
    connector_id: int = Field(description="As in JIM; 0, as Rota's connectors have names alone.")
    settings: dict[str, Any]


class RunProfileChange(RequestModel):
    """The fields of a run profile that a client may set; what is left out of a PUT keeps its value."""

    name: Name = ""
    run_type: RunTypeIn = RunType.NOT_SET
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="The connector's own fields; when sent, they are complete.",
    )


class RunProfileCreate(RunProfileChange):
    """A new run profile."""

    name: Name


class RunProfileOut(ResponseModel):
    """A run profile of a connected system."""

    id: int
    name: str
    connected_system_id: int
    run_type: RunType
    page_size: int = Field(description="As in JIM; 0, as the connector decides how much it takes at a time.")
    partition_name: str | None = Field(description="As in JIM; null, as Rota knows no partitions.")
    targets_deselected_partition: bool = Field(description="As in JIM; false, as Rota knows no partitions.")
    file_path: str | None = Field(description="As in JIM; null, as files are named in the connector's settings.")
    verify_import_content_hashes: bool = Field(description="As in JIM; false, as Rota compares no imports.")
    settings: dict[str, Any]
