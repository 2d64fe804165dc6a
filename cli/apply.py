"""Applies files: creates and changes schedules and connected systems by name, and says what became of each."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import httpx
import typer

from cli.client import ApiClient, ApiFailure, ScheduleDetail
from cli.console import EXIT_DIFFERENT, EXIT_FAILED, failure_lines, printable
from cli.definitions import (
    DefinitionError,
    Directory,
    Document,
    is_connected_system,
    name_of,
    place_of,
    told_of,
    with_reason,
)
from cli.difference import (
    complete_steps,
    holds_mask,
    schedule_changes,
    secrets_in_body,
    secrets_in_steps,
    system_changes,
)

Result = Literal["created", "changed", "unchanged", "kept", "left out"]
Failure = ApiFailure | DefinitionError

# Who cannot be reached, or does not know the key, refuses the next document as well.
_FINAL_STATUSES: Final = frozenset({None, httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})

_STEP: Final = re.compile(r"steps\[(\d+)\][.:]")
_STEP_FIELD: Final = re.compile(r"steps\[(\d+)\]\..+")
_HOW_MASKS_ARE_KEPT: Final = (
    "Or let it keep the secret of a stored step, by that step's id or by a name that both have and no other step has."
)


@dataclass(frozen=True)
class Applied:
    """What became of something, or, in a dry run, would."""

    what: str
    """`schedule Daily sync`."""
    result: Result
    changes: Sequence[str] = ()
    """A line for each field that differs, and for whatever else there is to tell."""
    warnings: Sequence[str] = ()
    new_id: str | None = None
    """The id of a schedule that was created."""


def print_results(outcomes: Iterable[Applied | Failure], results: Sequence[Result], *, dry_run: bool) -> int:
    """Prints what became of each, then how many became what, and returns the exit code.

    Args:
        outcomes: What became of each, as it is done.
        results: Those that are counted whether there are some or not.
        dry_run: Whether nothing was changed.

    Returns:
        `EXIT_FAILED` where one failed; in a dry run `EXIT_DIFFERENT` where one would be changed; else 0.
    """
    done: Counter[str] = Counter()
    try:
        for outcome in outcomes:
            if isinstance(outcome, Applied):
                done[outcome.result] += 1
                _print_applied(outcome, dry_run=dry_run)
            else:
                done["failed"] += 1
                for line in failure_lines(outcome):
                    typer.echo(line, err=True)
    finally:
        counts = ", ".join(f"{done[result]} {result}" for result in (*results, "failed"))
        typer.echo(f"Nothing was changed by this dry run. It found: {counts}" if dry_run else counts)
    if done["failed"]:
        return EXIT_FAILED
    return EXIT_DIFFERENT if dry_run and (done["created"] or done["changed"]) else 0


def _print_applied(applied: Applied, *, dry_run: bool) -> None:
    would = "would be " if dry_run and applied.result in {"created", "changed"} else ""
    new_id = f", id {applied.new_id}" if applied.new_id else ""
    typer.echo(printable(f"{applied.what}: {would}{applied.result}{new_id}"))
    for line in applied.changes:
        typer.echo(printable(f"  {line}"))
    for line in applied.warnings:
        typer.echo(printable(line), err=True)


class Applier:
    """Brings connected systems and schedules to what documents say.

    What a document leaves out keeps its value; `steps` and `settings`, where it has some, are complete. Nothing is sent
    that would change nothing.
    """

    def __init__(self, client: ApiClient, *, dry_run: bool = False, reason: str | None = None) -> None:
        """Takes the API, whether to look only, and why schedules are changed."""
        self._client = client
        self._dry_run = dry_run
        self._reason = reason
        self._directory = Directory(client)
        self._systems: dict[str, dict[str, Any]] | None = None
        self._planned: set[tuple[Any, Any]] = set()
        """By name, the connected systems (with None) and run profiles that a dry run would create."""

    def apply(self, documents: Sequence[Document]) -> Iterator[Applied | Failure]:
        """Applies the connected systems, then the schedules; one that fails does not keep the next from being applied.

        Yields:
            What became of each; for one that failed, why.

        Raises:
            ApiFailure: The API cannot be reached, or refuses the key.
        """
        for document in sorted(documents, key=lambda document: not is_connected_system(document)):
            try:
                if is_connected_system(document):
                    yield from self.apply_connected_system(document)
                else:
                    yield self.apply_schedule(document)
            except DefinitionError as failure:
                yield failure
            except ApiFailure as failure:
                if failure.status in _FINAL_STATUSES:
                    raise
                yield failure

    def apply_connected_system(self, document: Document) -> Iterator[Applied]:
        """Creates or changes, by name, a connected system, then its `runProfiles`; those that it does not name stay.

        Raises:
            DefinitionError: It or a run profile has no name, or the system exists with another connector.
            ApiFailure: The API refused or cannot be asked; the message names the file.
        """
        name = name_of(document)
        fields = {key: value for key, value in document.items() if key != "runProfiles"}
        body = Document.at(document.place, fields)
        profiles = document.get("runProfiles") or []
        if not isinstance(profiles, list) or not all(isinstance(profile, Document) for profile in profiles):
            raise DefinitionError(f"{place_of(document)}`runProfiles` is no list of run profiles")
        with told_of(document, f"connected system {name!r}"):
            system = self._known_systems().get(name)
            if system is not None:
                _check_connector(document, system)
                change = partial(self._client.update_connected_system, system["id"])
                yield self._change(f"connected system {name}", body, system, change)
            else:
                if self._dry_run:
                    self._planned.add((name, None))
                else:
                    system = self._client.create_connected_system(body)
                yield Applied(f"connected system {name}", "created", (), warning_lines(system, body) if system else ())
        known = self._client.list_run_profiles(system["id"]) if system and profiles else []
        for profile in profiles:
            yield self._apply_run_profile(name, system, profile, known)

    def _known_systems(self) -> dict[str, dict[str, Any]]:
        if self._systems is None:
            self._systems = {system["name"]: system for system in self._client.list_connected_systems()}
        return self._systems

    def _apply_run_profile(
        self,
        system_name: str,
        system: Mapping[str, Any] | None,
        document: Document,
        stored: Sequence[dict[str, Any]],
    ) -> Applied:
        name = name_of(document)
        what = f"run profile {system_name} - {name}"
        known = next((profile for profile in stored if profile["name"] == name), None)
        with told_of(document, f"run profile {name!r} of {system_name!r}"):
            if known is not None and system is not None:
                change = partial(self._client.update_run_profile, system["id"], known["id"])
                return self._change(what, document, known, change)
            warnings: Sequence[str] = ()
            if self._dry_run:
                self._planned.add((system_name, name))
            elif system is not None:
                warnings = warning_lines(self._client.create_run_profile(system["id"], document), document)
            return Applied(what, "created", (), warnings)

    def _change(
        self,
        what: str,
        body: Mapping[str, Any],
        stored: Mapping[str, Any],
        change: Callable[..., dict[str, Any]],
    ) -> Applied:
        """Changes a connected system or run profile, unless nothing would change or this is a dry run."""
        after = change(body, dry_run=True)
        changes = system_changes(stored, after)
        secrets = secrets_in_body(body, stored)
        if (changes or secrets) and not self._dry_run:
            change(body)
        warnings = warning_lines(after, body)
        warnings += [f"note: {what}: {name} is sent each time, as nobody can compare a secret" for name in secrets]
        return Applied(what, "changed" if changes else "unchanged", changes, warnings)

    def apply_schedule(self, document: Document) -> Applied:
        """Creates or changes, by name, a schedule.

        Raises:
            DefinitionError: It has no name, several schedules have it, or a connected system or run profile is unknown.
            ApiFailure: The API refused or cannot be asked; the message names the file.
        """
        name = name_of(document)
        what = f"schedule {name}"
        with told_of(document, f"schedule {name!r}"):
            found = self._client.find_schedules(name)
            if len(found) > 1:
                raise DefinitionError(f"{place_of(document)}{len(found)} schedules are called {name!r}")
            if self._is_ahead(document):
                about = "it names a connected system or run profile that would be created, and is compared only then"
                return Applied(what, "changed" if found else "created", (about,))
            body = with_reason(self._directory.resolve(document), self._reason)
            if not found:
                created = self._client.create_schedule(body, dry_run=self._dry_run)
                warnings = warning_lines(created, document)
                return Applied(what, "created", (), warnings, None if self._dry_run else created["id"])
            return self._change_schedule(what, body, found[0]["id"])

    def _is_ahead(self, document: Document) -> bool:
        """Whether a step names a connected system or run profile that is not there yet: a dry run, only."""
        steps = document.get("steps")
        named = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
        pairs = [(step.get("connectedSystem"), step.get("runProfile")) for step in named]
        return any((system, None) in self._planned or (system, profile) in self._planned for system, profile in pairs)

    def _change_schedule(self, what: str, document: Document, schedule_id: str) -> Applied:
        stored, etag = self._client.get_schedule_version(schedule_id)
        body = complete_steps(document, stored)
        try:
            after, etag_after = self._client.try_update_schedule(schedule_id, body)
        except ApiFailure as failure:
            raise _with_remedy(failure, body, stored) from None
        warnings = warning_lines(after, document)
        if etag_after == etag:
            return Applied(what, "unchanged", (), warnings)
        if not self._dry_run:
            self._client.update_schedule(schedule_id, body, etag=etag)
        # Secrets are masked before and after: what is written out is all that can be told of them.
        secrets = [f"{secret}: may be another secret" for secret in secrets_in_steps(body, stored)]
        return Applied(what, "changed", [*schedule_changes(stored, after, self._directory), *secrets], warnings)


def _check_connector(document: Mapping[str, Any], system: Mapping[str, Any]) -> None:
    wanted, present = document["connectorName"], system["connectorName"]
    if str(wanted).strip().lower() != present.lower():
        raise DefinitionError(
            f"{place_of(document)}connected system {system['name']!r} has the connector {present!r}, not {wanted!r}: "
            "a connector cannot be changed, so delete the system first or give this one another name",
        )


def warning_lines(answer: Mapping[str, Any], document: Mapping[str, Any] | None = None) -> list[str]:
    """Returns a line for each warning of the API about a schedule, a connected system or a run profile.

    Args:
        answer: What the API answered.
        document: What was sent; the lines then say where in its file that stands.
    """
    return [
        f"warning: {_place_of_warning(warning, document or {})}{answer['name']}: {warning}"
        # An API of before may have none to give: it is replaced last.
        for warning in answer.get("warnings", ())
    ]


def _place_of_warning(warning: str, document: Mapping[str, Any]) -> str:
    step, steps = _STEP.match(warning), document.get("steps")
    # Without steps of its own it leaves those that are stored.
    if step and isinstance(steps, list) and int(step[1]) < len(steps):
        return place_of(steps[int(step[1])])
    return place_of(document)


def _with_remedy(failure: ApiFailure, body: Mapping[str, Any], stored: ScheduleDetail) -> ApiFailure:
    """Returns the failure; where it is of a masked secret that no stored step gives, with what to do about it."""
    known = {step["id"] for step in stored["steps"]}
    fields = {name: list(texts) for name, texts in failure.fields.items()}
    for name, texts in fields.items():
        place = _STEP_FIELD.fullmatch(name)
        step = body["steps"][int(place[1])] if place else {}
        if step.get("id") not in known and holds_mask(step):
            texts.append(_HOW_MASKS_ARE_KEPT)
    return ApiFailure(failure.message, status=failure.status, fields=fields)
