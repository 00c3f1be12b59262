"""How long a first apply takes on a network where a request and its answer need 5 ms more.

Everybody talks to the API server through `wire delay`, which hands TCP on byte by byte, 2.5 ms late in each
direction, so that each client keeps its own TLS and HTTP. A time counts from the start of the process to the
answer of its last write, as the server's audit log has it; nobody waits for anything to become ready: where
mimeo does, between its last object and the closing of its books, that time is taken out.

The floor is what mimeo's own requests cost at best: recorded in a run before, serialised, sent again for
another environment over the same wire, each stage at once when the one before it is answered. That each
measured run sent the same requests as the recorded one is read from the audit log.
"""

import collections
import contextlib
import datetime
import hashlib
import json
import re
import statistics
import subprocess
import time
import urllib.parse

import plane as planes
import report

DELAYED_BY_MS = 5
LISTEN = "10.9.9.1:16443"
ROUNDS = 5
WINDOWS = (8, 16, 32)
TIMES_FASTER, TIMES_FLOOR = 5, 1.5
METHODS = {
    "get": "GET", "list": "GET", "create": "POST", "patch": "PATCH", "update": "PUT", "delete": "DELETE",
}
# Between these a string of a body is what an earlier answer said.
MARK = "\x01"


class Wall:
    """The runs on one plane, by way of the wire."""

    def __init__(self, plane, wire, helm):
        self.plane, self.wire, self.helm = plane, wire, helm

    def measure(self):
        """Rows of results."""
        server = self.plane.server().removeprefix("https://")
        half = str(DELAYED_BY_MS * 500)
        tools = ["mimeo", "kubectl", *(["helm"] if self.helm else [])]
        with self.started("delay", LISTEN, server, half):
            # The first run of a tool fills its caches, and is not counted.
            recorded = self.record()
            self.accounts = {tool: self.plane.by_way_of(tool, f"https://{LISTEN}", "far") for tool in tools}
            for tool in tools:
                self.one(tool, "warm")
            rounds = [self.round(tools, recorded, number) for number in range(1, ROUNDS + 1)]
        return rounds

    @contextlib.contextmanager
    def started(self, *words):
        command = [self.wire, *map(str, words)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            if process.stdout.readline() != "ready\n":
                raise planes.Failed(f"wire {' '.join(map(str, words))} does not start")
            yield process
        finally:
            process.stdin.close()
            process.wait(timeout=30)

    def record(self):
        """Requests of a run, with their bodies."""
        relayed = self.plane.kubeconfig("mimeo-relayed")
        with self.started("record", self.plane.kubeconfig("mimeo"), relayed) as relay:
            self.mimeo("rec", "mimeo-relayed")
            relay.stdin.close()
            lines = relay.stdout.read().splitlines()
        return Recording([json.loads(line) for line in lines])

    def round(self, tools, recorded, number):
        """Everybody once, each time another one first."""
        times = {}
        order = tools[number % len(tools):] + tools[: number % len(tools)]
        for tool in order:
            times[tool] = self.one(tool, f"r{number:02}", recorded if tool == "mimeo" else None)
        times["floor"] = min(self.replay(recorded, f"{number}{window:02}", window) for window in WINDOWS)
        return times

    def one(self, tool, tag, recorded=None):
        """Milliseconds from the start of the process to the answer of the last write."""
        start, began = self.plane.log.end(), datetime.datetime.now(datetime.timezone.utc)
        if tool == "mimeo":
            self.mimeo(tag, self.accounts[tool])
        else:
            manifests = self.plane.manifests(f"{tool[0]}-{tag}", f"{tool}-{tag}.yaml")
            command = ["kubectl", "apply", "--server-side", "-f", manifests]
            if tool == "helm":
                command = [self.helm, "install", tag, self.plane.chart(manifests)]
            # To make the files is no part of it.
            start, began = self.plane.log.end(), datetime.datetime.now(datetime.timezone.utc)
            planes.run(command, self.plane.environment(self.accounts[tool]), self.plane.repository)
        requests = self.plane.log.since(start, planes.account(tool))
        if recorded:
            recorded.expect(requests)
            self.seen = (began, requests)
        last, waited = end_of_writes(requests)
        return (last - began - waited).total_seconds() * 1000 + DELAYED_BY_MS / 2

    def mimeo(self, tag, account):
        command = [self.plane.program, "up", "e40", "--name", tag, "--quiet"]
        planes.run(command, self.plane.environment(account), self.plane.repository)

    def replay(self, recorded, tag, window):
        script = self.plane.work / "script.json"
        script.write_text(json.dumps(recorded.script(tag)))
        command = [self.wire, "replay", self.plane.kubeconfig(self.accounts["mimeo"]), script, window]
        return float(planes.run(command, self.plane.environment("mimeo")).stdout)


def end_of_writes(requests):
    """When the last write was answered, and how long before that nothing was waited for but health: the longest
    time after the last object in which no request of the books was under way, but for one trip over the wire.
    """
    books = ("leases", "environments", "inventories")
    writes = [request for request in requests if request.is_write() or request.is_lease_write()]
    objects = [write for write in writes if write.resource not in books]
    done = max(write.completed for write in objects)
    closing = [request for request in requests if request.received > done and request.resource in books]
    end, idle = done, datetime.timedelta(milliseconds=DELAYED_BY_MS)
    for request in sorted(closing, key=lambda request: request.received):
        idle = max(idle, request.received - end)
        end = max(end, request.completed)
    return end, idle - datetime.timedelta(milliseconds=DELAYED_BY_MS)


class Recording:
    """One run's requests, and how to send their like again."""

    def __init__(self, exchanges):
        # A repeat is only sent because something settles: whoever replays repeats it, too, if need be.
        seen = {}
        for one in exchanges:
            if "watch=true" not in one["query"]:
                seen.setdefault((one["method"], one["path"], one["query"], json.dumps(one["body"])), one)
        self.exchanges = list(seen.values())
        record = next(one for one in self.exchanges if one["method"] == "POST" and "/environments" in one["path"])
        self.name = record["body"]["metadata"]["name"]
        self.id = record["body"]["spec"]["id"]
        self.record = f"{record['path'].split('?')[0]}/{self.name}"
        self.uid = next(owner for one in self.exchanges if (owner := owner_of(one["body"])))

    def kinds(self):
        return collections.Counter((one["method"], self.like(one["path"], self.name, self.id)) for one in self.exchanges)

    @staticmethod
    def like(path, name, identity):
        return path.replace(name, "NAME").replace(identity, "ID")

    def expect(self, requests):
        """Says so when a run did not send the same requests."""
        paths = [request.path for request in requests]
        name = next(match[1] for path in paths if (match := re.search(r"/namespaces/(e40-[^/]+)$", path)))
        identity = next(match[1] for path in paths if (match := re.search(r"/inv-([0-9a-f]+)-0$", path)))
        sent = set()
        for request in requests:
            if request.verb != "watch":
                sent.add((METHODS[request.verb], self.like(request.path, name, identity)))
        if sent != set(self.kinds()):
            raise planes.Failed(f"it did not send what the recorded run did: {sent ^ set(self.kinds())}")

    def script(self, tag):
        """The same for another environment, in stages."""
        identity = hashlib.sha256(tag.encode()).hexdigest()[:32]
        name = self.name.replace("-rec-", f"-{tag}-").replace(self.id[:8], identity[:8])
        stages = collections.defaultdict(list)
        opened = False
        for one in self.exchanges:
            stage = self.stage(one, opened)
            opened |= stage >= 3
            target = one["path"] + (f"?{one['query']}" if one["query"] else "")
            body = "" if one["method"] == "GET" else json.dumps(self.with_answers(one), separators=(",", ":"))
            stages[stage].append({
                "method": one["method"],
                "target": renamed(target, self, name, identity),
                "content_type": content_type(one),
                "body": renamed(body, self, name, identity).replace("\\u0001", MARK),
                "may_miss": one["method"] == "GET",
            })
        return [stages[stage] for stage in sorted(stages)]

    @staticmethod
    def stage(one, opened):
        """What waits for what: reads under the lease, then record, inventory, namespace, binding, and the waves."""
        method, path = one["method"], one["path"]
        kind = path.split("/")[-1] if method == "POST" else path.split("/")[-2]
        if kind == "leases":
            return {"GET": 14 if opened else 0, "POST": 1, "PATCH": 15}[method]
        if "/selfsubject" in path:
            return 0
        if method == "GET":
            return 11 if opened else 2
        if kind in ("environments", "inventories"):
            return {("POST", "environments"): 3, ("POST", "inventories"): 4,
                    ("PUT", "inventories"): 12, ("PUT", "environments"): 13}[method, kind]
        if kind == "rolebindings" and path.endswith("/mimeo"):
            return 6
        return {"namespaces": 5, "roles": 7, "deployments": 9}.get(kind, 8)

    def with_answers(self, one):
        """The body, with marks where it says what an earlier answer said."""
        body = json.loads(json.dumps(one["body"]).replace(self.uid, f"{MARK_JSON}uid:{self.record}{MARK_JSON}"))
        metadata = body.get("metadata", {})
        if one["method"] == "PUT" or one["path"].split("/")[-2] == "leases":
            for field, word in (("uid", "uid"), ("resourceVersion", "version")):
                if field in metadata:
                    metadata[field] = f"{MARK}{word}:{one['path']}{MARK}"
        return body


MARK_JSON = json.dumps(MARK)[1:-1]


def renamed(text, recording, name, identity):
    # The name ends with the first digits of the id.
    return text.replace(recording.name, name).replace(recording.id, identity)


def owner_of(body):
    return (body or {}).get("metadata", {}).get("annotations", {}).get("mimeo.dev/owner")


def content_type(one):
    if one["method"] != "PATCH":
        return "application/json"
    lease = "/leases/" in one["path"]
    return "application/merge-patch+json" if lease else "application/apply-patch+yaml"


# ---- results


def show(rounds):
    header = ["first apply, +5 ms", *(f"run {number}" for number in range(1, len(rounds) + 1)), "median"]
    lines = []
    for who in rounds[0]:
        times = [times[who] for times in rounds]
        lines.append([who, *map(round, times), round(statistics.median(times))])
    print(report.table(header, lines))


def rows(rounds, missing, reason):
    """Ratios of each pair of runs; their median is the claim."""
    name, results = f"first-apply +{DELAYED_BY_MS} ms", []
    for peer in ("kubectl", "helm", "floor"):
        target = TIMES_FLOOR if peer == "floor" else TIMES_FASTER
        why = reason or (missing.get(peer) if peer not in rounds[0] else None)
        if why:
            results.append(report.absent(name, "ms", peer, target, why))
            continue
        ours, other = (statistics.median(times[who] for times in rounds) for who in ("mimeo", peer))
        ratio = statistics.median(times[peer] / times["mimeo"] for times in rounds)
        if peer == "floor":
            met, note = 1 / ratio <= target, f"at most {target:g} times the floor; it is {1 / ratio:.2f}"
        else:
            met, note = ratio >= target, f"at least {target:g} times faster"
        results.append(report.timed(name, (round(ours), round(other)), peer, ratio, target, met, note))
    return results
