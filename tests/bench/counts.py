"""How many requests everybody needs for the same: bring 40 objects up, again, look at a change, take them down."""

import json
import pathlib
import time

import audit
import plane as planes
import report

# Phase of the run: name of the benchmark, how many requests mimeo may need.
TARGETS = {
    "first": ("first-apply", 48),
    "unchanged": ("unchanged-up", 12),
    "plan": ("plan", 12),
    "delete": ("delete", 16),
}
PEERS = ("kubectl", "helm", "flux")


class Phase:
    """One command line and what it cost."""

    def __init__(self, command, outcome, wall, requests, expected):
        self.command, self.wall, self.requests = command, wall, requests
        self.counts = audit.count(requests)
        self.sent = [request for request in requests if request.is_write()]
        self.writes = self.sent
        self.stdout, self.output = outcome.stdout, outcome.stdout + outcome.stderr
        self.failure = None
        if outcome.returncode != expected:
            self.failure = f"{command}: exit code {outcome.returncode}, not {expected}"

    def expect_one_change(self, changes):
        if not self.failure and changes != 1:
            self.failure = f"{self.command}: {changes} changed objects, not 1"

    def requests_counted(self):
        return self.counts["requests"]

    def object_writes(self):
        """Writes but one to mimeo's record of the environment."""
        books = sum(write.resource == "environments" for write in self.writes)
        return len(self.writes) - min(books, 1)


def steps(plane, programs):
    """Tool: phase: command line, its exit code, and what it says of a plan as a number of changed objects."""
    files = {}
    for tool in PEERS:
        files[tool] = plane.manifests(tool, f"{tool}.yaml")
    charts = {"now": plane.chart(files["helm"])}
    plane.change()
    for tool in PEERS:
        files[tool, "changed"] = plane.manifests(tool, f"{tool}-changed.yaml")
    plane.git("reset", "--quiet", "--hard", "HEAD~1")
    kubectl = ["kubectl", "{verb}", "--server-side", "-f"]
    inventory = plane.work / "flux.inventory"
    flux, helm, mimeo = programs["flux"], programs["helm"], plane.program

    def apply(verb, file):
        return [word.format(verb=verb) for word in kubectl] + [file]

    return {
        "mimeo": {
            "first": ([mimeo, "up", "e40"], 0),
            "unchanged": ([mimeo, "up", "e40"], 0),
            "plan": ([mimeo, "diff", "e40", "-o", "json"], 1, changes_of_mimeo),
            "delete": ([mimeo, "down", "e40", "--yes"], 0),
        },
        "kubectl": {
            "first": (apply("apply", files["kubectl"]), 0),
            "unchanged": (apply("apply", files["kubectl"]), 0),
            "plan": (apply("diff", files["kubectl", "changed"]), 1, changes_of_kubectl),
            "delete": (["kubectl", "delete", "-f", files["kubectl", "changed"]], 0),
        },
        # Helm shows no changes itself.
        "helm": {
            "first": ([helm, "install", "e40", charts["now"]], 0),
            "unchanged": ([helm, "upgrade", "e40", charts["now"]], 0),
            "delete": ([helm, "uninstall", "e40"], 0),
        },
        "flux": {
            "first": ([flux, "apply", files["flux"], inventory], 0),
            "unchanged": ([flux, "apply", files["flux"], inventory], 0),
            "plan": ([flux, "diff", files["flux", "changed"], inventory], 1, changes_of_flux),
            "delete": ([flux, "delete", files["flux"], inventory], 0),
        },
    }


def changes_of_mimeo(text):
    plan = json.loads(text)
    return len(plan["prune"]) + sum(len(wave["steps"]) for wave in plan["waves"])


def changes_of_kubectl(text):
    return sum(line.startswith("diff ") for line in text.splitlines())


def changes_of_flux(text):
    return len(text.splitlines())


def measure(plane, programs):
    """Tool: phase: what it cost. A tool that fails, or cannot be had, has no phases after that."""
    measured = {}
    for tool, phases in steps(plane, programs).items():
        measured[tool] = {}
        if tool in programs and programs[tool] is None:
            continue
        for name, (command, expected, *changes) in phases.items():
            if tool == "mimeo" and name == "plan":
                plane.change()
            phase = measured[tool][name] = one(plane, tool, name, command, expected)
            if changes and not phase.failure:
                phase.expect_one_change(changes[0](phase.stdout))
            if phase.failure:
                # What comes after it would be something else than what is compared.
                break
    return measured


def one(plane, tool, name, command, expected):
    before = plane.versions() if name == "unchanged" else None
    start, began = plane.log.end(), time.monotonic()
    outcome = planes.run(command, plane.environment(tool), plane.repository, check=False)
    wall = time.monotonic() - began
    shown = " ".join([tool, *(pathlib.Path(word).name for word in command[1:])])
    phase = Phase(shown, outcome, wall, plane.log.since(start, planes.account(tool)), expected)
    if before is not None:
        after = plane.versions()
        # An apply of what is there already is accepted and changes nothing.
        phase.writes = [
            one for one in phase.sent if one.code == 201 or before.get(one.object) != after.get(one.object)
        ]
    return phase


# ---- results


def show(measured):
    header = ["command", "requests", "writes", *audit.APART, "wall ms"]
    lines = []
    for phase in (phase for phases in measured.values() for phase in phases.values()):
        apart = (phase.counts[name] for name in audit.APART)
        wall = round(phase.wall * 1000)
        lines.append([phase.command, phase.requests_counted(), len(phase.writes), *apart, wall])
    print(report.table(header, lines))


def rows(measured, missing):
    results = []
    for phase, (name, target) in TARGETS.items():
        for peer in PEERS:
            sides = measured["mimeo"].get(phase), measured[peer].get(phase)
            reason = why_not(measured, missing, phase, peer)
            results.append(compare(f"{name} requests", "requests", target, sides, peer, reason, Phase.requests_counted))
        if phase == "unchanged":
            for peer in PEERS:
                sides = measured["mimeo"].get(phase), measured[peer].get(phase)
                reason = why_not(measured, missing, phase, peer)
                results.append(compare(f"{name} writes", "writes", 0, sides, peer, reason, Phase.object_writes))
    return results


def why_not(measured, missing, phase, peer):
    for tool in ("mimeo", peer):
        failure = next((phase.failure for phase in measured[tool].values() if phase.failure), None)
        if failure and (phase not in measured[tool] or measured[tool][phase].failure):
            return failure
    if peer in missing:
        return missing[peer]
    return None if phase in measured[peer] else f"{peer} has no such command"


def compare(name, unit, target, sides, peer, reason, measure_of):
    ours, other = sides
    if ours is None or ours.failure:
        return report.absent(name, unit, peer, target, reason)
    figure = measure_of(ours)
    if reason:
        return report.absent(name, unit, peer, target, reason, figure)
    note = None
    if unit == "writes":
        idle, idle_peer = (len(side.sent) - len(side.writes) for side in sides)
        note = f"sent, but without effect: {idle} of mimeo's, {idle_peer} of {peer}'s"
    return report.row(name, unit, figure, measure_of(other), peer, target, note)
