"""Files of schedules and connected systems: read, filled in, resolved, and refused with file and line."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.apply import warning_lines
from cli.client import ApiClient, ApiKey
from cli.definitions import (
    DefinitionError,
    Directory,
    Document,
    definition_files,
    dump_documents,
    fill_placeholders,
    is_connected_system,
    load_documents,
    place_of,
)

EXAMPLE = Path(__file__).parents[3] / "examples" / "identity"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write_file


Write = Callable[[str, str], Path]


def test_documents_keep_what_they_say_and_where_they_stand(write: Write) -> None:
    path = write("a.yaml", "name: One\nsteps:\n  - stepIndex: 0\n    isX: true\n---\n- name: Two\n- name: Three\n---\n")
    documents = load_documents(path)
    assert documents == [{"name": "One", "steps": [{"stepIndex": 0, "isX": True}]}, {"name": "Two"}, {"name": "Three"}]
    assert [place_of(document) for document in documents] == [f"{path}:1: ", f"{path}:6: ", f"{path}:7: "]
    assert place_of(documents[0]["steps"][0]) == f"{path}:3: "


def test_times_dates_and_words_stay_text(write: Write) -> None:
    text = "a: 18:00\nb: 2026-01-01\nc: no\nd: 012\ne: 0x1F\nf: 1.5\ng: ~\nh: 1_000\ni: true\nj: 1e3\nk:\nl: '7'\n"
    [document] = load_documents(write("a.yaml", text))
    assert document == {
        "a": "18:00",
        "b": "2026-01-01",
        "c": "no",
        "d": 12,
        "e": 31,
        "f": 1.5,
        "g": None,
        "h": "1_000",
        "i": True,
        "j": 1000.0,
        "k": None,
        "l": "7",
    }


def test_anchors_and_merges_work(write: Write) -> None:
    text = "name: A\nbase: &base {stepType: Executable, timeoutSeconds: 5}\nstep:\n  <<: *base\n  timeoutSeconds: 9\n"
    [document] = load_documents(write("a.yaml", text))
    assert document["step"] == {"stepType": "Executable", "timeoutSeconds": 9}


def test_json_is_read_as_json(write: Write) -> None:
    path = write("a.json", '\ufeff[{"name": "\\ud83d\\ude00",\t"steps": [{}]}]')
    assert load_documents(path) == [{"name": "\U0001f600", "steps": [{}]}]


def test_a_folder_is_its_files_by_name(write: Write, tmp_path: Path) -> None:
    write("b.yml", "name: B")
    write("a.json", '{"name": "A"}')
    write("c.YAML", "name: C")
    write("notes.txt", "not: read")
    (tmp_path / "d.yaml").mkdir()
    assert [file.name for file in definition_files(tmp_path)] == ["a.json", "b.yml", "c.YAML"]
    assert definition_files(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


# What YAML 1.1 or 1.2 would not read as text, were it not in quotes.
SPECIAL = [
    "06:00",
    "no",
    "0o17",
    "1e3",
    "08",
    "1_000",
    "~",
    "",
    "<<",
    "=",
    "2026-01-01",
    "0x1F",
    "- a",
    "a: b",
    " x ",
    "a\x85b\u2028c\u2029",
]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.sampled_from(SPECIAL), max_size=5))
def test_what_is_written_is_read_back_as_it_was(texts: list[str]) -> None:
    document = {"name": "S", "steps": [{"name": text, "n": 8, "none": None, "yes": True} for text in texts]}
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.yaml")
        path.write_text(dump_documents([document, document]), "utf-8")
        assert load_documents(path) == [document, document]
    assert list(yaml.safe_load_all(dump_documents([document]))) == [document]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "name: One\nsteps: [\n", r"a\.yaml:3: "),
        ("a.yaml", "name: One\n  trigger: x\n", r"a\.yaml:2: mapping values are not allowed here"),
        ("a.yaml", "name: One\nsteps:\n  - a: 1\n    a: 2\n", r"a\.yaml:4: 'a' stands twice"),
        ("a.yaml", "name: One\n1: x\n", r"a\.yaml:2: '1' is no field name"),
        ("a.yaml", "name: One\n[a]: x\n", r"a\.yaml:2: None is no field name"),
        ("a.yaml", "name: *gone\n", r"a\.yaml:1: found undefined alias 'gone'"),
        ("a.yaml", "a: &a [*a]\n", r"a\.yaml:1: found unconstructable recursive node"),
        ("a.yaml", "&a\nb: *a\n", r"a\.yaml: holds what JSON cannot say"),
        ("a.yaml", "a: !!set {b}\n", r"a\.yaml: holds what JSON cannot say"),
        ("a.yaml", "a: !!python/name:os.system\n", r"a\.yaml:1: could not determine a constructor"),
        ("a.yaml", "a: \x00\n", r"a\.yaml: unacceptable character"),
        ("a.yaml", "just text\n", r"a\.yaml: document 1 is the text or value 'just text'"),
        ("a.yaml", "- [a]\n", r"a\.yaml: document 1 is a list"),
        ("a.yaml", "# nothing\n", r"a\.yaml: nothing in it"),
        ("a.yaml", "a: " + "[" * 1000, r"a\.yaml: holds what JSON cannot say"),
        ("a.json", '{"name": "One",\n "steps": }', r"a\.json:2: Expecting value \(column 11\)"),
        ("a.json", '{"a": 1, "a": 2}', r"a\.json: 'a' stands twice"),
        ("a.json", '{"a": NaN}', r"a\.json: holds what JSON cannot say"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place(write: Write, name: str, text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as error:
        load_documents(write(name, text))
    assert "\n" not in str(error.value)


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: Größe".encode("latin-1"))
    with pytest.raises(DefinitionError, match=r"latin\.yaml: not UTF-8 at byte 8"):
        load_documents(tmp_path / "latin.yaml")
    with pytest.raises(DefinitionError, match=r"gone\.yaml: No such file"):
        load_documents(tmp_path / "gone.yaml")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DefinitionError, match=r"empty: no \.yaml, \.yml or \.json file"):
        definition_files(tmp_path / "empty")


def test_placeholders_are_filled_once_and_only_by_name(write: Write) -> None:
    path = write("a.yaml", "name: '{x}'\nsteps:\n  - arguments: '\"{out}\" {other} {} ${env:NAME} {x}{x}'\n    n: 1\n")
    documents = load_documents(path)
    filled = fill_placeholders(documents, {"x": "{out}", "out": "/o"})
    assert filled == [{"name": "{out}", "steps": [{"arguments": '"/o" {other} {} ${env:NAME} {out}{out}', "n": 1}]}]
    assert place_of(filled[0]["steps"][0]) == place_of(documents[0]["steps"][0]) != ""
    assert documents[0]["name"] == "{x}"


class Api:
    """Answers what the definitions ask."""

    def __init__(self, systems: dict[str, list[str]]) -> None:
        self.systems = [
            {"id": place, "name": name, "connectorName": "Command"} for place, name in enumerate(systems, 1)
        ]
        self.profiles = {
            place: [{"id": 10 * place + n, "name": profile} for n, profile in enumerate(profiles)]
            for place, profiles in enumerate(systems.values(), 1)
        }
        self.asked: list[str] = []
        self.client = ApiClient("http://api", ApiKey(None, "x"), httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1/").removeprefix("synchronisation/connected-systems")
        self.asked.append(path)
        if path.endswith("/run-profiles"):
            return httpx.Response(200, json=self.profiles[int(path.split("/")[1])])
        return httpx.Response(200, json={"items": self.systems, "hasNextPage": False})


def resolve_names(client: ApiClient, schedules: list[dict[str, Any]]) -> list[Document]:
    directory = Directory(client)
    return [directory.resolve(schedule) for schedule in schedules]


def run_profile_step(**fields: Any) -> dict[str, Any]:
    return {"name": "S", "steps": [{"stepType": "RunProfile", **fields}]}


def test_names_become_ids_and_ids_stay() -> None:
    api = Api({"HR": ["Full import", "Delta import"], "Badges": ["Full import"]})
    steps: list[dict[str, Any]] = [
        {"connectedSystem": "Badges", "runProfile": "Full import", "timeoutSeconds": 5},
        {"connectedSystemId": 1, "runProfile": "Delta import"},
        {"connectedSystem": "HR", "runProfileId": 99},
        {"connectedSystemId": 3, "runProfileId": 4},
        {"scriptPath": "x.ps1"},
    ]
    [resolved] = resolve_names(api.client, [{"name": "S", "steps": steps}])
    assert resolved["steps"] == [
        {"connectedSystemId": 2, "runProfileId": 20, "timeoutSeconds": 5},
        {"connectedSystemId": 1, "runProfileId": 11},
        {"connectedSystemId": 1, "runProfileId": 99},
        {"connectedSystemId": 3, "runProfileId": 4},
        {"scriptPath": "x.ps1"},
    ]
    assert sorted(api.asked) == ["", "/1/run-profiles", "/2/run-profiles"]
    assert "connectedSystem" in steps[0]


def test_without_names_nothing_is_asked() -> None:
    api = Api({})
    schedules: list[dict[str, Any]] = [
        {"name": "S", "steps": [{"connectedSystemId": 1}, None, "x"]},
        {"name": "T"},
        {"steps": "none"},
    ]
    assert resolve_names(api.client, schedules) == schedules
    assert api.asked == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            "connectedSystem: hr, runProfile: Full import",
            "connected system 'hr' does not exist; there is: 'HR', 'Two', 'Two'",
        ),
        ("connectedSystem: Two", "connected system 'Two' exists 2 times"),
        ("connectedSystem: HR, runProfile: Export", "run profile 'Export' does not exist; there is: 'Full import'"),
        ("connectedSystem: HR, connectedSystemId: 1", "give `connectedSystem` or `connectedSystemId`, not both"),
        ("runProfile: Full import", "`runProfile` needs `connectedSystem`"),
    ],
)
def test_unknown_names_are_told_with_file_and_line(write: Write, fields: str, message: str) -> None:
    api = Api({"HR": ["Full import"], "Two": [], "Three": []})
    api.systems[2]["name"] = "Two"
    path = write("a.yaml", f"name: S\nsteps:\n  - {{name: other}}\n  - {{{fields}}}\n")
    with pytest.raises(DefinitionError) as error:
        Directory(api.client).resolve(load_documents(path)[0])
    assert str(error.value).startswith(f"{path}:4: {message}")


def test_warnings_of_the_api_say_where_in_the_file(write: Write) -> None:
    path = write("a.yaml", "name: S\ntrigerType: Cron\nsteps:\n  - {a: 1}\n  - {b: 2}\n")
    [document] = load_documents(path)
    answer: Any = {
        "name": "S",
        "warnings": ["trigerType: unknown field, ignored.", "steps[1].b: unknown field, ignored."],
    }
    assert warning_lines(answer, document) == [
        f"warning: {path}:1: S: trigerType: unknown field, ignored.",
        f"warning: {path}:5: S: steps[1].b: unknown field, ignored.",
    ]
    assert warning_lines(answer, {"name": "S"}) == [f"warning: S: {warning}" for warning in answer["warnings"]]
    assert warning_lines(answer) == warning_lines(answer, {"name": "S"})


def test_the_identity_example_is_complete() -> None:
    systems = load_documents(EXAMPLE / "connected-systems.yaml")
    schedules = load_documents(EXAMPLE / "schedule.yaml")
    assert all(is_connected_system(document) for document in systems)
    assert not any(is_connected_system(document) for document in schedules)
    api = Api({system["name"]: [profile["name"] for profile in system["runProfiles"]] for system in systems})
    filled = fill_placeholders(systems + schedules, {"data": "/d", "database": "/d/i.db", "out": "/o"})
    assert not any(name in json.dumps(filled) for name in ("{data}", "{database}", "{out}"))
    schedule = Directory(api.client).resolve(schedules[0])
    assert [step.get("connectedSystemId") for step in schedule["steps"]] == [1, 2, None, 3, None, None]
