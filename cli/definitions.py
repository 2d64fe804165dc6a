"""Files of schedules and connected systems: YAML or JSON, one or several documents, as the REST API takes them."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from cli.client import ApiClient, ApiFailure

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_WIDTH: Final = 120
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")

# Written by name in a file where the API has an id.
_SYSTEM, _SYSTEM_ID = "connectedSystem", "connectedSystemId"
_PROFILE, _PROFILE_ID = "runProfile", "runProfileId"

_REASON: Final = "changeReason"


class DefinitionError(Exception):
    """A file cannot be used; the message names the file and, where it can, the line."""


class Document(dict[str, Any]):
    """A mapping of a file: a document, or a mapping inside one."""

    place: str = ""
    """`file:line` where it begins; the file alone in JSON."""

    @classmethod
    def at(cls, place: str, fields: Mapping[str, Any]) -> "Document":
        """Returns the fields as a mapping that stands there."""
        document = cls(fields)
        document.place = place
        return document


def place_of(value: Mapping[str, Any]) -> str:
    """Returns where a mapping stands, with a colon after it; nothing where that is not known."""
    return f"{_place(value)}: " if _place(value) else ""


def _place(value: Mapping[str, Any]) -> str:
    return value.place if isinstance(value, Document) else ""


def definition_files(path: Path) -> list[Path]:
    """Returns the file itself, or the YAML and JSON files of a folder by name (not those of folders in it).

    Raises:
        DefinitionError: There is none in the folder.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
    if not files:
        raise DefinitionError(f"{path}: no .yaml, .yml or .json file is in this folder")
    return files


def load_documents(path: Path) -> list[Document]:
    """Reads a file of one or more documents; a document that is a list stands for its items.

    Raises:
        DefinitionError: The file cannot be read or is malformed, or there is nothing in it.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{path}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise DefinitionError(f"{path}: {error.strerror}") from None
    read = _read_json if path.suffix.lower() == ".json" else _read_yaml
    try:
        found = [item for part in read(text, path) for item in (part if isinstance(part, list) else [part])]
        # What YAML can say and JSON cannot (an alias to itself, a set, not-a-number) is found here, not when it is sent.
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DefinitionError(f"{path}: holds what JSON cannot say: {error}") from None
    documents = [item for item in found if item is not None]
    if not documents:
        raise DefinitionError(f"{path}: nothing in it")
    for number, document in enumerate(documents, 1):
        if not isinstance(document, Document):
            kind = "a list" if isinstance(document, list) else f"the text or value {document!r}"
            raise DefinitionError(f"{path}: document {number} is {kind}, not fields such as `name: Daily sync`")
    return documents


def _read_json(text: str, path: Path) -> list[Any]:
    def mapping(pairs: Sequence[tuple[str, Any]]) -> Document:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise DefinitionError(f"{path}: {name!r} stands twice in one object")
        return Document.at(str(path), dict(pairs))

    try:
        return [json.loads(text, object_pairs_hook=mapping)]
    except json.JSONDecodeError as error:
        raise DefinitionError(f"{path}:{error.lineno}: {error.msg} (column {error.colno})") from None


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema: `18:00` and `2026-01-01` and `no` are text, a key stands once, mappings know their line.

    PyYAML itself reads YAML 1.1, where 18:00 is the number 1080.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own table, filled below
    path: Path


_FOREIGN_BREAKS: Final = re.compile("[\x85\u2028\u2029]")


class _Dumper(yaml.SafeDumper):
    """Writes plain what is the same text in YAML 1.1 and 1.2; all other text in quotes."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own table of YAML 1.1, filled below
        first: list(resolvers) for first, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        """Writes everything where it belongs, what occurs twice too."""
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Writes a text; with line breaks that are none in YAML 1.2, escaped: PyYAML would fold them."""
        style = '"' if _FOREIGN_BREAKS.search(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), _first)


def dump_documents(documents: Sequence[Mapping[str, Any]]) -> str:
    """Returns the documents as YAML that `load_documents` reads back as they are, and that any other reader does, too."""
    plain = [dict(document) for document in documents]
    return yaml.dump_all(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> Iterable[Document]:
    place = f"{loader.path}:{node.start_mark.line + 1}"
    document = Document.at(place, {})
    # Empty at first, filled later: an alias may name the mapping inside itself.
    yield document
    seen: set[str] = set()
    for key, _ in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        if key.tag not in {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"} or name is None:
            raise DefinitionError(
                f"{loader.path}:{key.start_mark.line + 1}: {name!r} is no field name: put it in quotes"
            )
        if name in seen:
            raise DefinitionError(f"{loader.path}:{key.start_mark.line + 1}: {name!r} stands twice")
        seen.add(name)
    loader.flatten_mapping(node)
    document.update(
        {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}
    )


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def _read_yaml(text: str, path: Path) -> list[Any]:
    try:
        loader = _Loader(text)
        loader.path = path
        found = []
        while loader.check_node():
            found.append(loader.construct_document(loader.get_node()))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        context = f" {error.context}" if error.context else ""
        raise DefinitionError(f"{path}{line}: {error.problem}{context}") from None
    except yaml.YAMLError as error:
        raise DefinitionError(f"{path}: {' '.join(str(error).split())}") from None
    return found


def fill_placeholders(documents: Sequence[Document], values: Mapping[str, str]) -> list[Document]:
    """Returns the documents with `{name}` in every text replaced by its value; names without a value stay."""

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), value)
        if isinstance(value, Document):
            return Document.at(value.place, {name: fill(part) for name, part in value.items()})
        if isinstance(value, dict):
            return {name: fill(part) for name, part in value.items()}
        return [fill(part) for part in value] if isinstance(value, list) else value

    return [fill(document) for document in documents]


def is_connected_system(document: Mapping[str, Any]) -> bool:
    """Whether a document describes a connected system; all others are schedules."""
    return "connectorName" in document


def name_of(document: Mapping[str, Any]) -> str:
    """Returns a document's name.

    Raises:
        DefinitionError: It has none.
    """
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        raise DefinitionError(f"{place_of(document)}`name` is missing: it says which one this is")
    return name


def with_reason(document: Document, reason: str | None) -> Document:
    """Returns the document of a schedule with the reason of its change; without one, with its own if it has one."""
    if reason is None:
        return document
    fields = {name: value for name, value in document.items() if name.lower() != _REASON.lower()}
    return Document.at(document.place, fields | {_REASON: reason})


class Directory:
    """Connected systems and run profiles by name and by id, each list asked for once, where it is needed."""

    def __init__(self, client: ApiClient) -> None:
        """Asks this API."""
        self._client = client
        self._systems: list[dict[str, Any]] | None = None
        self._profiles: dict[int, list[dict[str, Any]]] = {}

    def resolve(self, schedule: Mapping[str, Any]) -> Document:
        """Returns a schedule with `connectedSystem` and `runProfile` of every step replaced by the ids of those names.

        Ids that a step gives stay.

        Raises:
            DefinitionError: There is no such connected system or run profile, or a step gives name and id.
            ApiFailure: The API refused or cannot be asked.
        """
        steps = schedule.get("steps")
        resolved = {"steps": [self._resolve_step(step) for step in steps]} if isinstance(steps, list) else {}
        return Document.at(_place(schedule), {**schedule, **resolved})

    def _resolve_step(self, step: Any) -> Any:
        if not isinstance(step, dict) or (_SYSTEM not in step and _PROFILE not in step):
            return step
        place = place_of(step)
        for name, number in ((_SYSTEM, _SYSTEM_ID), (_PROFILE, _PROFILE_ID)):
            if name in step and number in step:
                raise DefinitionError(f"{place}give `{name}` or `{number}`, not both")
        resolved = Document.at(_place(step), step)
        if _SYSTEM in step:
            resolved[_SYSTEM_ID] = _pick(resolved.pop(_SYSTEM), self._list_systems(), f"{place}connected system")
        if _PROFILE in step:
            system_id = resolved.get(_SYSTEM_ID)
            if not isinstance(system_id, int):
                raise DefinitionError(
                    f"{place}`{_PROFILE}` needs `{_SYSTEM}`: run profiles belong to a connected system"
                )
            profiles = self._list_profiles(system_id)
            resolved[_PROFILE_ID] = _pick(resolved.pop(_PROFILE), profiles, f"{place}run profile")
        return resolved

    def with_names(self, step: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a step with the names of its connected system and run profile for their ids, where both exist."""
        system_id, profile_id = step.get(_SYSTEM_ID), step.get(_PROFILE_ID)
        if system_id is None or profile_id is None:
            return dict(step)
        system = self.system_name(system_id)
        profile = self.profile_name(system_id, profile_id)
        if system is None or profile is None:
            return dict(step)
        named = {_SYSTEM_ID: (_SYSTEM, system), _PROFILE_ID: (_PROFILE, profile)}
        return dict(named.get(field, (field, value)) for field, value in step.items())

    def system_name(self, system_id: int) -> str | None:
        """Returns the name of a connected system, None where there is none with that id."""
        return next((system["name"] for system in self._list_systems() if system["id"] == system_id), None)

    def profile_name(self, system_id: int, profile_id: int) -> str | None:
        """Returns the name of a run profile, None where there is none with those ids."""
        if self.system_name(system_id) is None:
            return None
        found = (profile["name"] for profile in self._list_profiles(system_id) if profile["id"] == profile_id)
        return next(found, None)

    def _list_systems(self) -> list[dict[str, Any]]:
        if self._systems is None:
            self._systems = self._client.list_connected_systems()
        return self._systems

    def _list_profiles(self, system_id: int) -> list[dict[str, Any]]:
        if system_id not in self._profiles:
            self._profiles[system_id] = self._client.list_run_profiles(system_id)
        return self._profiles[system_id]


def _pick(name: object, entries: Sequence[Mapping[str, Any]], what: str) -> int:
    found = [int(entry["id"]) for entry in entries if entry["name"] == name]
    if not found:
        known = ", ".join(repr(entry["name"]) for entry in entries) or "none"
        raise DefinitionError(f"{what} {name!r} does not exist; there is: {known}")
    if len(found) > 1:
        raise DefinitionError(f"{what} {name!r} exists {len(found)} times: give its id")
    return found[0]


@contextmanager
def told_of(document: Mapping[str, Any], what: str) -> Iterator[None]:
    """Lets a failure of the API say of which part of which file it is."""
    try:
        yield
    except ApiFailure as failure:
        message = f"{place_of(document)}{what}: {failure.message}"
        raise ApiFailure(message, status=failure.status, fields=failure.fields) from None
