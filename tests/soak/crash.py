#!/usr/bin/env python3
"""kill -9 of the supervisor at random moments under registrations and promotions: crash.py [ROUNDS [SEED]], default 500.

One home through all rounds. In each, one client trains and registers through the control API, one promotes and rolls back,
one changes an endpoint's canary, one asks for predictions and tells their truth; the supervisor is killed at a random moment. Then, before anything else touches the home:
`lathe verify` finds no error, everything that was acknowledged is there (versions with their hashes, runs, labels, the alias and the
endpoint where the last acknowledged change put them, or where the one under way would), and nothing is torn. The next
supervisor starts at once on the same ports, although workers of the dead one may still be ending; a request is
answered by the version that the registry names; at the end no process is left over.
"""

import json
import os
import random
import socket
import sqlite3
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
os.environ.setdefault("LATHE_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
os.environ.setdefault("LATHE_BIN", os.path.join(os.environ["LATHE_SOURCE"], "build", "bin", "lathe"))

from liblathe import SLOWER, Checks, Lathe, is_alive, parse, wait_until  # noqa: E402
from libsoak import ONE, Service, constant, train  # noqa: E402

PROMOTIONS = 3  # versions that are promoted in turn


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Oracle:
    """What has been acknowledged; and of each kind, what is under way."""

    def __init__(self):
        self.versions = {}          # (model, version) → sha256
        self.runs = {}              # id → status
        self.alias = None           # last acknowledged version of "live"
        self.alias_asked = None     # under way; None: nothing is
        self.trial = (1, None)      # what endpoint "c" serves, and the version of its canary
        self.trial_asked = None
        self.labels = []            # the truth of those of this round; no two are alike
        self.label = 0              # the last one that was told
        self.labelled = 0           # of all rounds
        self.acknowledged, self.slowest_start = 0, 0.0


def promote(service, oracle, rng):
    while True:
        oracle.alias_asked = rng.randint(1, PROMOTIONS)
        status, body = service.api("POST", "/models/m/promote", {"version": oracle.alias_asked})
        if status == 200:
            oracle.alias = body["version"]
            oracle.alias_asked = None
            oracle.acknowledged += 1


def register(service, oracle, rng, folder):
    while True:
        status, body = service.api("POST", "/runs", constant("r", rng.randint(1, 9), folder, endpoint="r", when="always"))
        if status != 202:
            time.sleep(0.05)
        runs = service.api("GET", "/runs")[1]["runs"]
        for run in runs:
            if run["status"] == "succeeded":
                oracle.acknowledged += run["run"] not in oracle.runs
                oracle.runs[run["run"]] = "succeeded"
        status, versions = service.api("GET", "/models/r")
        for v in (versions if isinstance(versions, list) else versions.get("versions", [])) if status == 200 else []:
            oracle.acknowledged += (v["model"], v["version"]) not in oracle.versions
            oracle.versions[v["model"], v["version"]] = v["sha256"]


def try_versions(service, oracle, rng):
    """Canaries of endpoint "c": begun, promoted, rolled back."""
    while True:
        serves, canary = oracle.trial
        if canary is None:
            version = rng.choice([v for v in range(1, PROMOTIONS + 1) if v != serves])
            verb, body = "canary", {"version": version, "bake_seconds": 3600}
            oracle.trial_asked = (serves, version)
        else:
            verb, body = rng.choice(["promote", "rollback"]), {}
            oracle.trial_asked = (canary if verb == "promote" else serves, None)
        status, _ = service.api("POST", f"/endpoints/c/{verb}", body)
        if status == 200:
            oracle.trial, oracle.trial_asked = oracle.trial_asked, None
            oracle.acknowledged += 1


def label(service, oracle):
    """One or several at a time, each told once."""
    while True:
        told = []
        for _ in range(1 + oracle.label % 3):
            oracle.label += 1
            service.infer("POST", "/models/e/infer", dict(ONE, id=f"told-{oracle.label}"))
            told.append({"id": f"told-{oracle.label}", "label": oracle.label})
        status, body = service.api("POST", "/endpoints/e/labels", {"labels": told})
        if status == 200 and body["matched"] == len(told):
            oracle.labels += [t["label"] for t in told]
            oracle.acknowledged += len(told)


def check_labels(lathe, oracle, checks, number):
    if not oracle.labels:
        return
    with sqlite3.connect(os.path.join(lathe.home, "lathe.db")) as db:
        there = {truth for truth, in db.execute("SELECT truth FROM labels WHERE model = 'm'")}
    db.close()
    lost = [truth for truth in oracle.labels if truth not in there]
    checks.that(f"round {number}: labels", not lost, f"{len(lost)} of {len(oracle.labels)} are lost: {lost[:5]}")
    oracle.labelled += len(oracle.labels)
    oracle.labels = []


def until_death(service, what, *args):
    """A client that goes on until the service is gone."""
    def loop():
        try:
            what(service, *args)
        except (OSError, ValueError, EOFError, __import__("http.client").client.HTTPException):
            pass  # the supervisor is dead
    thread = threading.Thread(target=loop)
    thread.start()
    return thread


def check_home(lathe, oracle, checks, number):
    r = lathe.run("verify", "--json")
    checks.that(f"round {number}: verify", r.returncode == 0, r.stdout + r.stderr)
    check_labels(lathe, oracle, checks, number)
    for model in {m for m, _ in oracle.versions}:
        there = {v["version"]: v["sha256"] for v in parse(lathe.run("models", "list", model, "--json").stdout) or []}
        for (m, version), sha256 in oracle.versions.items():
            if m == model:
                checks.equal(f"round {number}: {m}@{version}", there.get(version), sha256)
        checks.equal(f"round {number}: no gap", sorted(there), list(range(1, len(there) + 1)))
    live = (parse(lathe.run("models", "show", "m@live", "--json").stdout) or {}).get("version")
    checks.that(f"round {number}: where the alias is", live in (oracle.alias, oracle.alias_asked),
                f"{live}; acknowledged {oracle.alias}, asked {oracle.alias_asked}")
    oracle.alias, oracle.alias_asked = live, None
    shown = parse(lathe.run("endpoints", "show", "c", "--json").stdout) or {}
    trial = shown.get("version"), shown.get("canary", {}).get("version")
    checks.that(f"round {number}: the canary", trial in (oracle.trial, oracle.trial_asked),
                f"{trial}; acknowledged {oracle.trial}, asked {oracle.trial_asked}")
    oracle.trial, oracle.trial_asked = trial, None
    runs = {r["run"]: r["status"] for r in parse(lathe.run("runs", "list", "--json").stdout) or []}
    for run, status in list(oracle.runs.items())[-20:]:
        if run in runs:
            checks.equal(f"round {number}: run {run}", runs[run], status)


def play(lathe, oracle, checks, number, rng, ports, config):
    begin = time.monotonic()
    service = Service(lathe, workers=2, ports=ports, config=config, wait=False)
    # half of the moments are in the first 150 ms, in the middle of the start
    moment = rng.uniform(0, 0.15) if rng.random() < 0.3 else rng.uniform(0.15, 0.9)
    threads, workers = [], []
    if moment > 0.15:
        service.wait(30)
        started = time.monotonic() - begin
        answered = service.infer("POST", "/models/e/infer", ONE)
        checks.that(f"round {number}: served is what the registry says",
                    answered[0] == 200 and answered[1]["model_version"] == str(oracle.alias) and
                    answered[1]["outputs"][0]["data"] == [float(oracle.alias)], (answered, oracle.alias))
        oracle.slowest_start = max(oracle.slowest_start, started)
        threads = [until_death(service, promote, oracle, rng), until_death(service, try_versions, oracle, rng),
                   until_death(service, register, oracle, rng, lathe.dir), until_death(service, label, oracle)]
    time.sleep(moment * SLOWER)
    workers = service.workers()
    service.kill()
    for t in threads:
        t.join()
    return workers


def main(rounds, seed=0):
    seed = seed or int(time.time())
    checks, rng, oracle = Checks(), random.Random(seed), Oracle()
    begin, left = time.monotonic(), []
    with Lathe() as lathe:
        for value in range(1, PROMOTIONS + 1):
            model = train(lathe, constant("m", value, lathe.dir, endpoint="e", when="always"))
            oracle.versions["m", model["version"]] = model["sha256"]
            oracle.alias = model["version"]
        for value in range(1, 10):
            constant("r", value, lathe.dir)
        checks.equal("an endpoint", lathe.run("endpoints", "set", "c", "m@1").returncode, 0)
        ports = free_port(), free_port()
        config = {"data_roots": [lathe.dir], "runs": {"threads": 1}}
        for number in range(rounds):
            left += play(lathe, oracle, checks, number, rng, ports, config)
            check_home(lathe, oracle, checks, number)
            if checks.failed > 10:
                break
        gone = wait_until(lambda: not any(is_alive(pid) for pid in left), 10)
        checks.that("no process of a dead supervisor is left", gone, [pid for pid in left if is_alive(pid)])
        with Service(lathe, workers=1, ports=ports, config=config) as service:
            checks.equal("the last start", service.stop(), 0)
        checks.that("labels were acknowledged", rounds < 20 or oracle.labelled > 0)
        versions = len(oracle.versions)
    print(f"{rounds} rounds in {time.monotonic() - begin:.0f} s (seed {seed}): {oracle.acknowledged} acknowledged changes, "
          f"{versions} versions, {len(oracle.runs)} runs, {oracle.labelled} labels; slowest start {oracle.slowest_start * 1e3:.0f} ms")
    checks.end()


if __name__ == "__main__":
    main(*([int(a) for a in sys.argv[1:]] or [500]))
