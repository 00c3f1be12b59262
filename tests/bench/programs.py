"""The peers, built once from pinned modules and kept outside the checkout, as the lab keeps its own programs."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
HELM = "helm.sh/helm/v4/cmd/helm@v4.2.4"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1"


class Missing(Exception):
    """A program that could not be had, and why."""


def helm():
    return installed("helm", HELM)


def kustomize():
    return installed("kustomize", KUSTOMIZE)


def flux():
    """The engine of Flux, in a program of a hundred lines: flux/main.go."""
    folder = HERE / "flux"
    content = b"".join(file.read_bytes() for file in sorted(folder.iterdir()))
    return built("flux", content, ["build", "-buildvcs=false", "-trimpath", "-o", "{target}", "."], folder)


def installed(name, package):
    # A module's own go.sum is not asked for by `go install`, but Go's checksum database is.
    return built(name, package.encode(), ["install", "-trimpath", package], None)


def built(name, content, words, folder):
    """Path of the program; builds it if it is not in the cache."""
    cache = pathlib.Path(os.environ.get("MIMEO_CACHE") or default_cache()) / "bin"
    key = hashlib.sha256(content + os.uname().machine.encode()).hexdigest()[:12]
    program = cache / f"{name}-{key}" / name
    if os.access(program, os.X_OK):
        return program
    if not shutil.which("go"):
        raise Missing("there is no Go to build it with")
    print(f"building {name}: once, usually 1-4 minutes", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new.", dir=cache) as work:
        target = pathlib.Path(work) / name
        environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": work, "GOTOOLCHAIN": "local"}
        words = ["nice", "go", *(word.format(target=target) for word in words)]
        outcome = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if outcome.returncode or not target.exists():
            last = (outcome.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Missing(f"it could not be built: {last}")
        program.parent.mkdir(exist_ok=True)
        # Whoever builds the same at once puts the same there.
        target.replace(program)
    return program


def default_cache():
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "mimeo"
