"""`rota executions logs`, and what `show` says of attempts and output."""

import sys
from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner

from cli.client import ApiClient, ApiFailure, ApiKey, ExecutionDetail
from cli.executions import app
from cli.logs import find_step, print_logs
from tests.unit.cli.samples import EXECUTION_ID, execution, step

OUTPUTS = {"One": ["fir", "st\n\0", "\0seco\x1b[3", "1mnd\n", "tail\x1b]"], "Two": ["other\n"], "Three": []}


def detail(status: str = "Completed") -> ExecutionDetail:
    steps = [step(name, status, -9, -8, id=f"{place:04}-{name.lower()}") for place, name in enumerate(OUTPUTS)]
    return execution("Complete", [[one] for one in steps])


def client_of(ended: ExecutionDetail, asked: list[httpx.URL]) -> ApiClient:
    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        if not request.url.path.endswith("/output"):
            return httpx.Response(200, json=ended)
        name = request.url.path.split("/")[-2].split("-")[1].capitalize()

        def parts() -> Iterator[bytes]:
            for part in OUTPUTS[name]:
                yield part.encode()

        return httpx.Response(200, content=parts(), headers={"content-type": "text/plain; charset=utf-8"})

    return ApiClient("http://127.0.0.1:8080", ApiKey(None, "none"), httpx.MockTransport(handle))


def logs(capsys: pytest.CaptureFixture[str], name: str | None = None, **options: bool) -> str:
    with client_of(detail(), []) as client:
        assert print_logs(client, detail(), name, attempt=None, follow=options.get("follow", False))
    return capsys.readouterr().out


def test_one_step_is_printed_as_it_is_and_signs_of_life_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    assert logs(capsys, "One") == "first\nseco\x1b[31mnd\ntail\x1b]"


def test_a_terminal_gets_no_sequences_in_one_part_or_two(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert logs(capsys, "One") == "first\nsecond\ntail"


def test_all_steps_stand_under_their_names_but_for_those_that_printed_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert logs(capsys).endswith("tail\x1b]\n==> Two <==\nother\n")
    with client_of(detail(), []) as client:
        assert not print_logs(client, detail(), "Three", attempt=None, follow=False)


def test_what_is_asked_for_is_told_to_the_api() -> None:
    asked: list[httpx.URL] = []
    with client_of(detail(), asked) as client:
        print_logs(client, detail("Processing"), "Two", attempt=2, follow=True)
    assert asked[0].path == f"/api/v1/schedule-executions/{EXECUTION_ID}/steps/0001-two/output"
    assert dict(asked[0].params) == {"follow": "true", "attempt": "2"}


def test_a_follower_that_was_let_go_too_early_is_told() -> None:
    running = detail("Processing")
    for one in running["steps"]:
        one["attemptHistory"] = []
    with client_of(running, []) as client, pytest.raises(ApiFailure, match="let go before 'Two' had ended"):
        print_logs(client, running, "Two", attempt=None, follow=True)


def test_a_step_is_found_by_name_or_id() -> None:
    steps = detail()["steps"]
    assert find_step(steps, "Two") == find_step(steps, "0001-two") == find_step(steps, "0001") == steps[1]
    with pytest.raises(ApiFailure, match=r"no step 'two'\. It has 0000-one \(One\), 0001-two \(Two\)"):
        find_step(steps, "two")
    with pytest.raises(ApiFailure, match=r"'000' means several steps; name one by its id: 0000-one \(One\)"):
        find_step(steps, "000")


def test_show_prints_each_attempt_and_the_output_of_a_failed_step_once(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = [
        {
            "number": number,
            "isCounted": number > 1,
            "status": "Failed",
            "startedAt": "2026-08-03T06:00:01Z",
            "completedAt": "2026-08-03T06:00:02Z",
            "host": "h",
            "exitCode": 1,
            "errorMessage": message,
        }
        for number, message in ((1, "The worker was stopped."), (2, None))
    ]
    failed = step("Bad", "Failed", -9, -8, outputTail="a line\n", attemptHistory=attempts, processesEnded=2)
    shown = execution("Failed", [[failed]])
    monkeypatch.setattr(ApiClient, "get_execution", lambda *_: shown)
    arguments = ["show", EXECUTION_ID, "--api-key", "rota_ak_" + "0" * 64]

    plain = CliRunner().invoke(app, arguments)
    with_output = CliRunner().invoke(app, [*arguments, "--output"])

    for result in (plain, with_output):
        assert result.exit_code == 0
        assert "Bad, attempt 1: Failed after 1.0s on h, not counted: The worker was stopped.\n" in result.output
        assert "Bad, attempt 2: Failed after 1.0s on h\n" in result.output
        assert "Bad: Rota ended 2 processes that it had started\n" in result.output
        assert result.output.count("a line") == 1
    assert "Output of Bad:" in with_output.output
    assert f"All output: rota executions logs {EXECUTION_ID}\n" in plain.output
