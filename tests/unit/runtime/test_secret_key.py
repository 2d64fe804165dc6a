"""The file of the secret key: made whole or not at all, and never taken for a key when it is none."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.errors import StartError
from runtime.secret_key import load_secret_key
from runtime.settings import Settings, SettingsError


def test_the_first_start_makes_a_key_that_only_its_owner_may_read(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret-key"
    key = load_secret_key(path)
    assert len(key) == 44
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_secret_key(path) == key
    assert [file.name for file in path.parent.iterdir()] == ["secret-key"]


def test_processes_that_start_at_the_same_time_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "secret-key"
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_secret_key(path), range(64)))
    assert keys == {path.read_text().strip()}


def test_a_key_that_another_process_publishes_in_between_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret-key"
    path.write_text("the key of the other process\n")
    answers = iter([False])
    monkeypatch.setattr(Path, "exists", lambda _: next(answers))
    assert load_secret_key(path) == "the key of the other process"


@pytest.mark.parametrize("content", [b"", b"\n", b"fifteen letters", b"\xff\xfe" * 40])
def test_a_file_without_a_key_stops_the_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret-key"
    path.write_bytes(content)
    with pytest.raises(StartError) as failure:
        _ = Settings(data_dir=tmp_path).sealing_key
    assert str(path) in str(failure.value)
    assert "\n" not in str(failure.value)
    assert path.read_bytes() == content


def test_a_data_dir_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsError, match=r"--data-dir.*file cannot be used: it is not a folder"):
        Settings(data_dir=file).make_data_dir()
    with pytest.raises(SettingsError, match=r"cannot be used: Not a directory"):
        Settings(data_dir=file / "below").make_data_dir()
    with pytest.raises(StartError, match=r"secret-key cannot be used: .*ROTA_SECRET_KEY"):
        load_secret_key(file / "secret-key")
