"""What pages say to type beside a running `make dev`, typed."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.faults.dev_process import DevProcess
from tests.markdown import Block


class Checkout(DevProcess):
    """`rota dev` with its data where the pages have it."""

    @property
    def data_dir(self) -> Path:
        return self.folder / ".rota"


def run_and_check(blocks: Sequence[Block], expected: Sequence[Sequence[str]], dev: Checkout) -> None:
    """Runs blocks, and looks in what each of them prints for its patterns."""
    for block, output, patterns in zip(blocks, _run(blocks, dev), expected, strict=True):
        for pattern in patterns:
            assert re.search(pattern, output), f"{pattern} is not what this printed:\n{block.text}\n\n{output}"


def _run(blocks: Sequence[Block], dev: Checkout) -> list[str]:
    """Runs blocks one after the other in one shell, ports and paths replaced; every command must succeed."""
    parts = [f"{{\n{block.text}\n}} > block-{number}.out 2>&1" for number, block in enumerate(blocks)]
    script = "\n".join(["set -euo pipefail", *parts])
    binaries = Path(sys.executable).parent
    for shown, here in zip(("127.0.0.1:8080", "127.0.0.1:7233"), dev.ports, strict=False):
        script = script.replace(shown, f"127.0.0.1:{here}")
    script = script.replace(".venv/bin/", f"{binaries}/")
    # A test runner may set a width; what is printed into a file has none.
    inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    environment = inherited | {
        "PATH": os.pathsep.join([str(binaries), os.environ["PATH"]]),
        "ROTA_API_URL": f"http://127.0.0.1:{dev.ports[0]}",
    }
    done = subprocess.run(["bash", "-c", script], cwd=dev.folder, env=environment, timeout=200, check=False)
    files = [dev.folder / f"block-{number}.out" for number in range(len(blocks))]
    printed = [file.read_text("utf-8") for file in files if file.exists()]
    assert done.returncode == 0, f"this failed:\n{blocks[len(printed) - 1].text}\n\n{printed[-1]}"
    return printed
