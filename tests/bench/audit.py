"""Requests as the API server's audit log has them, and how they are counted."""

import collections
import datetime
import json
import time
import urllib.parse

MUTATING = {"create", "update", "patch", "delete", "deletecollection"}
DISCOVERY = ("/api", "/apis", "/openapi", "/version")

# What is not a request in the sense of the targets; each has a column of its own.
APART = ("discovery", "watches", "leases", "repeats")


class Request:
    """One request of one user."""

    def __init__(self, event):
        target = event.get("objectRef", {})
        self.user = event["user"]["username"]
        self.verb = event["verb"]
        self.uri = event["requestURI"]
        self.path = self.uri.partition("?")[0]
        self.code = event.get("responseStatus", {}).get("code", 0)
        self.received = datetime.datetime.fromisoformat(event["requestReceivedTimestamp"])
        self.completed = datetime.datetime.fromisoformat(event["stageTimestamp"])
        self.resource = target.get("resource", "")
        self.object = (self.resource, target.get("namespace", ""), target.get("name", ""))
        self.counted_as = "requests"

    def is_review(self):
        return self.resource.startswith("selfsubject")

    def is_write(self):
        """Accepted, meant to last, and about an object that lasts."""
        if self.verb not in MUTATING or not 200 <= self.code < 300:
            return False
        return "dryRun=" not in self.uri and self.resource != "leases" and not self.is_review()

    def is_lease_write(self):
        return self.resource == "leases" and self.verb in MUTATING and 200 <= self.code < 300

    def __str__(self):
        uri = urllib.parse.unquote(self.uri)
        kind = "" if self.counted_as == "requests" else f"  ({self.counted_as})"
        return f"{self.verb:<7} {self.code}  {uri}{kind}"


def count(requests):
    """Puts every request into its class and returns how many each class has.

    Repeats are counted apart, what is repeated is not: a request whose like was answered before with 429,
    or with 403 while a new binding settles, and a question for one's own rights that was asked before.
    """
    sent_away = set()
    for request in requests:
        like = (request.verb, request.uri)
        if request.verb == "watch":
            request.counted_as = "watches"
        elif request.resource == "leases":
            request.counted_as = "leases"
        elif not request.resource and request.path.startswith(DISCOVERY):
            request.counted_as = "discovery"
        elif like in sent_away:
            request.counted_as = "repeats"
        if request.code in (403, 429) or request.resource == "selfsubjectaccessreviews":
            sent_away.add(like)
        else:
            sent_away.discard(like)
    counts = collections.Counter(request.counted_as for request in requests)
    return {name: counts[name] for name in ("requests", *APART)}


class Log:
    """The audit log of one API server."""

    def __init__(self, path, ask):
        """`ask` sends a GET for a path and query."""
        self.path = path
        self.ask = ask

    def end(self):
        return self.path.stat().st_size

    def since(self, start, user):
        """What a user asked since `start`, in the order of arrival.

        A request of our own, sent last, shows when the log has caught up.
        """
        sign = f"/version?sign={time.monotonic_ns()}"
        self.ask(sign)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            events = self.read(start)
            if any(event["requestURI"] == sign for event in events):
                return self.requests(events, user)
            time.sleep(0.05)
        raise TimeoutError(f"the request log {self.path} does not catch up")

    def read(self, start):
        with self.path.open("rb") as file:
            file.seek(start)
            lines = file.read().split(b"\n")
        # The last line may be half written.
        return [json.loads(line) for line in lines[:-1] if line]

    @staticmethod
    def requests(events, user):
        # A watch is logged at its start and at its end.
        once = {event["auditID"]: event for event in events if event["user"]["username"] == user}
        return sorted(map(Request, once.values()), key=lambda request: request.received)
