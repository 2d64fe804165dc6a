import subprocess
from pathlib import Path

import pytest

from bench import machine
from bench.machine import Machine, commit_of


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.com", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("old")
    (tmp_path / "code.py").write_text("old")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    return tmp_path


def test_the_commit_of_a_checkout(checkout: Path) -> None:
    short = git(checkout, "rev-parse", "--short", "HEAD")
    assert commit_of(checkout) == short

    (checkout / "docs" / "page.md").write_text("the tables that it made")
    (checkout / "docs" / "page.json").write_text("{}")
    assert commit_of(checkout) == short


@pytest.mark.parametrize("name", ["code.py", "unknown.py"])
def test_a_checkout_with_changes_says_so(checkout: Path, name: str) -> None:
    (checkout / name).write_text("new")

    assert commit_of(checkout) == git(checkout, "rev-parse", "--short", "HEAD") + "+"


def test_no_commit_where_there_is_no_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit_of(checkout / "docs") is None, "the repository around it is another one"

    monkeypatch.setenv("PATH", "")
    assert commit_of(checkout) is None


def test_the_model_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.processor", lambda: "arm")
    assert Machine.this().cpu == "arm"

    machine._CPU_INFO.write_text("processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7B13\n\nmodel name\t: other\n")
    assert Machine.this().cpu == "AMD EPYC 7B13"
