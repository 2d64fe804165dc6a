"""The kit finds what is wrong: each of these step types breaks one promise, and one test says so."""

import asyncio
import os
import signal
import subprocess
import textwrap
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import Field

from activities.support.conformance import StepTypeConformance, Trial, Trials
from activities.support.marker import MARKER, new_marker
from activities.support.step_type import StepConfig, StepFailure, StepRun, StepType
from runtime.secrets import Sealed


class WaitConfig(StepConfig):
    does: str = Field(default="", description="What it does.")
    token: Annotated[str, Sealed()] = Field(default="S3cret", description="A secret.")


class Wait(StepType[WaitConfig]):
    """Keeps every promise."""

    name = "Wait"
    config_model = WaitConfig

    async def run(self, step: StepRun[WaitConfig]) -> None:
        match step.config.does:
            case "fail":
                raise StepFailure("it broke")
            case "fail for good":
                raise StepFailure("it is wrong", retryable=False)
            case "hang":
                step.output.write_line("begun")
                await self.hang()
            case "flood":
                step.output.feed(b"x" * 2_000_000, "stdout", final=True)

    async def hang(self) -> None:
        await asyncio.Event().wait()


class Kept(StepTypeConformance):
    step_type = Wait()

    def trials(self, folder: Path) -> Trials:  # noqa: ARG002 - it needs no folder
        secret = {"token": "S3cret-canary"}
        return Trials(
            succeeds=Trial(secret),
            fails=Trial(secret | {"does": "fail"}),
            fails_for_good=Trial(secret | {"does": "fail for good"}),
            hangs=Trial({"does": "hang"}),
            floods=Trial({"does": "flood"}),
        )


class TestKept(Kept):
    """Passes as it is."""


class Defect(Wait):
    async def run(self, step: StepRun[WaitConfig]) -> None:
        if step.config.does.startswith("fail"):
            raise KeyError("nobody caught this")
        await super().run(step)


class Deaf(Wait):
    async def hang(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await super().hang()


class Careless(Wait):
    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    async def hang(self) -> None:
        script = "trap '' TERM; while :; do sleep 1; done"
        environment = {**os.environ, MARKER: new_marker()}
        careless = subprocess.Popen(["/bin/sh", "-c", script], env=environment, start_new_session=True)  # noqa: ASYNC220 - careless
        self.started.append(careless)
        await super().hang()


class Final(Wait):
    async def run(self, step: StepRun[WaitConfig]) -> None:
        if step.config.does == "fail":
            raise StepFailure("it broke", retryable=False)
        await super().run(step)


BROKEN = {
    "test_a_failure_is_a_message_for_people": Defect,
    "test_a_cancel_ends_everything": Deaf,
    "test_a_timeout_ends_everything": Careless,
    "test_a_failure_says_whether_another_attempt_can_help": Final,
}


@pytest.mark.parametrize("promise", BROKEN)
def test_a_broken_promise_is_found(promise: str, tmp_path: Path) -> None:
    class Broken(Kept):
        step_type = BROKEN[promise]()

    with pytest.raises(AssertionError):
        getattr(Broken(), promise)(tmp_path)
    for careless in Careless.started:
        os.killpg(careless.pid, signal.SIGKILL)
        careless.wait()
    Careless.started.clear()


def test_a_package_of_its_own_uses_it_as_a_plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeconftest('pytest_plugins = ["activities.support.conformance"]')
    pytester.makepyfile(
        textwrap.dedent("""
            from activities.executable import Executable
            from activities.support.conformance import StepTypeConformance, Trial, Trials

            class TestExecutable(StepTypeConformance):
                step_type = Executable()

                def trials(self, folder):
                    for name, text in {"good": "echo hello", "bad": "exit 3", "slow": "echo begun; sleep 600"}.items():
                        (folder / name).write_text(f"#!/bin/sh\\n{text}\\n")
                        (folder / name).chmod(0o755)
                    return Trials(
                        succeeds=Trial({"executablePath": "good"}),
                        fails=Trial({"executablePath": "bad"}),
                        hangs=Trial({"executablePath": "slow"}),
                    )
        """)
    )

    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=8, skipped=1)
