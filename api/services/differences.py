"""What differs between two states of a schedule."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic.alias_generators import to_camel

from api.models.change_history import (
    SNAPSHOT_FIELDS,
    ConfigurationDiffNode,
    DiffChange,
    DiffNodeKind,
)
from api.models.schedules import StepOut


@dataclass(frozen=True)
class State:
    """A schedule as clients set it, in JSON, secrets masked."""

    snapshot: Mapping[str, Any]
    """Fields by JSON name, and `steps`. A field without a value may be left out."""
    secrets: Mapping[str, str | None]
    """Fingerprint of each secret, by `secret_place`; None where the secret cannot be opened."""


def secret_place(step_id: str, field: str) -> str:
    """Returns where a secret stands: the step's id, and the field's JSON name."""
    return f"{step_id}/{field}"


_NOTHING: Final = State({}, {})


def difference(old: State | None, new: State | None) -> ConfigurationDiffNode:
    """Returns how one state differs from another; None stands for a schedule that is not there."""
    sides = old or _NOTHING, new or _NOTHING
    before, after = (side.snapshot for side in sides)
    fields = (_field(name, before.get(name), after.get(name)) for name in _names(_FIELDS, before, after))
    children = [node for node in (*fields, _steps(*sides)) if node is not None]
    change = _change(old, new) or (DiffChange.MODIFIED if children else DiffChange.UNCHANGED)
    return _node("Schedule", DiffNodeKind.SCHEDULE, change, children=children)


_FIELDS: Final = tuple(to_camel(name) for name in SNAPSHOT_FIELDS)
_STEP_FIELDS: Final = tuple(to_camel(name) for name in StepOut.model_fields if name != "id")


def _names(known: Sequence[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names of fields in the order of the models; then those of step types that are no longer installed."""
    yield from known
    yield from sorted({*old, *new} - {*known, "id", "steps"})


def _change(old: object | None, new: object | None) -> DiffChange | None:
    """Returns whether something came or went; None where it is on both sides, or on neither."""
    if (old is None) == (new is None):
        return None
    return DiffChange.ADDED if old is None else DiffChange.REMOVED


def _node(
    name: str,
    kind: DiffNodeKind,
    change: DiffChange,
    *,
    step_id: str | None = None,
    values: tuple[Any, Any] = (None, None),
    is_secret: bool = False,
    children: Sequence[ConfigurationDiffNode] = (),
) -> ConfigurationDiffNode:
    return ConfigurationDiffNode(
        name=name,
        kind=kind,
        id=UUID(step_id) if step_id else None,
        change=change,
        is_secret=is_secret,
        old_value=values[0],
        new_value=values[1],
        children=list(children),
    )


def _field(
    name: str,
    old: Any,
    new: Any,
    *,
    is_secret: bool = False,
    is_other_secret: bool = False,
) -> ConfigurationDiffNode | None:
    if old == new and not is_other_secret:
        return None
    change = _change(old, new) or DiffChange.MODIFIED
    return _node(name, DiffNodeKind.FIELD, change, values=(old, new), is_secret=is_secret)


def _steps(old: State, new: State) -> ConfigurationDiffNode | None:
    before, after = ({step["id"]: step for step in state.snapshot.get("steps", ())} for state in (old, new))
    children = [
        node
        for step_id in [*after, *(step_id for step_id in before if step_id not in after)]
        if (node := _step(step_id, before.get(step_id), after.get(step_id), old.secrets, new.secrets)) is not None
    ]
    # Steps that moved to another stepIndex say so themselves.
    stayed = {
        step_id
        for step_id, step in before.items()
        if step_id in after and step["stepIndex"] == after[step_id]["stepIndex"]
    }
    orders = [[step_id for step_id in steps if step_id in stayed] for steps in (before, after)]
    order = _field("order", *orders)
    if order is not None:
        children.append(order)
    if not children:
        return None
    change = _change(before or None, after or None) or DiffChange.MODIFIED
    return _node("steps", DiffNodeKind.STEPS, change, children=children)


def _step(
    step_id: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    old_secrets: Mapping[str, str | None],
    new_secrets: Mapping[str, str | None],
) -> ConfigurationDiffNode | None:
    before, after = old or {}, new or {}
    children = []
    for name in _names(_STEP_FIELDS, before, after):
        place = secret_place(step_id, name)
        node = _field(
            name,
            before.get(name),
            after.get(name),
            is_secret=place in old_secrets or place in new_secrets,
            is_other_secret=old_secrets.get(place) != new_secrets.get(place),
        )
        if node is not None:
            children.append(node)
    if not children:
        return None
    shown = new or before
    return _node(
        shown.get("name") or f"Step {shown['stepIndex']}",
        DiffNodeKind.STEP,
        _change(old, new) or DiffChange.MODIFIED,
        step_id=step_id,
        children=children,
    )


def changed_nodes(root: ConfigurationDiffNode) -> Iterator[ConfigurationDiffNode]:
    """Yields the fields and the whole steps that differ: of a step that came or went not its fields, too."""
    for node in root.children:
        is_whole = node.kind is DiffNodeKind.STEP and node.change is not DiffChange.MODIFIED
        if is_whole or node.kind is DiffNodeKind.FIELD:
            yield node
        else:
            yield from changed_nodes(node)


def summary(old: State | None, new: State | None) -> str:
    """Returns a change in a line: `Changed description, 2 steps; added 1 step`."""
    if old is None or new is None:
        steps = len((old or new or _NOTHING).snapshot.get("steps", ()))
        return f"{'Created' if old is None else 'Deleted'} with {_steps_text(steps)}"
    root = difference(old, new)
    nodes = next((node.children for node in root.children if node.kind is DiffNodeKind.STEPS), [])
    counts = Counter(node.change for node in nodes if node.kind is DiffNodeKind.STEP)
    changed = [node.name for node in root.children if node.kind is DiffNodeKind.FIELD]
    if counts[DiffChange.MODIFIED]:
        changed.append(_steps_text(counts[DiffChange.MODIFIED]))
    if any(node.kind is DiffNodeKind.FIELD for node in nodes):
        changed.append("the order of steps")
    parts = [f"changed {', '.join(changed)}"] if changed else []
    parts += [
        f"{word} {_steps_text(counts[change])}"
        for word, change in (("added", DiffChange.ADDED), ("removed", DiffChange.REMOVED))
        if counts[change]
    ]
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def _steps_text(count: int) -> str:
    return f"{count or 'no'} step{'' if count == 1 else 's'}"
