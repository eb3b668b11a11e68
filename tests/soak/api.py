#!/usr/bin/env python3
"""The control API against its own description: api.py [EXAMPLES [SEED]], default 50 examples an operation.

schemathesis reads /api/v1/openapi.json and sends what it allows and what it forbids to every operation, all checks on. It is
taken from build/bench-venv (./dev bench --setup installs it). 422 is what a document gets that JSON Schema takes and the
pipeline's own rules do not, so it counts as a good answer. The service must have come through without a crash, too.
"""

import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
os.environ.setdefault("LATHE_SOURCE", os.path.join(HERE, "..", ".."))
os.environ.setdefault("LATHE_BIN", os.path.join(os.environ["LATHE_SOURCE"], "build", "bin", "lathe"))

from liblathe import DATA, Checks, Lathe  # noqa: E402
from libapi import Service  # noqa: E402

TOOL = os.path.join(os.environ["LATHE_SOURCE"], "build", "bench-venv", "bin", "schemathesis")
# Names that there are, beside those that are made up. QUERY is not among the undeclared methods: HTTP/1.1's parser does not
# know it, and 501 is what RFC 9110 (15.6.2) gives such a method.
CONFIG = """
[phases.coverage]
unexpected-methods = ["get", "put", "post", "delete", "options", "patch", "trace"]
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "422", "429"]
[dictionaries]
models = {values = ["birds", "more"]}
versions = {values = ["1", "2", "live", "newest"]}
runs = {values = ["latest"]}
files = {values = ["report.html"]}
plugins = {values = ["csv", "gbdt", "tree"]}
data = {values = ["penguins.csv"]}
tokens = {values = ["spare"]}
[parameters]
"path.model" = {dictionary = "models", probability = 0.5}
"path.endpoint" = {dictionary = "models", probability = 0.5}
"path.version" = {dictionary = "versions", probability = 0.5}
"path.run" = {dictionary = "runs", probability = 0.5}
"path.file" = {dictionary = "files", probability = 0.5}
"path.plugin" = {dictionary = "plugins", probability = 0.5}
"path.token" = {dictionary = "tokens", probability = 0.5}
"body.path" = {dictionary = "data", probability = 0.5}
"query.a" = {dictionary = "runs", probability = 0.5}
"query.b" = {dictionary = "runs", probability = 0.5}
"""


def document(path, name):
    return {
        "lathe": 1, "name": name, "seed": 1,
        "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
        "prepare": {"source": {"csv": {"path": path, "missing": ["NA"]}}, "profile": False},
        "train": {"candidates": {"trees": {"gbdt": {"rounds": 3}}}},
        "deploy": {"endpoint": name, "when": "always"},
    }


examples = sys.argv[1] if len(sys.argv) > 1 else "50"
seed = sys.argv[2] if len(sys.argv) > 2 else "1"
checks = Checks()
if not os.path.exists(TOOL):
    sys.exit(f"{TOOL} is missing: ./dev bench --setup")
with Lathe() as lathe:
    root = lathe.path("data")
    os.makedirs(root)
    shutil.copy(os.path.join(DATA, "penguins.csv"), root)
    lathe.write("schemathesis.toml", CONFIG)
    for name in ("birds", "birds", "more"):
        lathe.pipeline(document(os.path.join(root, "penguins.csv"), name))
    secret = lathe.run("tokens", "create", "fuzz", "--role", "admin").stdout.strip()
    lathe.run("tokens", "create", "spare", "--role", "read")
    config = {"data_roots": [root], "backups": lathe.path("backups"), "runs": {"queue": 20}}
    with Service(lathe, config) as service:
        url = f"http://127.0.0.1:{service.ports['control']}/api/v1/openapi.json"
        r = subprocess.run(
            [TOOL, "run", url, "--header", f"Authorization: Bearer {secret}", "--max-examples", examples, "--seed", seed,
             "--checks", "all", "--continue-on-failure", "--max-failures", "100",
             "--request-timeout", "60", "--no-color", "--report", "junit", "--report-dir", lathe.path("reports"),
             "--generation-database", "none"],
            cwd=lathe.dir, text=True)
        checks.equal("schemathesis finds nothing", r.returncode, 0)
        checks.equal("the service is still there", service.call("GET", "/api/v1/health")[0], 200)
        checks.lacks("no worker crashed", service.text(), "was ended by signal")
        r = lathe.run("verify")
        checks.equal(f"the home is whole: {r.stdout}", r.returncode, 0)
        checks.equal("exit code", service.stop(), 0)
checks.end()
