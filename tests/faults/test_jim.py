"""Runs on a JIM whose workers are killed or stopped in the middle of them: JIM runs each once."""

import math
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.cluster import Cluster, running
from tests.jim.double import JimDouble
from tests.jim.state import RunProfile
from tests.waiting import eventually

# Five lost workers are noticed one after another, each after 20 seconds.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(480)]

EXECUTE = ".*/execute"
ACTIVITY = "/activities/[^/]+"
PROGRESS = f"{ACTIVITY}/progress"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def jim() -> Iterator[JimDouble]:
    with JimDouble() as jim:
        yield jim


@pytest.fixture
def profile(jim: JimDouble) -> RunProfile:
    profile = jim.state.add_profile(1, "Full Import", jim.state.add_system(1, "HR"))
    profile.work.held = True
    return profile


async def run(cluster: Cluster, jim: JimDouble) -> str:
    """Starts a step with one attempt that runs the profile; returns the execution's id."""
    systems = "/synchronisation/connected-systems"
    settings = {"url": jim.url, "apiKey": jim.key.secret}
    system = await cluster.call("POST", systems, {"name": "HR", "connectorName": "Jim", "settings": settings})
    names = {"name": "Full Import", "runType": "FullImport"}
    made = await cluster.call("POST", f"{systems}/{system['id']}/run-profiles", names)
    return await cluster.run({"stepType": "RunProfile", "connectedSystemId": system["id"], "runProfileId": made["id"]})


async def true_once(probe: Callable[[], object]) -> None:
    async def asked() -> object:
        return probe()

    await eventually(asked, seconds=90)


def assert_run_once(jim: JimDouble, profile: RunProfile, execution: dict[str, Any], *cut_short: str) -> None:
    """Asserts that JIM ran the profile once, and the step's record: one attempt counts, after others that do not."""
    [activity] = jim.state.runs_of(profile)
    [step] = execution["steps"]
    assert (execution["status"], step["status"], step["attempts"]) == ("Complete", "Completed", 1)
    assert (step["activityId"], step["activityStatus"]) == (str(activity.id), "Complete")
    *before, last = step["attemptHistory"]
    assert (last["isCounted"], last["status"]) == (True, "Completed")
    assert [(attempt["isCounted"], attempt["status"]) for attempt in before] == [(False, "Failed")] * len(cut_short)
    for attempt, said in zip(before, cut_short, strict=True):
        assert said in attempt["errorMessage"]


async def test_a_worker_killed_five_times_leads_to_one_run(
    cluster: Cluster, jim: JimDouble, profile: RunProfile
) -> None:
    async def kill_worker() -> None:
        await cluster.kill("worker")
        await cluster.start_worker()

    not_done = jim.fail("POST", EXECUTE, lost=True, delay=math.inf)
    execution_id = await run(cluster, jim)
    # JIM has got the request, and does nothing about it.
    await true_once(lambda: jim.count("POST", EXECUTE) == 1)
    await kill_worker()

    # The next one asks again, as JIM shows no run: that request is carried out, its answer does not come.
    assert not_done.times == 0
    jim.fail("POST", EXECUTE, acted=True, delay=math.inf)
    await true_once(lambda: jim.count("POST", EXECUTE) == 2)
    await kill_worker()

    # The next one finds the run, and is killed before it knows whose it is.
    jim.fail("GET", ACTIVITY, delay=math.inf)
    await true_once(lambda: jim.count("GET", ACTIVITY) == 1)
    await kill_worker()

    # While the run is followed.
    await true_once(lambda: jim.count("GET", PROGRESS) >= 3)
    await kill_worker()

    # When the run has ended, and the worker has not heard of it.
    seen = jim.count("GET", PROGRESS)
    await true_once(lambda: jim.count("GET", PROGRESS) >= seen + 2)
    unheard = jim.fail("GET", PROGRESS, times=math.inf, delay=math.inf)
    profile.work.held = False
    await true_once(lambda: not jim.state.tasks)
    await kill_worker()
    unheard.times = 0

    ended = await cluster.ended(execution_id)
    assert_run_once(jim, profile, ended, *["was lost"] * 5)
    assert jim.count("POST", EXECUTE) == 2


async def test_a_worker_stopped_for_a_deploy_hands_its_run_over(
    cluster: Cluster, jim: JimDouble, profile: RunProfile
) -> None:
    execution_id = await run(cluster, jim)
    await true_once(lambda: jim.count("GET", PROGRESS) >= 2)

    await cluster.stop("worker")

    assert [task.status for task in jim.state.tasks.values()] == ["Processing"]
    seen = jim.count("GET", PROGRESS)
    await cluster.start_worker("second")
    await true_once(lambda: jim.count("GET", PROGRESS) > seen)
    profile.work.held = False
    assert_run_once(jim, profile, await cluster.ended(execution_id), "was stopped")
    assert jim.count("POST", EXECUTE) == 1
