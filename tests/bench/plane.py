"""The control plane that everything is measured on: accounts, a repository, and the same objects for everybody."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import audit

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests/fixtures/e40"
OBJECTS, KINDS = 40, 8
# Everything that anybody writes here.
STORED = (
    "namespaces", "serviceaccounts", "roles", "rolebindings", "configmaps", "secrets", "deployments", "services",
    "environments", "inventories", "receipts",
)
CHART = "apiVersion: v2\nname: e40\nversion: 1.0.0\n"


class Failed(Exception):
    """A step that has to work did not."""


class Plane:
    """One control plane, its administrator, and a folder to work in."""

    def __init__(self, program, directory, work):
        self.program, self.directory, self.work = program, directory, work
        self.repository = work / "repository"
        self.log = audit.Log(directory / "audit.log", lambda path: self.admin("get", "--raw", path))

    def prepare(self, peers):
        """mimeo's user has the rights that `install` grants and no others; the peers are administrators."""
        run([self.program, "install", "--grant", "serviceaccount:default/mimeo"], self.environment("admin"))
        # The server holds back what creates an object of a kind that is younger than 2 s.
        time.sleep(3)
        for name in ("mimeo", *peers):
            self.admin("create", "serviceaccount", name)
            config = json.loads(self.admin("config", "view", "--raw", "--minify", "-o", "json"))
            config["users"][0]["user"] = {"token": self.admin("create", "token", name).strip()}
            self.save(name, config)
            if name != "mimeo":
                binding = ["clusterrolebinding", f"bench-{name}", "--clusterrole=cluster-admin"]
                self.admin("create", *binding, f"--serviceaccount=default:{name}")
        shutil.copytree(FIXTURE, self.repository)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=Forty objects")

    def save(self, name, config):
        path = self.kubeconfig(name)
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))

    def kubeconfig(self, name):
        return self.directory / "admin.kubeconfig" if name == "admin" else self.work / f"{name}.kubeconfig"

    def by_way_of(self, name, server, suffix):
        """The same account by way of another address: the name of its kubeconfig."""
        config = json.loads(self.kubeconfig(name).read_text())
        config["clusters"][0]["cluster"]["server"] = server
        self.save(f"{name}-{suffix}", config)
        return f"{name}-{suffix}"

    def server(self):
        config = json.loads(self.kubeconfig("mimeo").read_text())
        return config["clusters"][0]["cluster"]["server"]

    # ---- the objects

    def change(self):
        """One object of forty: the ConfigMap of app-03."""
        spec = self.repository / "environments/e40.yaml"
        before = spec.read_text()
        after = before.replace("hello-03", "good-morning")
        if "good-morning" not in after:
            raise Failed(f"{spec.name} has no hello-03")
        spec.write_text(after)
        self.git("commit", "--quiet", "--all", "--message=Another greeting")

    def manifests(self, name, file):
        """A rendering as a file, with the Namespace that mimeo adds itself."""
        command = [self.program, "render", "e40", "--name", name, "--quiet"]
        text = run(command, self.environment("mimeo"), self.repository).stdout
        namespaces = {line.split()[1] for line in text.splitlines() if line.startswith("  namespace: ")}
        kinds = [line for line in text.splitlines() if line.startswith("kind: ")]
        if len(namespaces) != 1 or len(kinds) + 1 != OBJECTS or len(set(kinds)) + 1 != KINDS:
            found = f"{len(kinds) + 1} objects of {len(set(kinds)) + 1} kinds"
            raise Failed(f"the fixture is to have {OBJECTS} objects of {KINDS} kinds, and has {found}")
        path = self.work / file
        path.write_text(f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespaces.pop()}\n{text}")
        return path

    def chart(self, manifests):
        """A chart of exactly these manifests; nothing in them is a template of Helm's."""
        folder = manifests.with_suffix(".chart")
        (folder / "templates").mkdir(parents=True)
        (folder / "Chart.yaml").write_text(CHART)
        shutil.copy(manifests, folder / "templates/all.yaml")
        return folder

    # ---- what is there

    def versions(self):
        """resourceVersion of everything, once the controllers have nothing left to do."""
        seen = None
        for _ in range(50):
            now = {}
            for resource in STORED:
                for item in json.loads(self.admin("get", resource, "--all-namespaces", "-o", "json"))["items"]:
                    metadata = item["metadata"]
                    now[resource, metadata.get("namespace", ""), metadata["name"]] = metadata["resourceVersion"]
            # The audit log names the namespace of a Namespace.
            for kind, _, name in list(now):
                if kind == "namespaces":
                    now[kind, name, name] = now[kind, "", name]
            if now == seen:
                return now
            seen = now
            time.sleep(0.3)
        raise Failed("the control plane does not come to rest")

    # ---- how programs are run

    def environment(self, name):
        """Nothing of the caller's but the programs; a home of one's own, so that nothing is cached at first."""
        home = self.work / "home" / name.partition("-")[0]
        home.mkdir(parents=True, exist_ok=True)
        own = {"HOME": str(home), "KUBECONFIG": str(self.kubeconfig(name)), "LC_ALL": "C.UTF-8"}
        return {"PATH": os.environ["PATH"], **own}

    def admin(self, *words):
        return run(["kubectl", *words], self.environment("admin")).stdout

    def git(self, *words):
        who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false"]
        run(["git", *who, *words], self.environment("mimeo"), self.repository)


def account(name):
    """How the audit log calls one of us."""
    return f"system:serviceaccount:default:{name}"


def run(command, environment, directory=None, check=True):
    outcome = subprocess.run(
        [str(word) for word in command], env=environment, cwd=directory, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, check=False,
    )
    if check and outcome.returncode:
        raise Failed(f"{' '.join(map(str, command))}: exit code {outcome.returncode}\n{outcome.stdout}{outcome.stderr}")
    return outcome
