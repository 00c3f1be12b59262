"""Counts what one account wrote, from an API server's audit log on standard input.

usage: writes.py USER NAMESPACE KIND/NAME…

Fails when the account wrote anything in the namespace that is not listed, or started a copy of data.
"""

import collections
import json
import sys

VERBS = {"create", "update", "patch", "delete", "deletecollection"}
QUESTIONS = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}


def writes(lines, user):
    """Requests of the user that changed something, as (verb, namespace, kind/name)."""
    for line in lines:
        event = json.loads(line)
        target = event.get("objectRef", {})
        if event.get("stage") != "ResponseComplete" or event["user"]["username"] != user:
            continue
        if event["verb"] not in VERBS or target.get("resource") in QUESTIONS:
            continue
        if "dryRun=" in event["requestURI"] or event["responseStatus"]["code"] >= 400:
            continue
        name = f"{target.get('resource')}/{target.get('name', '')}"
        yield event["verb"], target.get("namespace", ""), name


def main():
    user, namespace, *allowed = sys.argv[1:]
    seen = list(writes(sys.stdin, user))
    inside = collections.Counter((verb, name) for verb, where, name in seen if where == namespace)
    books = [name for _, where, name in seen if where not in (namespace, "mimeo-data")]
    copies = [name for verb, where, name in seen if where == "mimeo-data" and verb == "create"]
    for (verb, name), count in sorted(inside.items()):
        print(f"{count} × {verb} {name}")
    print(f"{sum(inside.values())} writes in {namespace}, {len(books)} in mimeo's own records, {len(copies)} in mimeo-data")
    wrong = sorted({name for _, name in inside if name not in allowed}) + copies
    if wrong:
        print(f"error: wrote what had not changed: {', '.join(wrong)}")
    if not inside:
        print("error: the audit log shows no write, although something changed")
    sys.exit(1 if wrong or not inside else 0)


main()
