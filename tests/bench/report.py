"""Rows of results: as a table for people, as JSON for everything else."""

import json

FIELDS = ("name", "unit", "ours", "peer", "peer_name", "ratio", "target", "met")


def row(name, unit, ours, peer, peer_name, target, note=None):
    """A benchmark that ran."""
    ratio = round(peer / ours, 2) if ours and peer else None
    result = dict(zip(FIELDS, (name, unit, ours, peer, peer_name, ratio, target, ours <= target)))
    if note:
        result["note"] = note
    return result


def timed(name, figures, peer_name, ratio, target, met, note, unit="ms"):
    """A comparison whose claim is the ratio; the figures themselves are information."""
    values = (name, unit, *figures, peer_name, round(ratio, 2), target, met)
    return dict(zip(FIELDS, values), **({"note": note} if note else {}))


def absent(name, unit, peer_name, target, reason, ours=None):
    """A benchmark that did not run; our own figure may be known."""
    return dict(zip(FIELDS, (name, unit, ours, None, peer_name, None, target, None)), reason=reason)


def table(header, rows):
    """Columns as wide as they need to be; numbers to the right."""
    cells = [[str(cell) for cell in header], *([text(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = []
    for line in cells:
        parts = (
            cell.rjust(width) if index and cell[:1].isdigit() else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths))
        )
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def text(cell):
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "NO"
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


def show(results):
    rows = []
    for result in results:
        rows.append([*(result[field] for field in FIELDS), result.get("reason") or result.get("note") or ""])
    print(table([*FIELDS, ""], rows))


def write(results, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
