"""`rota schedules preview`: what it sends, what it shows, and which options go together."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from cli.client import ApiClient, ApiKey, Preview
from cli.console import failure_lines
from cli.schedules import app, print_preview

START = "2027-03-27T00:00:00+00:00"
ITEMS: list[dict[str, str | None]] = [
    {"time": "2027-03-27T01:30:00Z", "localTime": "2027-03-27T01:30:00Z", "clockChange": None},
    {
        "time": "2027-03-28T01:00:00Z",
        "localTime": "2027-03-28T02:00:00+01:00",
        "clockChange": "Clocks go forward 60 minutes at 01:00.",
    },
]
ANSWER: dict[str, Any] = {
    "cronExpression": "30 1 * * *",
    "sentence": "At 01:30, every day",
    "warnings": ["Mind this."],
    "items": ITEMS,
}
STORED: dict[str, Any] = {
    "id": "d88be36a-f547-4346-820a-1893bcaa332c",
    "name": "Nightly",
    "triggerType": "Cron",
    "cronExpression": "30 1 * * *",
    "patternType": "Custom",
    "daysOfWeek": None,
    "runTimes": None,
    "intervalValue": None,
    "intervalUnit": None,
    "intervalWindowStart": None,
    "intervalWindowEnd": None,
    "timeZone": "Europe/London",
    "startAt": None,
    "endAt": None,
    "isEnabled": True,
}


class Api:
    """An API with one schedule; keeps what it was asked."""

    def __init__(self, **stored: Any) -> None:
        self.schedule = STORED | stored
        self.bodies: list[dict[str, Any]] = []
        self.queries: list[dict[str, str]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1/schedules")
        if path == "/preview":
            self.bodies.append(json.loads(request.content))
            return httpx.Response(200, json=ANSWER)
        if path.endswith("/next-runs"):
            self.queries.append(dict(request.url.params))
            due = [item["time"] for item in ITEMS] if self.schedule["isEnabled"] else []
            return httpx.Response(200, json={"items": due})
        return httpx.Response(200, json={"items": [self.schedule], "hasNextPage": False})


def preview(api: Api, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    @contextmanager
    def connected(*_: object) -> Iterator[ApiClient]:
        transport = httpx.MockTransport(api.answer)
        with ApiClient("http://127.0.0.1:8080", ApiKey("rota_ak_0", "tests"), transport) as client:
            yield client

    monkeypatch.setattr("cli.schedules.connected", connected)
    monkeypatch.delenv("COLUMNS", raising=False)
    return CliRunner().invoke(app, ["preview", *arguments])


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (["--cron", "0 6 * * 1"], {"patternType": "Custom", "cronExpression": "0 6 * * 1"}),
        (
            ["--times", "06:00,18:00", "--days", "1,2", "--zone", "Europe/London"],
            {
                "patternType": "SpecificTimes",
                "runTimes": "06:00,18:00",
                "daysOfWeek": "1,2",
                "timeZone": "Europe/London",
            },
        ),
        (["--times", "06:00"], {"patternType": "SpecificTimes", "runTimes": "06:00", "daysOfWeek": "0,1,2,3,4,5,6"}),
        (
            ["--every", "2", "--unit", "hours", "--from-time", "08:30", "--to-time", "17:45"],
            {"patternType": "Interval", "intervalValue": 2, "intervalUnit": "hours", "daysOfWeek": "0,1,2,3,4,5,6"}
            | {"intervalWindowStart": "08:30", "intervalWindowEnd": "17:45"},
        ),
        (
            ["--every", "15"],
            {"patternType": "Interval", "intervalValue": 15, "intervalUnit": "Minutes", "daysOfWeek": "0,1,2,3,4,5,6"}
            | {"intervalWindowStart": "00:00", "intervalWindowEnd": "23:59"},
        ),
    ],
)
def test_options_become_a_timetable(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], sent: dict[str, Any]
) -> None:
    api = Api()

    done = preview(api, monkeypatch, *arguments, "--from", START, "--count", "2")

    assert done.exit_code == 0, done.output
    assert api.bodies == [sent | {"count": 2, "from": START}]


def test_times_stand_in_local_time_and_in_utc_with_the_change_of_the_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    done = preview(Api(), monkeypatch, "--cron", "30 1 * * *", "--from", START)

    assert done.stdout.splitlines() == [
        "Timetable    At 01:30, every day",
        "Cron         30 1 * * *",
        "",
        "Local time                  UTC                Clock change",
        "Sat 2027-03-27 01:30 +00:00 2027-03-27 01:30Z",
        "Sun 2027-03-28 02:00 +01:00 2027-03-28 01:00Z  Clocks go forward 60 minutes at 01:00.",
    ]
    assert done.stderr == "warning: Mind this.\n"


def test_a_narrow_terminal_loses_nothing() -> None:
    console = Console(file=io.StringIO(), width=20, color_system=None)
    print_preview(console, cast("Preview", ANSWER))

    shown = cast("io.StringIO", console.file).getvalue()
    assert "Sun 2027-03-28 02:00 +01:00 2027-03-28 01:00Z  Clocks go forward 60 minutes at 01:00.\n" in shown


def test_json_is_the_answer_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    done = preview(Api(), monkeypatch, "--cron", "30 1 * * *", "--json")

    assert json.loads(done.stdout) == ANSWER


def test_a_file_is_looked_at_without_what_is_no_timetable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "nightly.yaml"
    file.write_text("name: Nightly\ntriggerType: Cron\nCronExpression: 0 6 * * 1\ntimezone: UTC\ncount: 7\nsteps: []\n")
    api = Api()

    done = preview(api, monkeypatch, "-f", str(file), "--from", START)

    assert done.exit_code == 0, done.output
    assert api.bodies == [{"cronExpression": "0 6 * * 1", "timeZone": "UTC", "count": 10, "from": START}]


def test_a_stored_schedule_is_shown_with_the_times_at_which_it_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()

    done = preview(api, monkeypatch, "Nightly", "--from", START, "--count", "2")

    assert done.stdout.count("2027-03-28 01:00Z") == 1
    assert api.bodies[0]["cronExpression"] == "30 1 * * *"
    assert api.bodies[0]["timeZone"] == "Europe/London"
    assert "name" not in api.bodies[0]
    assert api.queries == [{"count": "2", "from": START}]


def test_a_disabled_schedule_shows_no_times_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    done = preview(Api(isEnabled=False), monkeypatch, "Nightly")

    assert "At 01:30, every day" in done.stdout
    assert "No times." in done.stdout
    assert "The schedule is disabled: it does not fire." in done.stderr


def test_a_schedule_on_demand_has_no_timetable(monkeypatch: pytest.MonkeyPatch) -> None:
    done = preview(Api(triggerType="Manual"), monkeypatch, "Nightly")

    assert isinstance(done.exception, Exception)
    assert failure_lines(done.exception) == ["rota: Nightly: it has no timetable, it runs on demand only"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one of NAME_OR_ID, --file, --cron, --times, --every"),
        (["Nightly", "--cron", "0 6 * * *"], "not NAME_OR_ID and --cron together"),
        (["--cron", "0 6 * * *", "--days", "1"], "goes with --times or --every only"),
        (["--times", "06:00", "--to-time", "07:00"], "goes with --every only"),
        (["Nightly", "--zone", "UTC"], "goes with --cron or --times or --every only"),
        (["--cron", "0 6 * * *", "--from", "tomorrow"], "'tomorrow' is no time"),
        (["--cron", "0 6 * * *", "--count", "0"], "--count"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    api = Api()

    done = preview(api, monkeypatch, *arguments)

    assert done.exit_code == 2
    # The message stands in a box, its lines broken to the width.
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert not api.bodies
