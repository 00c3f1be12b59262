"""What a cold rendering costs, beside `helm template` and `kustomize build`: the same objects for all.

40 objects are those of tests/fixtures/e40. 4,000 are a hundred components of forty, which mimeo and Helm make
from one template; Kustomize gets them as they come out. CPU is user and system time of the process; the least
of several runs counts, since nothing but noise makes a run slower.
"""

import os
import statistics
import subprocess
import time

import plane as planes
import report

COMPONENTS, PER_COMPONENT = 100, 40
RUNS = {40: 10, 4000: 5}
# It takes more than a minute.
SLOW = {("kustomize", 4000): 1}
# Benchmark: which figure, at how many objects; how many times less than each peer.
TARGETS = {
    "render-40 cpu": ("cpu", 40, {"helm": 5, "kustomize": 3}),
    "render-4000 cpu": ("cpu", 4000, {"helm": 4, "kustomize": 400}),
    "render-4000 wall": ("wall", 4000, {"helm": 6, "kustomize": None}),
    "render-4000 memory": ("memory", 4000, {"helm": 2, "kustomize": None}),
}
UNITS = {"cpu": "ms", "wall": "ms", "memory": "MiB"}
BLOCK = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME-%(number)s}
data:
  greeting: "hello"
  settings.ini: |
    [server]
    port = 8080
    workers = 4
---
apiVersion: v1
kind: Secret
metadata: {name: NAME-%(number)s}
stringData: {username: "user", password: "not-a-password"}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME-%(number)s
  labels: {app.kubernetes.io/name: NAME-%(number)s}
spec:
  replicas: 0
  selector: {matchLabels: {app.kubernetes.io/name: NAME-%(number)s}}
  template:
    metadata: {labels: {app.kubernetes.io/name: NAME-%(number)s}}
    spec:
      containers:
        - name: main
          image: "busybox:1.36"
          command: [httpd, -f, -p, "8080"]
          ports: [{name: http, containerPort: 8080}]
          resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 128Mi}}
---
apiVersion: v1
kind: Service
metadata: {name: NAME-%(number)s}
spec:
  selector: {app.kubernetes.io/name: NAME-%(number)s}
  ports: [{name: http, port: 80, targetPort: http}]
---
"""
TEMPLATE = """\
apiVersion: mimeo.dev/v1alpha1
kind: Template
metadata: {name: block}
spec: {description: Forty objects}
"""
SPEC = """\
apiVersion: mimeo.dev/v1alpha1
kind: EnvironmentSpec
metadata: {name: e4000}
spec:
  components:
"""


def rows(plane, found, missing):
    commands = {40: prepare_small(plane, found), 4000: prepare_large(plane, found)}
    best = {
        (tool, size): measure(plane, command, SLOW.get((tool, size), RUNS[size]))
        for size, tools in commands.items() for tool, command in tools.items()
    }
    show(best)
    print()
    results = []
    for name, (figure, size, peers) in TARGETS.items():
        for peer, target in peers.items():
            if peer in missing:
                results.append(report.absent(name, UNITS[figure], peer, target, missing[peer]))
                continue
            ours, other = best["mimeo", size][figure], best[peer, size][figure]
            times = (round(ours, 1), round(other, 1))
            note = f"at least {target} times less" if target else None
            met = other / ours >= target if target else None
            results.append(report.timed(name, times, peer, other / ours, target, met, note, UNITS[figure]))
    return results


def prepare_small(plane, found):
    manifests = plane.manifests("render", "render.yaml")
    commands = {"mimeo": [plane.program, "render", "e40", "--name", "render", "--quiet"]}
    return commands | peers(plane, found, plane.chart(manifests), [manifests], "small")


def prepare_large(plane, found):
    blocks = "".join(BLOCK % {"number": number} for number in range(PER_COMPONENT // 4)).removesuffix("---\n")
    names = [f"part-{number:03}" for number in range(COMPONENTS)]
    template = plane.repository / "templates/block"
    (template / "manifests").mkdir(parents=True)
    (template / "template.yaml").write_text(TEMPLATE)
    (template / "manifests/block.yaml").write_text(blocks.replace("NAME", "{{ name }}"))
    components = "".join(f"    {name}: {{template: block}}\n" for name in names)
    (plane.repository / "environments/e4000.yaml").write_text(SPEC + components)
    plane.git("add", "--all")
    plane.git("commit", "--quiet", "--message=Four thousand objects")
    chart = plane.work / "large.chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: e4000\nversion: 1.0.0\n")
    (chart / "values.yaml").write_text(f"names: [{', '.join(names)}]\n")
    body = blocks.replace("NAME", "{{ $name }}")
    (chart / "templates/block.yaml").write_text("{{- range $name := .Values.names }}\n---\n%s{{- end }}\n" % body)
    files = []
    for name in names:
        files.append(plane.work / f"{name}.yaml")
        files[-1].write_text(blocks.replace("NAME", name))
    commands = {"mimeo": [plane.program, "render", "e4000", "--name", "render", "--quiet"]}
    return commands | peers(plane, found, chart, files, "large")


def peers(plane, found, chart, files, name):
    """The commands of those that are there."""
    commands = {}
    if found["helm"]:
        commands["helm"] = [found["helm"], "template", "e", chart]
    if found["kustomize"]:
        folder = plane.work / f"{name}.kustomize"
        folder.mkdir()
        for file in files:
            (folder / file.name).write_text(file.read_text())
        resources = "".join(f"- {file.name}\n" for file in files)
        (folder / "kustomization.yaml").write_text(f"resources:\n{resources}")
        commands["kustomize"] = [found["kustomize"], "build", folder]
    return commands


def measure(plane, command, runs):
    """The least CPU and memory, and the median wall time, of a number of cold processes."""
    words = [str(word) for word in command]
    taken = {"cpu": [], "wall": [], "memory": []}
    for _ in range(runs):
        began = time.monotonic()
        process = subprocess.Popen(
            words, cwd=plane.repository, env=plane.environment("mimeo"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise planes.Failed(f"{' '.join(words)}: exit code {process.returncode}\n{said.decode()}")
        taken["wall"].append((time.monotonic() - began) * 1000)
        taken["cpu"].append((usage.ru_utime + usage.ru_stime) * 1000)
        taken["memory"].append(usage.ru_maxrss / 1024)
    return {
        "cpu": min(taken["cpu"]), "wall": statistics.median(taken["wall"]), "memory": min(taken["memory"]),
    }


def show(best):
    header = ["rendering", "objects", "cpu ms", "wall ms", "peak MiB"]
    lines = [
        [tool, size, *(round(figures[name], 1) for name in ("cpu", "wall", "memory"))]
        for (tool, size), figures in best.items()
    ]
    print(report.table(header, lines))
