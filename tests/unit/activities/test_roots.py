import os
from pathlib import Path

import pytest

from activities.support.roots import locate, locate_file, locate_folder, locate_program, root_of
from activities.support.step_type import StepFailure


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    """Two roots beside a folder that is none."""
    for name in ("one", "two", "elsewhere"):
        (tmp_path / name / "sub").mkdir(parents=True)
    return [tmp_path / "one", tmp_path / "two"]


def program(path: Path, mode: int = 0o755) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def refused(named: str | Path, roots: list[Path]) -> str:
    with pytest.raises(StepFailure) as caught:
        locate_file(str(named), "scriptPath", roots)
    assert not caught.value.retryable
    return str(caught.value)


def test_a_relative_path_is_looked_for_under_each_root_in_order(roots: list[Path]) -> None:
    second = program(roots[1] / "sub" / "a.sh")
    assert locate_file("sub/a.sh", "scriptPath", roots) == second
    first = program(roots[0] / "sub" / "a.sh")
    assert locate_file("sub/a.sh", "scriptPath", roots) == first
    assert locate_file(str(second), "scriptPath", roots) == second
    assert locate_file("sub/../sub/./a.sh", "scriptPath", roots) == first


def test_what_lies_elsewhere_is_refused_whether_it_exists_or_not(roots: list[Path], tmp_path: Path) -> None:
    outside = program(tmp_path / "elsewhere" / "a.sh")
    (tmp_path / "one-more").mkdir()
    neighbour = program(tmp_path / "one-more" / "a.sh")
    for named in (outside, neighbour, tmp_path / "missing", "../elsewhere/a.sh", "sub/../../elsewhere/a.sh", "..", "/"):
        message = refused(named, roots)
        assert message.startswith(f"scriptPath: {named} is outside the script roots")
        assert "ROTA_SCRIPT_ROOTS" in message


def test_a_link_counts_as_what_it_leads_to(roots: list[Path], tmp_path: Path) -> None:
    outside = program(tmp_path / "elsewhere" / "a.sh")
    inside = program(roots[1] / "b.sh")
    (roots[0] / "out").symlink_to(outside)
    (roots[0] / "folder").symlink_to(outside.parent)
    (roots[0] / "dangling").symlink_to(tmp_path / "elsewhere" / "missing")
    (roots[0] / "in").symlink_to(inside)
    (tmp_path / "elsewhere" / "back").symlink_to(inside)
    for named in ("out", "folder/a.sh", "dangling", "folder/../sub"):
        assert "outside the script roots" in refused(named, roots)
    assert locate_file("in", "scriptPath", roots) == inside
    assert locate_file(str(tmp_path / "elsewhere" / "back"), "scriptPath", roots) == inside


def test_a_root_may_be_a_link_itself(roots: list[Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(roots[0])
    script = program(roots[0] / "a.sh")
    assert locate_file("a.sh", "scriptPath", [tmp_path / "link"]) == script
    assert root_of(script, [tmp_path / "link"]) == roots[0]


def test_without_roots_nothing_runs_that_names_a_path() -> None:
    message = refused("a.sh", [])
    assert "outside the script roots" in message
    assert "ROTA_SCRIPT_ROOTS" in message


def test_paths_that_are_none_are_refused(roots: list[Path]) -> None:
    (roots[0] / "loop").symlink_to(roots[0] / "loop")
    assert refused(" ", roots) == "scriptPath is empty"
    for named in ("a\0b", "loop"):
        assert refused(named, roots).startswith("scriptPath: ")
    with pytest.raises(StepFailure, match=r"^scriptPath: "):
        locate_file("x" * 5000, "scriptPath", roots)


def test_a_loop_of_links_leads_past_no_other_link(roots: list[Path], tmp_path: Path) -> None:
    program(tmp_path / "elsewhere" / "a.sh")
    (roots[0] / "loop").symlink_to(roots[0] / "loop")
    (roots[0] / "leak").symlink_to(tmp_path / "elsewhere")
    for named in ("loop/../leak/a.sh", "missing/../loop/../leak/a.sh", "missing/../loop/../leak/missing"):
        assert refused(named, roots).startswith("scriptPath: ")
        with pytest.raises(StepFailure, match=r"^database: .* not a path that can be followed"):
            locate(named, "database", roots)


def test_an_end_of_a_path_that_says_nothing_is_left_out(roots: list[Path]) -> None:
    script = program(roots[1] / "sub" / "b.sh")
    assert locate_file("sub/b.sh/", "scriptPath", roots) == script
    assert locate_folder("sub/.", "workingDirectory", roots) == roots[0] / "sub"


def test_files_say_what_is_wrong_with_them(roots: list[Path]) -> None:
    with pytest.raises(StepFailure, match=r"^scriptPath: no file missing\.ps1 under the script roots$"):
        locate_file("missing.ps1", "scriptPath", roots)
    with pytest.raises(StepFailure, match=r"^scriptPath: sub is a folder, not a file$"):
        locate_file("sub", "scriptPath", roots)
    os.mkfifo(roots[0] / "pipe")
    with pytest.raises(StepFailure, match=r"^scriptPath: pipe is not a regular file$"):
        locate_file("pipe", "scriptPath", roots)


def test_folders_say_what_is_wrong_with_them(roots: list[Path]) -> None:
    program(roots[0] / "a.sh")
    assert locate_folder("sub", "workingDirectory", roots) == roots[0] / "sub"
    with pytest.raises(StepFailure, match=r"^workingDirectory: no folder missing under the script roots$"):
        locate_folder("missing", "workingDirectory", roots)
    with pytest.raises(StepFailure, match=r"^workingDirectory: a\.sh is no folder$"):
        locate_folder("a.sh", "workingDirectory", roots)
    with pytest.raises(StepFailure, match=r"^workingDirectory: /tmp is outside the script roots"):
        locate_folder("/tmp", "workingDirectory", roots)  # noqa: S108 - nothing is written there


def test_programs_say_what_is_wrong_with_them(roots: list[Path]) -> None:
    program(roots[0] / "plain", 0o644)
    with pytest.raises(StepFailure, match=r"^executablePath: plain is not executable"):
        locate_program("plain", "executablePath", roots, {})
    with pytest.raises(StepFailure, match=r"^executablePath: sub is a folder, not a file$"):
        locate_program("sub", "executablePath", roots, {})
    with pytest.raises(StepFailure, match=r"^executablePath: no file sub/missing under the script roots$"):
        locate_program("sub/missing", "executablePath", roots, {})


def test_a_bare_name_is_looked_up_on_the_path_after_the_roots(roots: list[Path], tmp_path: Path) -> None:
    on_path = program(roots[1] / "sub" / "tool")
    program(tmp_path / "elsewhere" / "other")
    environment = {"PATH": f"{roots[1] / 'sub'}:{tmp_path / 'elsewhere'}"}
    assert locate_program("tool", "executablePath", roots, environment) == on_path
    in_root = program(roots[1] / "tool")
    assert locate_program("tool", "executablePath", roots, environment) == in_root
    with pytest.raises(StepFailure, match=r"^executablePath: .*/elsewhere/other is outside the script roots"):
        locate_program("other", "executablePath", roots, environment)
    for nowhere in (environment, {}):
        with pytest.raises(StepFailure, match=r"^executablePath: no program missing under the script roots or on the"):
            locate_program("missing", "executablePath", roots, nowhere)


def test_what_a_relative_path_entry_leads_to_is_looked_for_there_alone(
    roots: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "elsewhere")
    program(tmp_path / "elsewhere" / "sub" / "tool")
    program(roots[0] / "sub" / "tool")
    with pytest.raises(StepFailure, match=r"^executablePath: .*/elsewhere/sub/tool is outside the script roots"):
        locate_program("tool", "executablePath", roots, {"PATH": "sub"})


def test_a_path_entry_goes_up_from_where_a_link_leads(roots: list[Path]) -> None:
    for folder in ("bin", "lib"):
        (roots[1] / "opt" / folder).mkdir(parents=True)
    there = program(roots[1] / "opt" / "bin" / "tool")
    (roots[0] / "link").symlink_to(roots[1] / "opt" / "lib")
    environment = {"PATH": f"{roots[0] / 'link'}/../bin"}
    assert locate_program("tool", "executablePath", roots, environment) == there


def test_a_worker_whose_working_folder_is_gone_finds_programs(
    roots: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = program(roots[1] / "sub" / "tool")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert locate_program("tool", "executablePath", roots, {"PATH": str(roots[1] / "sub")}) == on_path


def test_the_root_of_a_path_is_the_innermost(roots: list[Path], tmp_path: Path) -> None:
    assert root_of(roots[0] / "sub" / "a.sh", [tmp_path, roots[0]]) == roots[0]


def test_a_path_need_not_exist_to_be_located(roots: list[Path]) -> None:
    assert locate("sub/new.db", "sqlConnectionString", roots) == roots[0] / "sub" / "new.db"
