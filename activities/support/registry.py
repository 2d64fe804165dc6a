"""Which step types there are: every module of `activities/`, and what installed packages declare."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Final, TypeVar

import activities
from activities import connectors
from activities.connectors.connector import Connector
from activities.support.step_type import StepType
from runtime.errors import StartError

STEP_TYPE_ENTRY_POINTS: Final = "rota.step_types"
CONNECTOR_ENTRY_POINTS: Final = "rota.connectors"

Kind = TypeVar("Kind", StepType[Any], Connector[Any, Any])


class RegistrationError(StartError):
    """Two step types, or two connectors, contradict each other; the message names both."""


def _modules(package: ModuleType) -> Iterable[ModuleType]:
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg:
            yield importlib.import_module(f"{package.__name__}.{module.name}")


def _defined_in(module: ModuleType, base: type[Kind]) -> Iterable[type[Kind]]:
    for _, member in inspect.getmembers(module, inspect.isclass):
        if issubclass(member, base) and member.__module__ == module.__name__ and not inspect.isabstract(member):
            yield member


def _discover(package: ModuleType, base: type[Kind], group: str) -> dict[str, Kind]:
    found = [kind for module in _modules(package) for kind in _defined_in(module, base)]
    found += [entry.load() for entry in entry_points(group=group)]
    registered: dict[str, Kind] = {}
    for kind in found:
        known = registered.get(kind.name)
        if known is not None and type(known) is not kind:
            raise RegistrationError(f"{kind.__module__} and {type(known).__module__} are both called {kind.name!r}")
        registered[kind.name] = kind()
    return dict(sorted(registered.items()))


@cache
def step_types() -> Mapping[str, StepType[Any]]:
    """Returns every step type by its name.

    Raises:
        RegistrationError: Two have the same name, or give the same JSON field different types or limits.
    """
    found = _discover(activities, StepType, STEP_TYPE_ENTRY_POINTS)  # type: ignore[type-abstract]
    owners: dict[str, tuple[str, object]] = {}
    for step_type in found.values():
        for name, field in step_type.config_model.model_fields.items():
            shape = (_without_none(field.annotation), [repr(constraint) for constraint in field.metadata])
            owner, known = owners.setdefault(name, (step_type.name, shape))
            if known != shape:
                raise RegistrationError(f"{step_type.name} and {owner} declare the field {name!r} differently")
    return found


def _without_none(annotation: object) -> frozenset[object]:
    arguments = getattr(annotation, "__args__", None)
    return frozenset(arguments) - {type(None)} if arguments else frozenset({annotation})


@cache
def all_connectors() -> Mapping[str, Connector[Any, Any]]:
    """Returns every connector by its name.

    Raises:
        RegistrationError: Two have the same name.
    """
    return _discover(connectors, Connector, CONNECTOR_ENTRY_POINTS)  # type: ignore[type-abstract]
