"""From a document to a served version, through every verb of the command line, on real data."""

import csv
import hashlib
import io
import json
import math
import os
import shutil
import struct

from liblathe import DATA, Checks, Lathe, finish, parse

PENGUINS = {
    "lathe": 1, "name": "penguins", "seed": 3, "params": {"rounds": 15},
    "goal": {"task": "classification", "target": "species", "metric": "accuracy", "metrics": ["log_loss"],
             "require": {"accuracy": ">= 0.9", "model_mb": "<= 5", "latency_p99_ms": "<= 1000"}},
    "prepare": {"source": {"csv": {"path": os.path.join(DATA, "penguins.csv")}},
                "split": {"stratified": {"test": 0.2, "validation": 0.2}}},
    "train": {"candidates": {
        "tree": {"tree": {"min_rows": 5}},
        "boosted": {"gbdt": {"rounds": "${rounds}"}},
        "stack": {"stacking": {"base": [{"candidate": "tree"}, {"linear": {}}], "folds": 3}}}},
    "deploy": {"endpoint": "penguins", "when": "goal_met"},
}

ADULT = {
    "lathe": 1, "name": "adult", "seed": 5,
    "goal": {"task": "classification", "target": "income", "positive": ">50K", "metric": "auc",
             "require": {"auc": ">= 0.85"}},
    "prepare": {"source": {"csv": {"path": os.path.join(DATA, "adult.csv.gz"), "missing": ["?"], "limit": 4000}},
                "transforms": ["drop_duplicates", {"impute": {"columns": "numeric", "marker": True}}]},
    "train": {"candidates": {"boosted": {"gbdt": {"rounds": 15}}, "logistic": "linear"}},
    "deploy": {"endpoint": "income"},
    "monitor": {"drift": [{"psi": {"threshold": 0.2}}, "ks"], "window": 500,
                "replay": {"csv": {"path": os.path.join(DATA, "adult.csv.gz"), "missing": ["?"], "skip": 40000,
                                   "limit": 1600}}},
}


def check_result(checks, name, answer, document):
    """The object of `lathe run --json`."""
    checks.equal(f"{name}: status", answer["status"], "succeeded")
    names = set(document["train"]["candidates"]) | {"baseline"}
    checks.equal(f"{name}: candidates", set(answer["candidates"]), names)
    checks.that(f"{name}: selected", answer["selected"] in document["train"]["candidates"], answer["selected"])
    metric = document["goal"]["metric"]
    best = max(c["validation"][metric] for c in answer["candidates"].values())
    checks.equal(f"{name}: the best is selected", answer["candidates"][answer["selected"]]["validation"][metric], best)
    for c in answer["candidates"].values():
        checks.that(f"{name}: seconds", c["seconds"] >= 0, c)
        checks.that(f"{name}: test", 0 <= c["test"][metric] <= 1, c)
    checks.equal(f"{name}: goal", answer["goal"]["met"], True)
    for item in answer["goal"]["checks"]:
        checks.that(f"{name}: a check", item["met"] is True and item["value"] >= 0 and
                    item["require"] == document["goal"]["require"][item["metric"]], item)
    model = answer["model"]
    with open(model["file"], "rb") as file:
        raw = file.read()
    checks.equal(f"{name}: the file is its digest", hashlib.sha256(raw).hexdigest(), model["sha256"])
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + size])
    checks.equal(f"{name}: a safetensors file", max([e["data_offsets"][1] for k, e in header.items() if k != "__metadata__"]),
                 len(raw) - 8 - size)
    for tensor, entry in header.items():
        if tensor != "__metadata__" and not tensor.startswith("pad."):
            checks.equal(f"{name}: {tensor} is aligned", (8 + size + entry["data_offsets"][0]) % 64, 0)
    with open(answer["report"], encoding="utf-8") as file:
        page = file.read()
    checks.has(f"{name}: report", page, "<html", answer["selected"])
    checks.lacks(f"{name}: the report is one page of its own", page, 'src="http')


def check_cache(checks, lathe, document, first):
    """A rerun takes every candidate from the cache and makes the same file; an edit redoes what it touches."""
    code, again, _ = lathe.pipeline(document)
    checks.equal("rerun: exit code", code, 0)
    checks.equal("rerun: cached", [c.get("cached") for c in again["candidates"].values()], [True] * len(again["candidates"]))
    checks.equal("rerun: the same model", (again["model"]["sha256"], again["model"]["version"]),
                 (first["model"]["sha256"], first["model"]["version"]))
    checks.equal("rerun: the same scores", {n: (c["validation"], c["test"]) for n, c in again["candidates"].items()},
                 {n: (c["validation"], c["test"]) for n, c in first["candidates"].items()})
    code, other, _ = lathe.pipeline(document, "--set", "rounds=20")
    checks.equal("--set: exit code", code, 0)
    checks.equal("--set: what is cached", {n for n, c in other["candidates"].items() if c.get("cached")},
                 {"tree", "stack", "baseline"})
    code, other, _ = lathe.pipeline({**document, "seed": 4})
    checks.equal("another seed: nothing is cached", [c.get("cached") for c in other["candidates"].values()],
                 [None] * len(other["candidates"]))
    more = json.loads(json.dumps(document))
    more["train"]["candidates"]["another"] = "linear"
    code, other, _ = lathe.pipeline(more)
    checks.equal("one candidate more: only it is made",
                 {n for n, c in other["candidates"].items() if not c.get("cached")}, {"another"})


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def check_predict(checks, lathe, source):
    r = lathe.run("predict", "penguins@live", source)
    checks.equal("predict: exit code", (r.returncode, r.stderr), (0, ""))
    rows, truth = table(r.stdout), table(open(source, encoding="utf-8").read())
    checks.equal("predict: rows", len(rows), len(truth))
    classes = ["Adelie", "Chinstrap", "Gentoo"]
    checks.equal("predict: header", r.stdout.splitlines()[0], "prediction," + ",".join(f"probability_{c}" for c in classes))
    for row in rows:
        p = [float(row[f"probability_{c}"]) for c in classes]
        checks.that("predict: probabilities", abs(sum(p) - 1) < 1e-5 and min(p) >= 0, row)
        checks.equal("predict: the likeliest", row["prediction"], classes[p.index(max(p))])
    right = sum(row["prediction"] == t["species"] for row, t in zip(rows, truth)) / len(rows)
    checks.that("predict: right", right > 0.95, right)
    out = lathe.path("out.csv")
    r2 = lathe.run("predict", "penguins@1", source, "-o", out)
    checks.equal("predict -o: exit code", (r2.returncode, r2.stdout), (0, ""))
    checks.equal("predict -o", open(out, encoding="utf-8").read(), r.stdout)
    r2 = lathe.run("predict", "penguins@1", source, "-o", out)
    checks.equal("predict -o over a file", (r2.returncode, open(out, encoding="utf-8").read()), (0, r.stdout))
    os.mkfifo(lathe.path("pipe"))
    p = lathe.start("predict", "penguins@1", source, "-o", lathe.path("pipe"))
    with open(lathe.path("pipe"), encoding="utf-8") as pipe:
        checks.equal("predict -o into a pipe", pipe.read(), r.stdout)
    checks.equal("predict -o into a pipe: exit code", finish(p)[0], 0)
    checks.equal("predict: nothing is left behind", [n for n in os.listdir(lathe.dir) if n.endswith(".tmp")], [])
    # without the target, with columns in another order, and one more
    names = [n for n in truth[0] if n != "species"][::-1] + ["more"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in truth:
        writer.writerow({**row, "more": "x"})
    r3 = lathe.run("predict", "penguins@live", lathe.write("turned.csv", text.getvalue()))
    checks.equal("predict: columns in another order", r3.stdout, r.stdout)
    return r.stdout


def check_models(checks, lathe, source, predicted):
    listed = parse(lathe.run("models", "list", "--json").stdout)
    checks.equal("models list", [m["name"] for m in listed], ["penguins"])
    versions = parse(lathe.run("models", "list", "penguins", "--json").stdout)
    checks.that("models list penguins", len(versions) >= 2, versions)
    shown = parse(lathe.run("models", "show", "penguins@1", "--json").stdout)
    checks.equal("models show", (shown["version"], shown["model"]), (1, "penguins"))
    checks.has("models show: plugins", json.dumps(shown["plugins"]), "lathe.")
    checks.equal("models show: schema", [c["name"] for c in shown["schema"]][:2], ["island", "bill_length_mm"])

    def live():
        return next(v["version"] for v in parse(lathe.run("models", "list", "penguins", "--json").stdout)
                    if "live" in v["aliases"])

    before = live()
    other = 1 if before != 1 else 2
    r = lathe.run("models", "promote", f"penguins@{other}", "--reason", "a test")
    checks.equal("promote", (r.returncode, live()), (0, other))
    r = lathe.run("models", "rollback", "penguins")
    checks.equal("rollback", (r.returncode, live()), (0, before))
    r = lathe.run("models", "promote", "penguins@1", "--alias", "spare")
    checks.equal("another alias", (r.returncode, live()), (0, before))
    r = lathe.run("predict", "penguins@spare", source)
    checks.equal("predict by alias", r.stdout, lathe.run("predict", "penguins@1", source).stdout)
    path = lathe.path("exported.lathe")
    r = lathe.run("models", "export", "penguins@1", "-o", path)
    checks.equal("export", r.returncode, 0)
    checks.equal("export: the same bytes", hashlib.sha256(open(path, "rb").read()).hexdigest(), shown["sha256"])
    r = lathe.run("models", "export", "penguins@1", "-o", path)
    checks.equal("export does not overwrite", r.returncode, 1)
    r = lathe.run("models", "verify", "penguins@1")
    checks.equal("verify", (r.returncode, "intact" in r.stdout), (0, True))
    with Lathe() as elsewhere:
        r = elsewhere.run("predict", path, source)
        checks.equal("an exported file predicts in another home", r.stdout, lathe.run("predict", "penguins@1", source).stdout)
    for args, says in ((["models", "show", "pinguins"], 'penguins'), (["models", "show", "penguins@99"], "99"),
                       (["models", "promote", "penguins@99"], "99"), (["models", "rollback", "none"], "none"),
                       (["models", "show", "penguins@gone"], "gone"), (["predict", "penguins@99", source], "99")):
        r = lathe.run(*args)
        checks.equal(f"{args}: exit code", r.returncode, 1)
        checks.has(f"{args}", r.stderr, says)
    for args in (["models", "zap"], ["models", "show"], ["models", "export", "penguins"], ["runs", "show"], ["runs", "x"],
                 ["predict"], ["predict", "a"], ["plugins", "x"], ["zzz"], [], ["gc", "--days", "x"], ["backup"],
                 ["models", "list", "--zzz"], ["worker"], ["data"], ["restore"], ["run", "a", "b"], ["validate"]):
        checks.equal(f"{args}: exit code", lathe.run(*args).returncode, 2)
    for args in (["--help"], ["run", "--help"], ["models", "-h"], ["--version"], ["help"]):
        r = lathe.run(*args)
        checks.that(f"{args}", r.returncode == 0 and r.stdout and not r.stderr, r)
    assert predicted


def check_runs(checks, lathe):
    runs = parse(lathe.run("runs", "list", "--json").stdout)
    checks.that("runs list", len(runs) >= 4 and all(r["status"] == "succeeded" for r in runs), runs)
    first, last = runs[-1]["run"], runs[0]["run"]
    shown = parse(lathe.run("runs", "show", first, "--json").stdout)
    checks.equal("runs show: files", {f["name"] for f in shown["files"]}, {"model.safetensors", "report.html", "report.json"})
    checks.has("runs show: facts", json.dumps(shown["data"]) + json.dumps(shown["plugins"]), "penguins.csv", "lathe.")
    checks.equal("runs show: document", shown["document"]["train"]["candidates"]["boosted"]["gbdt"]["rounds"], 15)
    checks.equal("runs show by its beginning", parse(lathe.run("runs", "show", first[:-2], "--json").stdout)["run"], first)
    found = parse(lathe.run("runs", "compare", first, last, "--json").stdout)
    checks.that("runs compare", any("another" in d["pointer"] for d in found), found)
    same = parse(lathe.run("runs", "compare", first, first, "--json").stdout)
    checks.equal("runs compare with itself", same, [])
    events = [json.loads(line) for line in lathe.run("runs", "events", first).stdout.splitlines()]
    steps = [e["step"] for e in events if e["event"] == "step" and e["state"] == "started"]
    checks.equal("runs events", steps, ["prepare", "train/tree", "train/boosted", "train/stack", "train/baseline", "deploy"])
    r = lathe.run("runs", "show", "zzz")
    checks.equal("runs show of none", r.returncode, 1)


def check_backup(checks, lathe, source, predicted):
    copy, home = lathe.path("copy"), lathe.path("restored")
    r = lathe.run("backup", copy)
    checks.equal("backup", r.returncode, 0)
    r = lathe.run("backup", copy)
    checks.equal("backup into a full folder", r.returncode, 1)
    r = lathe.run("restore", copy, "--home", home)
    checks.equal("restore", r.returncode, 0)
    r = lathe.run("restore", copy, "--home", home)
    checks.equal("restore over a home", r.returncode, 1)
    there = {"LATHE_HOME": home}
    checks.equal("restored: verify", lathe.run("verify", env=there).returncode, 0)
    checks.equal("restored: the same predictions", lathe.run("predict", "penguins@live", source, env=there).stdout, predicted)
    checks.equal("restored: the same runs", lathe.run("runs", "list", "--json", env=there).stdout,
                 lathe.run("runs", "list", "--json").stdout)
    code, answer, _ = lathe.pipeline(PENGUINS, env=there)
    checks.equal("restored: the cache is not in a backup", [c.get("cached") for c in answer["candidates"].values()],
                 [None] * 4)
    checks.equal("restored: made anew, the same model", answer["model"]["sha256"],
                 parse(lathe.run("models", "show", "penguins@1", "--json").stdout)["sha256"])
    shutil.move(home, lathe.path("moved"))
    checks.equal("a home moves", lathe.run("predict", "penguins@1", source, "--home", lathe.path("moved")).stdout,
                 lathe.run("predict", "penguins@1", source).stdout)
    r = lathe.run("gc", "--dry-run")
    checks.equal("gc --dry-run", r.returncode, 0)
    r = lathe.run("gc", "--days", "0")
    checks.equal("gc", r.returncode, 0)
    checks.equal("gc keeps models", lathe.run("predict", "penguins@live", source).stdout, predicted)
    checks.equal("gc: verify", lathe.run("verify").returncode, 0)


def check_adult(checks):
    with Lathe() as lathe:
        code, answer, stderr = lathe.pipeline(ADULT)
        checks.equal("adult: exit code", code, 0)
        if not checks.that("adult: JSON", isinstance(answer, dict), stderr):
            return
        check_result(checks, "adult", answer, ADULT)
        checks.equal("adult: windows", answer["monitor"]["windows"], 4)
        r = lathe.run("predict", "adult", os.path.join(DATA, "adult.csv.gz"))
        rows = table(r.stdout)
        checks.equal("adult: rows of a gzip'd file", len(rows), 48842)
        checks.that("adult: probabilities", all(
            math.isclose(float(x["probability_<=50K"]) + float(x["probability_>50K"]), 1, abs_tol=1e-6) and
            (x["prediction"] == ">50K") == (float(x["probability_>50K"]) >= 0.5) for x in rows), rows[:3])
        r = lathe.run("run", lathe.path("pipeline.json"))
        checks.has("adult: leaderboard", r.stdout, "boosted", "cached", "goal: met", "model: adult@1", "monitor: 4 windows")
        path = lathe.path("mine.html")
        lathe.run("run", lathe.path("pipeline.json"), "--report", path)
        checks.that("adult: --report", os.path.getsize(path) > 10000, "it is too short")


def check_others(checks):
    """Verbs that need no home."""
    with Lathe() as lathe:
        penguins = os.path.join(DATA, "penguins.csv")
        r = lathe.run("data", "describe", penguins)
        checks.equal("describe", r.returncode, 0)
        checks.has("describe", r.stdout, "344 rows", "bill_length_mm", "species")
        profile = parse(lathe.run("data", "describe", penguins, "--json", "--target", "species").stdout)
        checks.equal("describe --json", profile["rows"], 344)
        page = lathe.path("profile.html")
        r = lathe.run("data", "describe", penguins, "-o", page)
        checks.that("describe -o", r.returncode == 0 and os.path.getsize(page) > 10000, r)
        r = lathe.run("data", "describe", lathe.path("none.csv"))
        checks.equal("describe of nothing", r.returncode, 1)
        schema = parse(lathe.run("schema").stdout)
        checks.that("schema", schema and "$schema" in schema and "properties" in schema, "no JSON Schema")
        plugins = parse(lathe.run("plugins", "list", "--json").stdout)
        checks.has("plugins list", json.dumps(plugins), "lathe.learner.mlp", "lathe.drift.psi")
        r = lathe.run("plugins", "info", "gbdt")
        checks.has("plugins info", r.stdout, "rounds", "learning_rate")
        r = lathe.run("plugins", "info", "gdbt")
        checks.equal("plugins info of none", r.returncode, 1)
        checks.has("plugins info of none", r.stderr, "gbdt")
        path = lathe.write("p.json", PENGUINS)
        r = lathe.run("run", path, "--dry-run")
        checks.equal("--dry-run", r.returncode, 0)
        checks.has("--dry-run", r.stdout, "gbdt", "endpoint penguins", "accuracy >= 0.9")
        checks.that("--dry-run: nothing is stored", not os.path.exists(os.path.join(lathe.home, "lathe.db")), "a database")


def main():
    checks = Checks()
    source = os.path.join(DATA, "penguins.csv")
    with Lathe() as lathe:
        code, first, stderr = lathe.pipeline(PENGUINS)
        checks.equal("penguins: exit code", code, 0)
        if checks.that("penguins: JSON", isinstance(first, dict), stderr):
            check_result(checks, "penguins", first, PENGUINS)
            checks.equal("penguins: version", first["model"]["version"], 1)
            checks.equal("penguins: endpoint", first["model"]["endpoint"], "penguins")
            check_cache(checks, lathe, PENGUINS, first)
            predicted = check_predict(checks, lathe, source)
            check_models(checks, lathe, source, predicted)
            check_runs(checks, lathe)
            check_backup(checks, lathe, source, lathe.run("predict", "penguins@live", source).stdout)
    check_adult(checks)
    check_others(checks)
    checks.end()


main()
