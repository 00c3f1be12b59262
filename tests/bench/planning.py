"""How long the decision takes when everything has been read: no request, no clock, one core.

The program is an example of the crate `plan`; it prints a line for each number of objects, the best of five.
"""

import plane as planes
import report

OBJECTS, TARGET_MS = 2000, 100
UNITS = {"s": 1e3, "ms": 1, "µs": 1e-3}


def rows(program):
    lines = [line.split() for line in planes.run([program], None).stdout.splitlines()[1:]]
    unchanged, new = next(line[1:] for line in lines if line[0] == str(OBJECTS))
    return [row(f"planning-{OBJECTS} {what}", milliseconds(time)) for what, time in
            (("unchanged", unchanged), ("all new", new))]


def row(name, took):
    return report.row(name, "ms", round(took, 1), None, None, TARGET_MS)


def milliseconds(text):
    number = text.rstrip("smµ")
    return float(number) * UNITS[text[len(number):]]
