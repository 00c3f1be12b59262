"""How soon after the last object is ready the command returns.

The trials are a program of their own, `ready` beside this file: it is called inside the control plane with the
path of the binary, and its last line is a JSON object, {"trials": 100, "p50": ms, "p99": ms}.
"""

import json
import os
import pathlib

import plane as planes
import report

TRIALS = pathlib.Path(__file__).resolve().parent / "ready"
NAME, TARGET_MS, POLL_MS = "ready-to-return p99", 50, 5000


def rows(plane):
    if not os.access(TRIALS, os.X_OK):
        return [report.absent(NAME, "ms", "flux", TARGET_MS, "not measured yet")]
    try:
        answer = planes.run([TRIALS, plane.program], plane.environment("admin")).stdout
        figures = json.loads(answer.splitlines()[-1])
    except (planes.Failed, ValueError, IndexError, KeyError) as failure:
        return [report.absent(NAME, "ms", "flux", TARGET_MS, f"not measured: {str(failure).splitlines()[0]}")]
    p99 = figures["p99"]
    note = f"{figures['trials']} trials, p50 {figures['p50']:g} ms; Flux asks every {POLL_MS // 1000} s"
    return [report.timed(NAME, (p99, POLL_MS), "flux", POLL_MS / p99, TARGET_MS, p99 <= TARGET_MS, note)]
