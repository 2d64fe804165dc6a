"""Connected systems and run profiles in requests and responses."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from api.models.base import DIGITS, RequestModel, ResponseModel, member
from api.models.schedules import Name
from catalogue.connected_systems import MAX_ID


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


Id = Annotated[int, Field(ge=1, le=MAX_ID), DIGITS]


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


class RunProfileImport(RunProfileCreate):
    """A run profile that keeps the id that it has elsewhere."""

    id: Id


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


class ConnectedSystemImport(ConnectedSystemCreate):
    """A connected system that keeps the id that it has elsewhere, with its run profiles."""

    id: Id
    run_profiles: list[RunProfileImport] = Field(default_factory=list, max_length=10_000)


class SystemsImport(RequestModel):
    """Connected systems that come from elsewhere."""

    connected_systems: list[ConnectedSystemImport] = Field(max_length=10_000)
    update: bool = Field(default=False, description="Whether those that are there already are brought to what is sent.")


class ImportResult(StrEnum):
    """What became of something that came from elsewhere."""

    CREATED = "Created"
    UPDATED = "Updated"
    UNCHANGED = "Unchanged"
    KEPT = "Kept"
    """It is there, differs from what was sent, and was left as it is."""


class RunProfileImported(ResponseModel):
    """What became of a run profile."""

    id: int
    name: str
    result: ImportResult


class ConnectedSystemImported(ResponseModel):
    """What became of a connected system and the run profiles that came with it."""

    id: int
    name: str
    result: ImportResult
    run_profiles: list[RunProfileImported]


class SystemsImported(ResponseModel):
    """What became of each, in the order in which they were sent."""

    connected_systems: list[ConnectedSystemImported]
