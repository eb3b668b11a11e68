"""Wide, long and odd input that once took minutes, hung or was lost without a word: very many categories and columns,
files that never end, an output that cannot be written, a learner that bears one call at a time inside another."""

import os
import subprocess
import time

from liblathe import BIN, SLOWER, Checks, Lathe

ROWS = "".join(f"{i},{'abc'[i % 3]},{'yes' if i * 7 % 13 < 6 else 'no'}\n" for i in range(200))
SMALL = "x,c,y\n" + ROWS


def document(path="d.csv", candidates=None, transforms=(), **goal):
    return {"lathe": 1, "name": "limits", "seed": 1,
            "goal": dict({"task": "classification", "target": "y"}, **goal),
            "prepare": {"source": {"csv": {"path": path}}, "transforms": list(transforms)},
            "train": {"candidates": candidates or {"tree": {"tree": {"min_rows": 2}}}},
            "deploy": {"endpoint": "limits"}}


def many_categories(checks):
    with Lathe() as lathe:
        n = 50000
        lathe.write("d.csv", "c,y\n" + "".join(f"k{i},{'yes' if i * 7 % 13 < 6 else 'no'}\n" for i in range(n)))
        start = time.monotonic()
        code, _, err = lathe.pipeline(document())
        seconds = time.monotonic() - start
        checks.equal(f"{n} categories", (code, err if code else ""), (0, ""))
        # each row alone is recoded once, not once a value of the dictionary: seconds, where it was a minute
        checks.that("time of the categories", seconds < 20 * SLOWER, seconds)
        lathe.write("d.csv", "c,y\n" + "".join(f"k{i},{i % 2}\n" for i in range(1000000)))
        code, _, err = lathe.pipeline(document(transforms=["one_hot"]))
        checks.equal("one_hot of a million categories", code, 1)
        checks.has("one_hot of a million categories", err, "/prepare/transforms/0", "GB of memory", "fewer columns")


def many_columns(checks):
    with Lathe() as lathe:
        p = 4000
        lathe.write("d.csv", ",".join(f"x{i}" for i in range(p)) + ",y\n" + "".join(
            ",".join(str(i * j % 17) for j in range(p)) + f",{'yes' if i % 3 else 'no'}\n" for i in range(40)))
        code, result, err = lathe.pipeline(document())
        checks.equal(f"{p} columns", (code, err if code else ""), (0, ""))


def endless_files(checks):
    with Lathe() as lathe:
        os.mkfifo(lathe.path("pipe"))
        os.mkdir(lathe.path("folder"))
        for path, what in (("/dev/zero", "device"), ("pipe", "pipe"), ("folder", "a folder")):
            code, _, err = lathe.pipeline(document(path), timeout=20)
            checks.equal(f"{path}: exit code", code, 2)
            checks.has(path, err, "/prepare/source/csv/path", what, "expected a regular file")


def full_output(checks):
    with Lathe() as lathe:
        lathe.write("d.csv", SMALL)
        pipeline = lathe.write("p.json", document())
        cases = [["schema"], ["plugins", "list"], ["run", pipeline, "--json"], ["run", pipeline], ["models", "list"],
                 ["predict", "limits", lathe.path("d.csv")]]
        for args in cases:
            with open("/dev/full", "w") as full:
                r = subprocess.run([BIN, *args], stdout=full, stderr=subprocess.PIPE, env=lathe.env, timeout=60 * SLOWER)
            text = r.stderr.decode()
            checks.equal(f"{args[0]}, output lost: exit code", r.returncode, 1)
            checks.has(f"{args[0]}, output lost", text, "written")
        r = subprocess.run(["bash", "-c", '"$0" schema | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}', BIN],
                           stderr=subprocess.PIPE, env=lathe.env, timeout=60 * SLOWER)
        checks.lacks("a reader that leaves", r.stderr.decode(), "No space")


def alone(checks):
    """The same learner as it is, inside the adapter (missing values) and inside ensembles, with four threads."""
    with Lathe(plugins=["loner"]) as lathe:
        lathe.write("d.csv", "x,y\n" + "".join(f"{i % 100 if i % 10 else ''},{i % 7}\n" for i in range(20000)))
        candidates = {"plain": "loner", "bagged": {"bagging": {"base": "loner", "estimators": 3}},
                      "nested": {"voting": {"base": ["loner", {"bagging": {"base": "loner", "estimators": 2}}]}}}
        code, result, err = lathe.pipeline(document(candidates=candidates, task="regression"), "--threads", "4")
        checks.equal("one call at a time: exit code", (code, err if code else ""), (0, ""))
        checks.lacks("one call at a time", err, "two threads")
        for name in candidates:
            checks.that(name, result and "validation" in result["candidates"][name], result)


def main():
    checks = Checks()
    for part in (many_categories, many_columns, endless_files, full_output, alone):
        part(checks)
    checks.end()


main()
