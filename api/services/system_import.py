"""Connected systems that come from elsewhere with their ids: all of them, or none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.connectors.connector import Connector
from api.context import Context
from api.errors import Conflict, ValidationFailed, field_name
from api.models.connected_systems import (
    ConnectedSystemImport,
    ConnectedSystemImported,
    ImportResult,
    RunProfileImport,
    RunProfileImported,
    SystemsImport,
    SystemsImported,
)
from api.services.connected_systems import find_connector, read_settings
from catalogue.connected_systems import (
    ConnectedSystem,
    RunProfile,
    count_on_from_highest_ids,
    list_all,
    lock_all_ids,
)
from runtime.secrets import SecretBox, open_fields, secret_fields

Row = ConnectedSystem | RunProfile
Entry = ConnectedSystemImport | RunProfileImport
Place = Sequence[str | int]


async def import_systems(context: Context, body: SystemsImport, *, dry_run: bool) -> SystemsImported:
    """Creates connected systems and run profiles under the ids that they come with.

    What is there under its id already is left as it is, or, where `update` says so, brought to what was sent. Later ids
    count on from the highest.

    Raises:
        ValidationFailed: A connector or setting is wrong, or an id or name is there twice.
        Conflict: An id or name is taken by something else; the messages name each. Nothing is stored then.
    """
    _check_repetitions(body)
    async with context.catalogue.write() as session:
        await lock_all_ids(session)
        systems, profiles = await list_all(session)
        work = _Import(session, context.box, body, systems, profiles)
        imported = [work.take_system(number, entry) for number, entry in enumerate(body.connected_systems)]
        work.refuse_conflicts()
        try:
            await session.flush()
        except IntegrityError:
            # The names are free once all is stored, but not one by one.
            raise Conflict("Some exchange their names: change one of these names by hand first.") from None
        if dry_run:
            await session.rollback()
        else:
            await count_on_from_highest_ids(session)
    return SystemsImported(connected_systems=imported)


def _check_repetitions(body: SystemsImport) -> None:
    """Sees that no id is there twice, no name of a system, and no name of a run profile within one."""
    systems = body.connected_systems
    named: list[tuple[Place, Any]] = []
    for number, system in enumerate(systems):
        place: Place = ["connectedSystems", number]
        named += [([*place, "id"], ("id", system.id)), ([*place, "name"], ("name", system.name))]
        for index, profile in enumerate(system.run_profiles):
            below: Place = [*place, "runProfiles", index]
            named += [([*below, "id"], ("profile", profile.id)), ([*below, "name"], (number, profile.name))]
    counts = Counter(key for _, key in named)
    problems = {field_name(place): [f"{key[1]} is there twice."] for place, key in named if counts[key] > 1}
    if problems:
        raise ValidationFailed.of_fields(problems)


class _Import:
    """One import: what is there, what comes, and what is in the way."""

    def __init__(
        self,
        session: AsyncSession,
        box: SecretBox,
        body: SystemsImport,
        systems: Sequence[ConnectedSystem],
        profiles: Sequence[RunProfile],
    ) -> None:
        self._session = session
        self._box = box
        self._update = body.update
        self._systems = {system.id: system for system in systems}
        self._profiles = {profile.id: profile for profile in profiles}
        # What is brought to a name that comes gives up its own.
        ids = {system.id for system in body.connected_systems} if body.update else set()
        profile_ids = {p.id for system in body.connected_systems for p in system.run_profiles} if body.update else set()
        self._system_names = {system.name: system.id for system in systems if system.id not in ids}
        self._profile_names = {
            (profile.connected_system_id, profile.name): profile.id
            for profile in profiles
            if profile.id not in profile_ids
        }
        self._conflicts: dict[str, list[str]] = {}

    def refuse_conflicts(self) -> None:
        """Raises the error of all that is in the way, if there is any."""
        if self._conflicts:
            [first, *others] = [message for messages in self._conflicts.values() for message in messages]
            message = f"{len(others) + 1} ids or names are taken: nothing was imported." if others else first
            raise Conflict(message, fields=self._conflicts)

    def take_system(self, number: int, entry: ConnectedSystemImport) -> ConnectedSystemImported:
        """Stores a connected system and its run profiles, or notes what is in the way."""
        place: Place = ["connectedSystems", number]
        try:
            connector = find_connector(entry.connector_name)
        except ValidationFailed as failed:
            raise _at(place, failed) from None
        stored = self._systems.get(entry.id)
        settings = self._settings(connector.settings_model, entry, stored, place)
        if stored and not (
            stored.connector_name == connector.name
            and (stored.name == entry.name or _is_same_but_secrets(connector.settings_model, stored, settings))
        ):
            message = f"The id {entry.id} is taken by the connected system '{stored.name}' ({stored.connector_name})."
            self._conflicts[field_name([*place, "id"])] = [message]
        owner = self._system_names.get(entry.name, entry.id)
        if owner != entry.id:
            message = f"The name '{entry.name}' is taken by the connected system {owner}."
            self._conflicts[field_name([*place, "name"])] = [message]
        new = ConnectedSystem(
            id=entry.id,
            name=entry.name,
            description=entry.description,
            connector_name=connector.name,
            settings=settings,
        )
        return ConnectedSystemImported(
            id=entry.id,
            name=entry.name,
            result=self._store(connector.settings_model, stored, new, ("name", "description")),
            run_profiles=[
                self._take_profile([*place, "runProfiles", index], profile, entry.id, connector)
                for index, profile in enumerate(entry.run_profiles)
            ],
        )

    def _take_profile(
        self,
        place: Place,
        entry: RunProfileImport,
        system_id: int,
        connector: Connector[Any, Any],
    ) -> RunProfileImported:
        stored = self._profiles.get(entry.id)
        if stored and stored.connected_system_id != system_id:
            system = self._systems[stored.connected_system_id]
            message = f"The id {entry.id} is taken by the run profile '{stored.name}' of '{system.name}' ({system.id})."
            self._conflicts[field_name([*place, "id"])] = [message]
        owner = self._profile_names.get((system_id, entry.name), entry.id)
        if owner != entry.id:
            message = f"The name '{entry.name}' is taken by the run profile {owner} of the same system."
            self._conflicts[field_name([*place, "name"])] = [message]
        new = RunProfile(
            id=entry.id,
            connected_system_id=system_id,
            name=entry.name,
            run_type=str(entry.run_type),
            settings=self._settings(connector.run_profile_model, entry, stored, place),
        )
        result = self._store(connector.run_profile_model, stored, new, ("name", "run_type"))
        return RunProfileImported(id=entry.id, name=entry.name, result=result)

    def _settings(self, model: type[BaseModel], entry: Entry, stored: Row | None, place: Place) -> dict[str, Any]:
        if not entry.name.strip():
            raise ValidationFailed.of_fields({field_name([*place, "name"]): ["The field name may not be empty."]})
        try:
            return read_settings(model, entry.settings, stored.settings if stored else {}, self._box)
        except ValidationFailed as failed:
            raise _at(place, failed) from None

    def _store(self, model: type[BaseModel], stored: Row | None, new: Row, fields: Sequence[str]) -> ImportResult:
        if self._conflicts:
            return ImportResult.KEPT
        if stored is None:
            self._session.add(new)
            return ImportResult.CREATED
        before, after = (open_fields(model, row.settings, self._box) for row in (stored, new))
        if before == after and all(getattr(stored, name) == getattr(new, name) for name in fields):
            return ImportResult.UNCHANGED
        if not self._update:
            return ImportResult.KEPT
        for name in (*fields, "settings"):
            setattr(stored, name, getattr(new, name))
        self._session.add(stored)
        return ImportResult.UPDATED


def _is_same_but_secrets(model: type[BaseModel], stored: Row, settings: Mapping[str, Any]) -> bool:
    plain = model.model_fields.keys() - secret_fields(model).keys()
    return all(stored.settings.get(name) == settings.get(name) for name in plain)


def _at(place: Place, failed: ValidationFailed) -> ValidationFailed:
    """Returns the error with its fields in their place in the request."""
    before = field_name(place)
    return ValidationFailed.of_fields({f"{before}.{name}": texts for name, texts in (failed.fields or {}).items()})
