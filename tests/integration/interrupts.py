"""Stopping: Ctrl-C ends a run within about a second, says where, and a rerun goes on from what was finished; kill -9
leaves a home that works; two owners of one home are one too many."""

import gzip
import os
import signal
import time

from liblathe import DATA, SANITIZED, SLOWER, Checks, Lathe, finish, parse, wait_until

ADULT = os.path.join(DATA, "adult.csv.gz")
# each takes minutes when it is not stopped
LONG = {
    "random_forest": {"random_forest": {"trees": 100000}},
    "gbdt": {"gbdt": {"rounds": 100000}},
    "adaboost": {"adaboost": {"rounds": 100000}},
    "mlp": {"mlp": {"layers": [{"units": 512}, {"units": 512}], "epochs": 100000, "early_stopping": None}},
    "linear": {"linear": {"optimizer": "sgd", "epochs": 100000, "tolerance": 0}},
    "bagging": {"bagging": {"estimators": 10000, "base": {"mlp": {"layers": [{"units": 64}], "epochs": 100000}}}},
    "stacking": {"stacking": {"base": [{"random_forest": {"trees": 100000}}], "folds": 5}},
}


def document(candidates, **more):
    return {"lathe": 1, "name": "long", "seed": 1, "goal": {"task": "classification", "target": "income"},
            "prepare": {"source": {"csv": {"path": ADULT, "missing": ["?"], "limit": 20000}}, "profile": False,
                        "transforms": ["impute", "one_hot", "standardize"]},
            "train": {"candidates": candidates}, "deploy": {"endpoint": "long"}, **more}


def check_learners(checks):
    """One home for all: each run finds the quick candidate in the cache, and is stopped in the long one."""
    with Lathe() as lathe:
        for name, use in LONG.items():
            path = lathe.write("p.json", document({"quick": {"tree": {"max_leaves": 8}}, "long": use}))
            p = lathe.start_until("train/long", path, "--json")
            checks.that(f"{name}: it trains", p.poll() is None, "it does not")
            time.sleep(0.3)
            start = time.monotonic()
            p.send_signal(signal.SIGINT)
            code, out, stderr = finish(p)
            took = time.monotonic() - start
            checks.equal(f"{name}: exit code", code, 130)
            checks.that(f"{name}: within a second", took < 1.5 * SLOWER, took)
            checks.has(f"{name}: where", stderr, "stopped at train/long", "a rerun goes on from the finished steps")
            answer = parse(out)
            checks.equal(f"{name}: JSON", answer and (answer["status"], answer["error"]["code"]), ("cancelled", "cancelled"))
            record = parse(lathe.run("runs", "show", "latest", "--json").stdout)
            checks.equal(f"{name}: status", record["status"], "cancelled")
            if not SANITIZED:
                checks.lacks(f"{name}: it stopped by itself", record["reason"], "had to be ended")
            checks.lacks(f"{name}: no candidate is to blame", stderr, "failed:")
        code, answer, _ = lathe.pipeline(document({"quick": {"tree": {"max_leaves": 8}}}))
        checks.equal("rerun: exit code", code, 0)
        checks.equal("rerun: cached", answer["candidates"]["quick"].get("cached"), True)
        r = lathe.run("verify")
        checks.equal("verify", r.returncode, 0)


def check_terminal(checks):
    """A terminal sends SIGINT to the whole group: the worker too."""
    with Lathe() as lathe:
        path = lathe.write("p.json", document({"quick": {"tree": {}}, "long": LONG["gbdt"]}))
        p = lathe.start_until("train/long", path)
        start = time.monotonic()
        os.killpg(p.pid, signal.SIGINT)
        code, _, stderr = finish(p)
        checks.equal("group: exit code", code, 130)
        checks.that("group: within a second", time.monotonic() - start < 1.5 * SLOWER, time.monotonic() - start)
        checks.has("group: where", stderr, "stopped at train/long")
        p = lathe.start_until("train/long", path)
        p.send_signal(signal.SIGTERM)
        code, _, stderr = finish(p)
        checks.equal("SIGTERM: exit code", code, 130)
        # at the very beginning
        p = lathe.start("run", path)
        time.sleep(0.05 * SLOWER)
        p.send_signal(signal.SIGINT)
        code, _, stderr = finish(p)
        checks.that("early: exit code", code in (130, -signal.SIGINT), (code, stderr))
        r = lathe.run("verify")
        checks.equal("verify", r.returncode, 0)


def check_kill(checks):
    """kill -9 of the parent, of the worker, and of both."""
    with Lathe() as lathe:
        path = lathe.write("p.json", document({"quick": {"tree": {}}, "long": LONG["mlp"]}))
        for who in ("parent", "worker", "both"):
            p = lathe.start_until("train/long", path)
            if who == "parent":
                p.kill()
            elif who == "both":
                os.killpg(p.pid, signal.SIGKILL)
            else:
                for pid in group_of(p.pid):
                    os.kill(pid, signal.SIGKILL)
            code, _, stderr = finish(p)
            if who == "worker":
                checks.equal("worker killed: exit code", code, 1)
                checks.has("worker killed: told", stderr, "train/long")
            r = lathe.run("verify")
            checks.equal(f"{who} killed: verify", r.returncode, 0)
        wait_until(lambda: not any(group_of(p.pid)), 10)
        code, answer, stderr = lathe.pipeline(document({"quick": {"tree": {}}}))
        checks.equal("after kill -9: exit code", code, 0)
        if checks.that("after kill -9: JSON", isinstance(answer, dict), stderr):
            checks.equal("after kill -9: cached", answer["candidates"]["quick"].get("cached"), True)
        runs = parse(lathe.run("runs", "list", "--json").stdout)
        checks.equal("after kill -9: statuses", [run["status"] for run in runs],
                     ["succeeded", "interrupted", "failed", "interrupted"])
        left = os.listdir(os.path.join(lathe.home, "staging")) if os.path.isdir(os.path.join(lathe.home, "staging")) else []
        checks.equal("after kill -9: nothing staged is left", left, [])


def group_of(leader):
    """The other processes of a process group."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != leader:
            try:
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                if int(fields[2]) == leader and fields[0] != "Z":
                    found.append(int(entry))
            except OSError:
                pass
    return found


def check_owners(checks):
    """While a run owns the home, a second run and every other writer are refused in a sentence; readers are not."""
    with Lathe() as lathe:
        code, _, _ = lathe.pipeline(document({"quick": {"tree": {}}}))
        checks.equal("owner: first", code, 0)
        path = lathe.write("p.json", document({"long": LONG["gbdt"]}))
        p = lathe.start_until("train/long", path)
        for args in (["run", path], ["models", "promote", "long@1"], ["models", "rollback", "long"], ["gc"]):
            r = lathe.run(*args)
            checks.equal(f"owner: {args[0]}: exit code", r.returncode, 1)
            checks.has(f"owner: {args[0]}", r.stderr, lathe.home)
            checks.that(f"owner: {args[0]}: told who", "another" in r.stderr or str(p.pid) in r.stderr, r.stderr)
        for args in (["models", "list"], ["models", "show", "long"], ["runs", "list"], ["verify"],
                     ["predict", "long", lathe.write("row.csv", adult_rows(3))], ["validate", path],
                     ["backup", lathe.path("backup")]):
            r = lathe.run(*args)
            checks.equal(f"reader: {args[0]}", (r.returncode, r.stderr), (0, ""))
        p.send_signal(signal.SIGINT)
        code, _, _ = finish(p)
        checks.equal("owner: the run goes on until it is stopped", code, 130)
        r = lathe.run("models", "promote", "long@1")
        checks.equal("owner: free again", r.returncode, 0)


def adult_rows(n):
    with gzip.open(ADULT, "rt") as file:
        return "".join(next(file) for _ in range(n + 1))


def main():
    checks = Checks()
    check_learners(checks)
    check_terminal(checks)
    check_kill(checks)
    check_owners(checks)
    checks.end()


main()
