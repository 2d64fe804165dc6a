"""The commands with which CONTRIBUTING.md makes a migration, run on a copy of the catalogue that has a new column."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.markdown import REPOSITORY, Page

BLOCKS = [
    block.text
    for block in Page(REPOSITORY / "CONTRIBUTING.md").blocks
    if block.section == "A change to the tables" and block.language == "sh"
]


def test_the_commands_make_a_migration_that_works_in_both_directions(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "catalogue", tmp_path / "catalogue", ignore=shutil.ignore_patterns("__pycache__"))
    tables = tmp_path / "catalogue" / "schedules.py"
    column = "    skipped_count: int = 0\n"
    tables.write_text(tables.read_text().replace(column, f"{column}    colour: str | None = Field(default=None)\n"))
    versions = tmp_path / "catalogue" / "migrations" / "versions"
    number = f"{max(int(path.name[:4]) for path in versions.glob('0*.py')) + 1:04}"
    script = "\n".join(["set -euo pipefail", *BLOCKS])
    script = script.replace(".venv/bin/", f"{Path(sys.executable).parent}/").replace("0002", number)

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "add_column(sa.Column('colour'" in (versions / f"{number}_give_schedules_a_colour.py").read_text()
    assert "No new upgrade operations detected" in done.stdout
