"""Connected systems and run profiles in requests and responses."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from activities.connectors.connector import ConnectorSettings
from activities.support.registry import all_connectors
from api.models.base import DIGITS, RequestModel, ResponseModel, example_of, member
from api.models.schedules import Name
from catalogue.connected_systems import MAX_IMPORTED_ID
from runtime.secrets import secret_fields


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


Id = Annotated[int, Field(ge=1, le=MAX_IMPORTED_ID), DIGITS]

_NULL: Final = {"type": "null"}
_NO_LIMITS: Final = frozenset({"title", "description", "default", "examples"})


def _settings_schema(models: Mapping[str, type[ConnectorSettings]]) -> dict[str, Any]:
    """Returns the JSON schema of settings: the fields of every connector's model, each saying whose it is."""
    properties: dict[str, dict[str, Any]] = {}
    for connector, model in models.items():
        secrets = {model.model_fields[name].alias or name for name in secret_fields(model)}
        for name, part in model.model_json_schema()["properties"].items():
            shown = properties.setdefault(name, {"description": "", "anyOf": []})
            shown["description"] = f"{shown['description']} {connector}: {part.get('description', '')}".strip()
            if "examples" in part:
                shown.setdefault("examples", part["examples"])
            limits = {key: value for key, value in part.items() if key not in _NO_LIMITS}
            # What is shown of a secret keeps to no limit of its own.
            kinds = [{"type": "string", "format": "password"}] if name in secrets else limits.get("anyOf", [limits])
            shown["anyOf"] += [kind for kind in kinds if kind not in [*shown["anyOf"], _NULL]]
    return {"properties": {name: {**part, "anyOf": [*part["anyOf"], _NULL]} for name, part in properties.items()}}


def _examples(models: Mapping[str, type[ConnectorSettings]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for connector, model in models.items():
        example = example_of(model)
        if example is not None:
            yield connector, example


_SYSTEM_MODELS: Final = {name: connector.settings_model for name, connector in all_connectors().items()}
_PROFILE_MODELS: Final = {name: connector.run_profile_model for name, connector in all_connectors().items()}
_SYSTEM_SETTINGS: Final = _settings_schema(_SYSTEM_MODELS)
_PROFILE_SETTINGS: Final = _settings_schema(_PROFILE_MODELS)


class ConnectedSystemChange(RequestModel):
    """The fields of a connected system that a client may set; what is left out of a PUT keeps its value."""

    openapi_examples: ClassVar[Sequence[Mapping[str, object]]] = ({"description": "Read every night"},)

    name: Name = Field(default="", examples=["HR"])
    """Name, which no other connected system has."""
    description: str | None = Field(default=None, max_length=1000)
    """What it is."""
    connector_name: str = Field(default="", max_length=100, json_schema_extra={"enum": list(all_connectors())})
    """Name of the connector that runs its run profiles. A PUT may repeat it, but not change it."""
    settings: dict[str, Any] = Field(default_factory=dict, json_schema_extra=_SYSTEM_SETTINGS)
    """The connector's own fields; when sent, they are complete. A masked secret that is sent back keeps the stored one."""


class ConnectedSystemCreate(ConnectedSystemChange):
    """A new connected system."""

    openapi_examples: ClassVar[Sequence[Mapping[str, object]]] = [
        {"name": f"HR by {name}", "description": "Staff", "connectorName": name, "settings": settings}
        for name, settings in _examples(_SYSTEM_MODELS)
    ]

    name: Name = Field(examples=["HR"])
    """Name, which no other connected system has."""
    connector_name: str = Field(max_length=100, json_schema_extra={"enum": list(all_connectors())})
    """Name of the connector that runs its run profiles; it stays as it is."""


class ConnectedSystemOut(ResponseModel):
    """A connected system. Secrets in its settings are masked."""

    written_as = ConnectedSystemCreate

    id: int = Field(examples=[1])
    """Id of the connected system: a number from 1."""
    name: str
    description: str | None
    created: datetime = Field(examples=["2027-01-15T09:30:00Z"])
    """When it was created."""
    status: str = Field(examples=["Active"])
    """As in JIM; always `Active`."""
    object_count: int = Field(examples=[0])
    """As in JIM; 0, as Rota holds no objects of a system."""
    connectors_count: int = Field(examples=[0])
    """As in JIM; 0, as Rota holds no objects of a system."""
    pending_export_objects_count: int = Field(examples=[0])
    """As in JIM; 0, as Rota holds no objects of a system."""
    connector_name: str
    connector_id: int = Field(examples=[0])
    """As in JIM; 0, as Rota's connectors have names alone."""
    settings: dict[str, Any] = Field(json_schema_extra=_SYSTEM_SETTINGS)
    warnings: list[str] = Field(examples=[[]])
    """What was accepted and may not be meant: fields that nothing knows. Empty where it is read."""


class RunProfileChange(RequestModel):
    """The fields of a run profile that a client may set; what is left out of a PUT keeps its value."""

    openapi_examples: ClassVar[Sequence[Mapping[str, object]]] = ({"runType": "DeltaImport"},)

    name: Name = Field(default="", examples=["Full import"])
    """Name, which no other run profile of the connected system has."""
    run_type: RunTypeIn = RunType.NOT_SET
    """What kind of run it is, in JIM's words. Rota does not act on it."""
    settings: dict[str, Any] = Field(default_factory=dict, json_schema_extra=_PROFILE_SETTINGS)
    """The connector's own fields; when sent, they are complete. A masked secret that is sent back keeps the stored one."""


class RunProfileCreate(RunProfileChange):
    """A new run profile."""

    openapi_examples: ClassVar[Sequence[Mapping[str, object]]] = [
        {"name": f"Full import by {name}", "runType": "FullImport", "settings": settings}
        for name, settings in _examples(_PROFILE_MODELS)
    ]

    name: Name = Field(examples=["Full import"])
    """Name, which no other run profile of the connected system has."""


class RunProfileImport(RunProfileCreate):
    """A run profile that keeps the id that it has elsewhere."""

    id: Id = Field(examples=[11])
    """Id of the run profile: no other one has it."""


class RunProfileOut(ResponseModel):
    """A run profile of a connected system."""

    written_as = RunProfileCreate

    id: int = Field(examples=[1])
    """Id of the run profile: a number from 1, counted over all connected systems."""
    name: str
    connected_system_id: int = Field(examples=[1])
    """The connected system that it belongs to."""
    run_type: RunType
    page_size: int = Field(examples=[0])
    """As in JIM; 0, as the connector decides how much it takes at a time."""
    partition_name: str | None
    """As in JIM; null, as Rota knows no partitions."""
    targets_deselected_partition: bool
    """As in JIM; false, as Rota knows no partitions."""
    file_path: str | None
    """As in JIM; null, as files are named in the connector's settings."""
    verify_import_content_hashes: bool
    """As in JIM; false, as Rota compares no imports."""
    settings: dict[str, Any] = Field(json_schema_extra=_PROFILE_SETTINGS)
    warnings: list[str] = Field(examples=[[]])
    """What was accepted and may not be meant: fields that nothing knows. Empty where it is read."""


class ConnectedSystemImport(ConnectedSystemCreate):
    """A connected system that keeps the id that it has elsewhere, with its run profiles."""

    id: Id = Field(examples=[3])
    """Id of the connected system: no other one has it."""
    run_profiles: list[RunProfileImport] = Field(default_factory=list, max_length=10_000)
    """Its run profiles. Those that are there already and are not named here stay."""


class SystemsImport(RequestModel):
    """Connected systems that come from elsewhere."""

    openapi_examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {
            "connectedSystems": [
                dict(ConnectedSystemCreate.openapi_examples[0])
                | {"id": 3, "runProfiles": [dict(RunProfileCreate.openapi_examples[0]) | {"id": 11}]},
            ],
            "update": True,
        },
    )

    connected_systems: list[ConnectedSystemImport] = Field(max_length=10_000)
    """The connected systems."""
    update: bool = False
    """Whether those that are there already are brought to what is sent."""


class ImportResult(StrEnum):
    """What became of something that came from elsewhere."""

    CREATED = "Created"
    UPDATED = "Updated"
    UNCHANGED = "Unchanged"
    KEPT = "Kept"
    """It is there, differs from what was sent, and was left as it is."""


class RunProfileImported(ResponseModel):
    """What became of a run profile."""

    id: int = Field(examples=[11])
    """Id of the run profile."""
    name: str = Field(examples=["Full import"])
    """Its name."""
    result: ImportResult
    """What became of it."""


class ConnectedSystemImported(ResponseModel):
    """What became of a connected system and the run profiles that came with it."""

    id: int = Field(examples=[3])
    """Id of the connected system."""
    name: str = Field(examples=["HR"])
    """Its name."""
    result: ImportResult
    """What became of it."""
    run_profiles: list[RunProfileImported]
    """What became of its run profiles, in the order in which they were sent."""


class SystemsImported(ResponseModel):
    """What became of each, in the order in which they were sent."""

    connected_systems: list[ConnectedSystemImported]
    """What became of the connected systems."""
