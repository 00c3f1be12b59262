"""Starts Dagster's job `load` and waits for its end; what went wrong is said by Dagster's own log."""

import json
import os
import sys
import time
import urllib.request

LAUNCH = """
mutation($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""
STATUS = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


def ask(query, variables):
    request = urllib.request.Request(
        os.environ["HTTP_URL"] + "/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer = json.load(answer)
    if "errors" in answer:
        sys.exit(f"Dagster refused: {answer['errors']}")
    return answer["data"]


selector = {
    "repositoryLocationName": os.environ["LOCATION"],
    "repositoryName": "__repository__",
    "jobName": "load",
}
launched = ask(LAUNCH, {"selector": selector})["launchRun"]
if launched["__typename"] != "LaunchRunSuccess":
    sys.exit(f"Dagster did not start the job: {launched}")
run = launched["run"]["runId"]
print(f"run {run} started")
while (status := ask(STATUS, {"run": run})["runOrError"]["status"]) not in ("SUCCESS", "FAILURE", "CANCELED"):
    time.sleep(0.5)
print(f"run {run}: {status}")
sys.exit(status != "SUCCESS")
