"""The client of the REST API: how errors become messages, where the key comes from, how ids are found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from cli.client import ApiClient, ApiFailure, ApiKey, Execution, UsageError, find_api_key, match_prefix
from contracts.execution import ExecutionStatus

URL = "http://127.0.0.1:8080"
SECRET = "rota_ak_" + "0" * 64
A_GUID = "d88be36a-f547-4346-820a-1893bcaa332c"

Handler = Callable[[httpx.Request], httpx.Response]


def client_of(handler: Handler, key: str | None = SECRET) -> ApiClient:
    return ApiClient(URL, ApiKey(key, "ROTA_API_KEY"), httpx.MockTransport(handler))


def answering(status: int, body: Any) -> ApiClient:
    return client_of(lambda _: httpx.Response(status, json=body))


def error_body(message: str, fields: dict[str, list[str]] | None = None) -> dict[str, Any]:
    return {"code": "X", "message": message, "details": None, "validationErrors": fields, "timestamp": "now"}


def page(items: list[Any], *, more: bool = False) -> httpx.Response:
    return httpx.Response(200, json={"items": items, "hasNextPage": more})


def test_a_refusal_carries_the_servers_message_and_its_fields() -> None:
    fields = {"steps[2].timeoutSeconds": ["The field timeoutSeconds must be at least 1."]}
    with (
        answering(400, error_body("One or more fields are not valid.", fields)) as client,
        pytest.raises(ApiFailure, match=r"One or more fields are not valid\.") as failure,
    ):
        client.create_schedule({"name": "x"})
    assert (failure.value.status, failure.value.fields, failure.value.is_temporary) == (400, fields, False)


@pytest.mark.parametrize(
    ("status", "temporary"), [(400, False), (401, False), (404, False), (429, True), (500, False), (503, True)]
)
def test_only_what_may_pass_by_itself_is_temporary(status: int, *, temporary: bool) -> None:
    with answering(status, error_body("no")) as client, pytest.raises(ApiFailure) as failure:
        client.get_execution("x")
    assert failure.value.is_temporary is temporary


def test_a_refused_connection_names_the_url_and_the_remedy() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 111] Connection refused", request=request)

    with client_of(refuse) as client, pytest.raises(ApiFailure) as failure:
        client.list_schedules()
    assert failure.value.is_temporary
    for part in (URL, "Connection refused", "rota dev", "--url", "ROTA_API_URL"):
        assert part in failure.value.message


def test_a_lost_answer_to_a_change_says_that_its_end_is_not_known() -> None:
    def time_out(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    with client_of(time_out) as client:
        with pytest.raises(ApiFailure, match=r"did not answer: ReadTimeout\. Whether it was done is not known\.$"):
            client.run_schedule(A_GUID)
        with pytest.raises(ApiFailure, match=r"did not answer: ReadTimeout\.$"):
            client.get_execution(A_GUID)


def test_a_missing_key_says_where_keys_are_looked_for() -> None:
    client = ApiClient(
        URL,
        ApiKey(None, ".rota/api-key, which does not exist"),
        httpx.MockTransport(lambda _: httpx.Response(401, json=error_body("Unauthorised"))),
    )
    with client, pytest.raises(ApiFailure) as failure:
        client.list_schedules()
    for part in ("--api-key", "ROTA_API_KEY", ".rota/api-key, which does not exist"):
        assert part in failure.value.message


def test_a_refused_key_says_where_it_came_from_and_is_not_shown() -> None:
    with answering(401, error_body("Unauthorised")) as client, pytest.raises(ApiFailure) as failure:
        client.list_schedules()
    assert "ROTA_API_KEY" in failure.value.message
    assert SECRET not in failure.value.message + repr(ApiKey(SECRET, "x"))


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>", headers={"content-type": "text/html"}),
        httpx.Response(404, text="<html>", headers={"content-type": "text/html"}),
        httpx.Response(500, json=["x"]),
        httpx.Response(200, json=["x"]),
    ],
)
def test_another_service_at_the_address_is_recognised(response: httpx.Response) -> None:
    with client_of(lambda _: response) as client, pytest.raises(ApiFailure, match="not Rota's API"):
        client.list_schedules()


@pytest.mark.parametrize("url", ["", "localhost", "localhost:8080", "ftp://host", "http://", "http://[::1"])
def test_what_is_no_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match=r"http://127\.0\.0\.1:8080"):
        ApiClient(url, ApiKey(None, "x"))


def test_requests_go_below_the_base_url_with_the_key() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return page([])

    with ApiClient("http://host/rota/", ApiKey(SECRET, "x"), httpx.MockTransport(answer)) as client:
        client.list_schedules("delta & co")
    assert str(seen[0].url) == "http://host/rota/api/v1/schedules?search=delta+%26+co&page=1&pageSize=100"
    assert seen[0].headers["x-api-key"] == SECRET


def test_lists_follow_the_pages_up_to_the_limit() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params.multi_items()) | {"status": request.url.params.get_list("status")})
        number = int(request.url.params["page"])
        return page([{"id": f"{number}-{place}"} for place in range(100)], more=number < 3)

    with client_of(answer) as client:
        assert len(client.list_executions(limit=1000)) == 300
        asked.clear()
        found = client.list_executions(limit=150, statuses=[ExecutionStatus.FAILED, ExecutionStatus.CANCELLED])
    assert [execution["id"] for execution in found[-2:]] == ["2-48", "2-49"]
    assert [entry["page"] for entry in asked] == ["1", "2"]
    assert asked[0]["status"] == ["Failed", "Cancelled"]
    assert asked[0]["sortDescending"] == "true"


def schedules_named(*names: str) -> Handler:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/schedules"):
            search = request.url.params.get("search", "")
            found = [name for name in names if search.lower() in name.lower()]
            return page([{"id": f"id-{place}", "name": name} for place, name in enumerate(found)])
        return httpx.Response(404, json=error_body("Schedule not found"))

    return answer


def test_a_schedule_is_found_by_its_exact_name_only() -> None:
    with client_of(schedules_named("Daily sync", "Daily sync 2", "daily Sync")) as client:
        assert client.find_schedule("Daily sync")["name"] == "Daily sync"
        assert client.find_schedule("daily Sync")["name"] == "daily Sync"
        with pytest.raises(ApiFailure, match=r"There is no schedule 'Daily'") as failure:
            client.find_schedule("Daily")
        assert failure.value.status == 404
        with pytest.raises(ApiFailure, match=r"Did you mean 'Daily sync 2'"):
            client.find_schedule("DAILY SYNC 2")


def test_the_history_of_a_deleted_schedule_is_asked_for_by_its_id() -> None:
    with client_of(schedules_named("Daily sync")) as client:
        assert client.find_schedule_id(A_GUID) == A_GUID
        assert client.find_schedule_id("Daily sync") == "id-0"
        with pytest.raises(ApiFailure, match=r"no schedule 'Weekly'.* One that is deleted is found by its id"):
            client.find_schedule_id("Weekly")


def test_several_schedules_of_one_name_are_told_by_their_ids() -> None:
    with client_of(schedules_named("Twice", "Twice")) as client, pytest.raises(ApiFailure, match="id-0, id-1"):
        client.find_schedule("Twice")


def test_a_name_may_look_like_an_id() -> None:
    with client_of(schedules_named(A_GUID)) as client:
        assert client.find_schedule(A_GUID)["name"] == A_GUID


def some_executions(*ids: str) -> list[Execution]:
    return [cast("Execution", {"id": entry, "scheduleName": f"schedule {entry[0]}"}) for entry in ids]


def test_a_prefix_names_the_one_execution_that_begins_so() -> None:
    executions = some_executions("3f2a1111-0", "3f2b2222-0", "9c001111-0")
    assert match_prefix("3f2a", executions) == "3f2a1111-0"
    assert match_prefix("3F2B", executions) == "3f2b2222-0"


def test_a_prefix_of_several_or_none_names_what_there_is() -> None:
    executions = some_executions("3f2a1111-0", "3f2a2222-0")
    with pytest.raises(ApiFailure, match=r"3f2a1111-0 \(schedule 3\), 3f2a2222-0 \(schedule 3\)"):
        match_prefix("3f2a", executions)
    with pytest.raises(ApiFailure, match="latest 100 executions"):
        match_prefix("0000", executions)


def test_a_whole_id_is_not_looked_up_and_a_short_one_refused() -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise AssertionError("asked")

    with client_of(fail) as client:
        assert client.find_execution(A_GUID) == A_GUID
        with pytest.raises(UsageError, match="first 4 characters"):
            client.find_execution("3f2")


def test_the_key_is_the_given_one_else_that_of_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTA_DATA_DIR", str(tmp_path))
    assert find_api_key(SECRET).secret == SECRET
    missing = find_api_key(None)
    assert (missing.secret, str(tmp_path / "api-key") in missing.source) == (None, True)
    (tmp_path / "api-key").write_text(SECRET + "\n")
    assert find_api_key(None).secret == SECRET


@pytest.mark.parametrize("text", ["", "two words", "schlüssel", "a\nb", "\udcff"])
def test_what_cannot_be_a_key_is_a_usage_error_that_names_its_place(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROTA_DATA_DIR", str(tmp_path))
    (tmp_path / "api-key").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match="api-key"):
        find_api_key(None)


def test_bodies_are_sent_as_json() -> None:
    seen: dict[str, Any] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen.update(json.loads(request.content), type=request.headers["content-type"])
        return httpx.Response(201, json={"id": A_GUID})

    with client_of(answer) as client:
        client.create_schedule({"name": "Täglich"})
    assert seen == {"name": "Täglich", "type": "application/json"}


def test_a_connected_system_is_found_by_its_id_or_its_exact_name() -> None:
    systems = [{"id": 1, "name": "2"}, {"id": 2, "name": "HR"}, {"id": 3, "name": "hr"}]
    with client_of(lambda _: page(systems)) as client:
        assert [client.find_connected_system(text)["id"] for text in ("1", "2", "HR", "hr")] == [1, 2, 2, 3]
        with pytest.raises(ApiFailure, match=r"There is no connected system 'Hr'\. Did you mean '(HR|hr)'"):
            client.find_connected_system("Hr")
