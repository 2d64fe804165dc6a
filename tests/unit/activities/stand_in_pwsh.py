"""Stands in for PowerShell where there is none: records what it is given, and prints and exits as it is told.

It takes `-File SCRIPT ARGUMENTS`, where SCRIPT is JSON: `stdout`, `stderr` (texts), `exit` (a code), `hold` (stay until
a signal comes), `on_term` (`exit 0`, as PowerShell exits after SIGINT) and `litter` (write into its folders). The record
goes to `pwsh-record.json` beside SCRIPT.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    script = Path(sys.argv[sys.argv.index("-File") + 1])
    work = json.loads(script.read_text())
    record = {
        "argv": sys.argv[1:],
        "cwd": os.getcwd(),  # noqa: PTH109 - as the process sees it
        "environment": dict(os.environ),
        "stdin": sys.stdin.read(),
        "folders": [Path(os.environ[name]).is_dir() for name in ("TMPDIR", "XDG_CACHE_HOME")],
        "ignored": [signal.getsignal(number) == signal.SIG_IGN for number in (signal.SIGTERM, signal.SIGINT)],
    }
    script.with_name("pwsh-record.json").write_text(json.dumps(record))
    if work.get("litter"):
        (Path(os.environ["TMPDIR"]) / "clr-debug-pipe").write_text("left")
        (Path(os.environ["XDG_CACHE_HOME"]) / "powershell").mkdir()
    if work.get("on_term") == "exit 0":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.stdout.write(work.get("stdout", ""))
    sys.stderr.write(work.get("stderr", ""))
    sys.stdout.flush()
    if work.get("hold"):
        time.sleep(600)
    sys.exit(work.get("exit", 0))


if __name__ == "__main__":
    main()
