"""How soon after the last object is ready the command returns.

The trials are a test, `health::from_ready_to_return`, that `ready` beside this file starts: here inside the
control plane that everything is measured on. It prints a line for each kind of last object.
"""

import os
import pathlib
import re
import subprocess

import report

TRIALS = pathlib.Path(__file__).resolve().parent / "ready"
COUNT = 100
NAME, TARGET_MS, POLL_MS = "ready-to-return p99", 50, 5000
LINE = re.compile(r"from ready to return, (.+): p50 ([\d.]+) ms, p99 ([\d.]+) ms, max ([\d.]+) ms, (\d+) trials")


def rows(plane):
    # cargo needs the home of whoever calls.
    environment = {**os.environ, "MIMEO_BIN": str(plane.program)}
    outcome = subprocess.run(
        [TRIALS, str(COUNT)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )
    found = LINE.findall(outcome.stdout)
    if not found:
        reason = (outcome.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return [report.absent(NAME, "ms", "flux", TARGET_MS, f"not measured: {reason}")]
    return [row(*figures) for figures in found]


def row(what, half, most, worst, trials):
    p99 = float(most)
    note = f"{trials} trials, p50 {half} ms, most {worst} ms; Flux asks every {POLL_MS // 1000} s"
    return report.timed(f"{NAME}, {what}", (p99, POLL_MS), "flux", POLL_MS / p99, TARGET_MS, p99 <= TARGET_MS, note)
