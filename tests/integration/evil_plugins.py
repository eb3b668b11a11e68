"""Plugins that break every rule, through the real program: each is named with what it did, the exit code is right, the
other candidates go on where the process lives, and nothing that was finished is lost."""

import json
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from liblathe import BIN, FIXTURES, SLOWER, Checks, Lathe, ModelFile, finish, is_alive, parse, wait_until

ROWS = "x,y\n" + "".join(f"{i},{i % 7}\n" for i in range(100))
STEPS = {"tree": "tree"}  # a candidate that is finished before the bad one


def document(data, candidates, **more):
    return {"lathe": 1, "name": "evil", "seed": 1, "goal": {"task": "regression", "target": "y"},
            "prepare": {"source": {"csv": {"path": data}}, "profile": False}, "train": {"candidates": candidates},
            "deploy": {"endpoint": "evil"}, **more}


# ---- found at the scan ----

SCANNED = [
    ("bad_magic", "magic"),
    ("crash_entry", "segmentation fault"),
    ("exit_entry", "exit code 3"),
    ("future_major", "built for plugin ABI 7"),
    ("hang_entry", "seconds"),
    ("missing_function", "lacks the function backward()"),
    ("newer_minor", "needs plugin ABI 1.900"),
    ("no_entry", "exports no lathe_plugin_entry()"),
    ("null_strings", "version"),
    ("params_out_of_bounds", "outside of its struct"),
    ("wild_params", "cannot be used"),
    ("wrong_struct_size", "use a newer Lathe"),
]


def check_scan(checks):
    with Lathe(plugins=[name for name, _ in SCANNED] + ["prints", "twin_a"]) as lathe:
        for name in ("empty", "text"):
            lathe.write(f"plugins/{name}.so", "" if name == "empty" else "no shared object\n")
        os.makedirs(lathe.path("plugins", "folder.so"))
        r = lathe.run("plugins", "list")
        checks.equal("scan: exit code", r.returncode, 0)
        lines = [line for line in r.stdout.splitlines() if "cannot be used" in line]
        for name, says in SCANNED + [("empty", "cannot be used"), ("text", "cannot be used")]:
            found = [line for line in lines if f"/{name}.so" in line]
            if checks.equal(f"scan: {name} is told once", len(found), 1):
                checks.has(f"scan: {name}", found[0], says)
        for good in ("prints", "twin", "relu", "gbdt"):
            checks.has("scan: the good ones are there", r.stdout, f"  {good} ")
        start = time.monotonic()
        again = lathe.run("plugins", "list")
        checks.equal("scan: the verdicts are kept", again.stdout, r.stdout)
        checks.that("scan: the hanging one is left alone", time.monotonic() - start < 3 * SLOWER, "it was not")
        # a document that wants one of them is told why it is not there; the others work
        data = lathe.write("data.csv", ROWS)
        path = lathe.write("p.json", document(data, {"net": {"mlp": {"activation": "future"}}}))
        r = lathe.run("validate", path)
        checks.equal("scan: a refused plugin is used: exit code", r.returncode, 2)
        checks.has("scan: a refused plugin is used", r.stderr, '"future"')
        code, _, stderr = lathe.pipeline(document(data, {"net": {"mlp": {"activation": "prints", "epochs": 1}}}))
        checks.equal("scan: a good neighbour works", (code, "failed" in stderr), (0, False))


# ---- found in a run ----

# plugin, what it does, what the candidate's error says: the run goes on
SURVIVED = [
    ("rogue", "overrun_output", ["org.test.rogue wrote 12 bytes past the end of the predictions"]),
    ("rogue", "underrun_output", ["org.test.rogue wrote 12 bytes before the begin of the predictions"]),
    ("rogue", "overrun_scratch", ["org.test.rogue wrote", "past the end of its scratch memory"]),
    ("rogue", "overrun_block", ["org.test.rogue wrote 5 bytes past the end of a block of its own"]),
    ("rogue", "nan_output", ["org.test.rogue gave NaN", "prediction of row"]),
    ("rogue", "unwritten_output", ["org.test.rogue gave NaN (or nothing)"]),
    ("rogue", "unknown_code", ["fit() of org.test.rogue gave the unknown code 4711", "something else"]),
    ("rogue", "garbage_message", ["?"]),
    ("rogue", "silent_failure", ["fit() of org.test.rogue failed without a message (numeric)"]),
    ("rogue", "lie_output", ["org.test.rogue declares an output that cannot be"]),
    ("rogue", "bad_state_name", ['"Bad Name" is no name']),
    ("rogue", "no_instance", ["create() succeeded but gave no instance"]),
]

# the candidate's result is good all the same; what is told meanwhile
TOLERATED = [
    ("rogue", "print", ['a plugin printed: {"event":"succeeded"}']),
    ("rogue", "leak", ["org.test.rogue leaked 1 block of 8 bytes"]),
    ("rogue", "foreign_free", ["org.test.rogue freed memory that it did not allocate"]),
    ("villain", "none", []),
    ("villain", "chatter", []),
    ("villain", "wander", []),
]

# the end of the run: error text
FATAL = [
    ("rogue", "crash_fit", ["plugin org.test.rogue crashed in fit() (segmentation fault", "rogue.so", "train/bad"]),
    ("rogue", "crash_predict", ["plugin org.test.rogue crashed in predict() (segmentation fault", "train/bad"]),
    ("rogue", "crash_load", ["plugin org.test.rogue crashed in load() (segmentation fault"]),
    ("rogue", "crash_thread", ["plugin org.test.rogue crashed in", "segmentation fault", "rogue.so", "train/bad"]),
    ("rogue", "exit_fit", ["ended with code 5", "org.test.rogue fit train/bad"]),
    ("villain", "abort", ["plugin org.test.villain crashed in fit() (abort)", "train/bad"]),
    ("villain", "trap", ["plugin org.test.villain crashed in fit() (trap)", "train/bad"]),
    ("villain", "overflow", ["plugin org.test.villain crashed in fit() (segmentation fault", "train/bad"]),
    ("villain", "scribble", [""]),
    ("villain", "shout", ["train/bad", "what is no event"]),
    ("villain", "mute", ["train/bad", "closed the pipe of its events"]),
    ("rogue", "lie_state", ["org.test.rogue", '"n_features" is -7', "not deployed"]),
    ("rogue", "missing_state", ["org.test.rogue", 'no list of texts "words"', "not deployed"]),
    ("villain", "forget", ["gives other predictions", '"bad"', "not deployed"]),
    ("villain", "alone", ["alone otherwise than among others", '"bad"', "not deployed"]),
]


def bad(plugin, what):
    return {plugin: {"fault" if plugin == "rogue" else "harm": what}}


def run_bad(checks, plugin, what, kind, says):
    name = f"{plugin}, {what}"
    with Lathe(plugins=[plugin]) as lathe:
        data = lathe.write("data.csv", ROWS)
        code, answer, stderr = lathe.pipeline(document(data, {**STEPS, "bad": bad(plugin, what)}))
        checks.equal(f"{name}: exit code", code, 1 if kind == "fatal" else 0)
        if not checks.that(f"{name}: JSON", isinstance(answer, dict), stderr):
            return
        if kind == "fatal":
            text = answer["error"]["where"] + ": " + answer["error"]["message"]
            checks.has(name, text, *says)
            checks.has(f"{name}: stderr", stderr, *says)
            record = parse(lathe.run("runs", "show", "latest", "--json").stdout)
            checks.equal(f"{name}: record", record["status"], "failed")
            checks.has(f"{name}: recorded reason", record["reason"], *says[-1:] if "train/bad" not in says else [])
            checks.equal(f"{name}: no model", parse(lathe.run("models", "list", "--json").stdout), [])
        elif kind == "survived":
            checks.has(name, answer["candidates"]["bad"].get("error", ""), *says)
            checks.equal(f"{name}: selected", answer["selected"], "tree")
            checks.has(f"{name}: stderr", stderr, 'candidate "bad" failed')
        else:
            checks.lacks(name, stderr, 'candidate "bad" failed')
            checks.has(f"{name}: stderr", stderr, *says)
        check_left(checks, name, lathe, data)


def check_left(checks, name, lathe, data):
    """Nothing is lost: the store is sound, and what was finished before is taken from the cache."""
    r = lathe.run("verify")
    checks.equal(f"{name}: verify", (r.returncode, r.stdout.splitlines()[-1:]),
                 (0, [line for line in r.stdout.splitlines() if line.endswith(": 0 errors")][-1:]))
    code, answer, stderr = lathe.pipeline(document(data, STEPS))
    checks.equal(f"{name}: a rerun without it: exit code", code, 0)
    if checks.that(f"{name}: a rerun without it", isinstance(answer, dict), stderr):
        checks.equal(f"{name}: the finished candidate is cached", answer["candidates"]["tree"].get("cached"), True)
        checks.equal(f"{name}: deployed", answer["model"].get("endpoint"), "evil")


def check_daemon(checks):
    """A process that a plugin leaves behind holds the worker's pipes; the run ends all the same."""
    with Lathe(plugins=["villain"]) as lathe:
        data = lathe.write("data.csv", ROWS)
        path = lathe.write("p.json", document(data, {"bad": bad("villain", "daemon")}))
        start = time.monotonic()
        with open(lathe.path("out"), "w") as out, open(lathe.path("err"), "w") as err:
            p = subprocess.Popen([BIN, "run", path], env=lathe.env, stdout=out, stderr=err, start_new_session=True)
            try:
                code = p.wait(timeout=30 * SLOWER)
            except subprocess.TimeoutExpired:
                code = None
        checks.equal("daemon: exit code", code, 0)
        checks.that("daemon: time", time.monotonic() - start < 10 * SLOWER, time.monotonic() - start)
        os.killpg(p.pid, signal.SIGKILL)


def check_deaf(checks):
    """A plugin in an endless loop: an interrupt ends the run within about a second; a second one at once."""
    with Lathe(plugins=["villain", "rogue"]) as lathe:
        data = lathe.write("data.csv", ROWS)
        for plugin, what in (("villain", "loop"), ("rogue", "hang_fit")):
            name = f"{plugin}, {what}"
            path = lathe.write("p.json", document(data, {**STEPS, "bad": bad(plugin, what)}))
            p = lathe.start_until("train/bad", path)
            start = time.monotonic()
            p.send_signal(signal.SIGINT)
            code, _, stderr = finish(p)
            took = time.monotonic() - start
            checks.equal(f"{name}: exit code", code, 130)
            checks.that(f"{name}: within a second", took < 1.5 * SLOWER, took)
            checks.has(f"{name}: where", stderr, "stopped at train/bad")
            record = parse(lathe.run("runs", "show", "latest", "--json").stdout)
            checks.equal(f"{name}: status", record["status"], "cancelled")
            checks.has(f"{name}: reason", record["reason"], f"org.test.{plugin} fit train/bad")
        check_left(checks, "deaf", lathe, data)


def check_orphan(checks):
    """The parent is killed while a deaf plugin runs: the worker does not live on."""
    with Lathe(plugins=["villain"]) as lathe:
        data = lathe.write("data.csv", ROWS)
        path = lathe.write("p.json", document(data, {**STEPS, "bad": bad("villain", "loop")}))
        p = lathe.start_until("train/bad", path)
        worker = worker_of(p.pid)
        checks.that("orphan: there is a worker", worker, "none")
        p.kill()
        p.wait()
        checks.that("orphan: the worker ends", wait_until(lambda: not is_alive(worker), 10), "it lives")
        p.stdout.close()
        p.stderr.close()
        r = lathe.run("runs", "list")
        check_left(checks, "orphan", lathe, data)
        r = lathe.run("runs", "list", "--json")
        checks.equal("orphan: status", [run["status"] for run in parse(r.stdout)], ["succeeded", "interrupted"])


def worker_of(pid):
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except (OSError, IndexError):
            continue
        if int(fields[1]) == pid and words[1:3] == [b"worker", b"run"]:
            return int(entry)
    return 0


def check_parent_killed_by_plugin(checks):
    with Lathe(plugins=["villain"]) as lathe:
        data = lathe.write("data.csv", ROWS)
        code, answer, stderr = lathe.pipeline(document(data, {**STEPS, "bad": bad("villain", "kill_parent")}))
        checks.equal("kill_parent: exit code", code, 130)
        ended = "train/bad              finished" in stderr  # the step may end before the signal is seen
        checks.has("kill_parent", stderr, "stopped at train/" + ("" if ended else "bad"))
        check_left(checks, "kill_parent", lathe, data)


def check_checkers(checks):
    """check_config runs in a worker: what it refuses is a fault of the document, and so is its crash."""
    with Lathe(plugins=["villain"]) as lathe:
        data = lathe.write("data.csv", ROWS)
        for check, says in (("refuse", "these seconds do not go with that harm"), ("crash", "villain.so"),
                            ("silent", "do not go together"), ("hang", "no answer within")):
            path = lathe.write("p.json", document(data, {"bad": {"villain": {"check": check, "seconds": 3}}}))
            r = lathe.run("validate", path)
            checks.equal(f"check_config, {check}: exit code", r.returncode, 2)
            checks.has(f"check_config, {check}", r.stderr, path, says)
            if check != "hang":
                r = lathe.run("run", path)
                checks.equal(f"check_config, {check}: run", r.returncode, 2)
        checks.that("check_config: no run", not os.path.exists(os.path.join(lathe.home, "lathe.db")), "one is stored")


def check_changed(checks):
    """The plugin file changes between two runs: the candidates it made are made anew, the others are not."""
    with Lathe(plugins=["rogue"]) as lathe:
        data = lathe.write("data.csv", ROWS)
        pipeline = document(data, {**STEPS, "bad": bad("rogue", "none")})
        lathe.pipeline(pipeline)
        code, answer, _ = lathe.pipeline(pipeline)
        checks.equal("changed: both cached", [answer["candidates"][n].get("cached") for n in ("tree", "bad")], [True, True])
        with open(lathe.path("plugins", "rogue.so"), "ab") as file:
            file.write(b"\0" * 64)
        code, answer, _ = lathe.pipeline(pipeline)
        checks.equal("changed: exit code", code, 0)
        checks.equal("changed: one cached", [answer["candidates"][n].get("cached") for n in ("tree", "bad")], [True, None])
        # gone: the document has a fault; the stored model names what it needs
        lathe.pipeline(document(data, {"bad": bad("rogue", "none")}))
        shutil.rmtree(lathe.path("plugins"))
        r = lathe.run("run", lathe.path("pipeline.json"))
        checks.equal("gone: exit code", r.returncode, 2)
        checks.has("gone", r.stderr, '"rogue"')
        r = lathe.run("predict", "evil", data)
        checks.equal("gone, predict: exit code", r.returncode, 1)
        checks.has("gone, predict", r.stderr, "org.test.rogue")
        r = lathe.run("models", "verify", "evil")
        checks.equal("gone, models verify needs no plugin", r.returncode, 0)


def check_predict(checks):
    """A model whose plugin goes wrong when it is used: `predict` names it, and writes no file."""
    with Lathe(plugins=["rogue"]) as lathe:
        data = lathe.write("data.csv", ROWS)
        code, answer, stderr = lathe.pipeline(document(data, {"bad": bad("rogue", "none")}))
        if not checks.equal("predict: trained", code, 0):
            return
        with open(answer["model"]["file"], "rb") as file:
            good = ModelFile(file.read())
        for what, says in (("crash_load", "plugin org.test.rogue crashed in load() (segmentation fault"),
                           ("crash_predict", "plugin org.test.rogue crashed in predict() (segmentation fault"),
                           ("nan_output", "org.test.rogue gave NaN"),
                           ("overrun_output", "org.test.rogue wrote 12 bytes past the end of the predictions"),
                           ("lie_output", "org.test.rogue declares an output that cannot be")):
            model = good.copy()
            model.change("node:learner", lambda t, w=what: t.update(config=json.dumps(
                {"org.test.rogue": {"fault": w, "inner": None}})))
            path, out = lathe.write("bad.lathe", model.bytes()), lathe.path("out.csv")
            r = lathe.run("predict", path, data, "-o", out)
            checks.equal(f"predict, {what}: exit code", r.returncode, 1)
            checks.has(f"predict, {what}", r.stderr, says)
            checks.that(f"predict, {what}: no output", not os.path.exists(out), "there is one")
            checks.equal(f"predict, {what}: verify needs no plugin", lathe.run("models", "verify", path).returncode, 0)
        left = [name for name in os.listdir(lathe.dir) if name.startswith("out.csv")]
        checks.equal("predict: nothing is left behind", left, [])


def main():
    checks = Checks()
    assert FIXTURES, "LATHE_FIXTURE_PLUGINS is not set"
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(check, checks) for check in (
            check_scan, check_checkers, check_daemon, check_deaf, check_orphan, check_parent_killed_by_plugin,
            check_changed, check_predict)]
        jobs += [pool.submit(run_bad, checks, plugin, what, kind, says)
                 for kind, cases in (("survived", SURVIVED), ("tolerated", TOLERATED), ("fatal", FATAL))
                 for plugin, what, says in cases]
        for job in jobs:
            job.result()
    checks.end()


main()
