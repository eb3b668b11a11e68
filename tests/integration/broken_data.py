"""Data that cannot be used: the run fails with a sentence, is recorded as failed, and deploys nothing. A goal that is not
met is no failure, but deploys nothing either. A candidate that fails does not sink the others."""

import os

from liblathe import DATA, Checks, Lathe, parse

ROWS = "".join(f"{i},{i * 7 % 13},{'ab'[i * 5 % 3 % 2]},{'no' if i * 7 % 13 < 6 else 'yes'}\n" for i in range(120))
TABLE = "id,x,letter,y\n" + ROWS


def document(path, target="y", task="classification", **more):
    """A small pipeline; more: parts that replace the usual ones."""
    return {
        "lathe": 1, "name": "broken", "seed": 1,
        "goal": dict({"task": task, "target": target}, **more.get("goal", {})),
        "prepare": dict({"source": {"csv": dict({"path": path}, **more.get("csv", {}))}}, **more.get("prepare", {})),
        "train": {"candidates": more.get("candidates", {"tree": {"tree": {"min_rows": 2}}})},
        "deploy": {"endpoint": "broken"},
    }


def number_target(text):
    return "id,x,y\n" + "".join(f"{i},{i % 5},{text(i)}\n" for i in range(50))


# name, file content, changes of the document, what is said
CASES = [
    ("no such target", TABLE, dict(target="z"), ["/goal/target", "'z'"]),
    ("target misspelled", TABLE.replace("letter", "income"), dict(target="incom"), ["did you mean 'income'?"]),
    ("target in other case", TABLE, dict(target="Y"), ["'Y'", "'y'"]),
    ("one class", TABLE.replace(",yes", ",no"), {}, ['"y" has 1 class', "at least 2"]),
    ("no rows", "id,x,letter,y\n", {}, ["no rows"]),
    ("an empty file", "", {}, ["empty"]),
    ("target all missing", TABLE.replace(",yes\n", ",\n").replace(",no\n", ",\n"), {}, ["no row has a value", '"y"']),
    ("numbers asked, texts found", TABLE, dict(task="regression"), ["y: row 1 has 'no'", "number"]),
    ("the odd text among numbers", number_target(lambda i: "oops" if i == 30 else i), dict(task="regression"),
     ["y: row 31", "'oops'"]),
    ("an infinite target", number_target(lambda i: "inf" if i == 3 else i), dict(task="regression"), ["target of row 4 is inf"]),
    ("positive is no class", TABLE, dict(goal={"positive": "yess"}), ["/goal/positive", 'did you mean "yes"?']),
    ("positive of three classes", TABLE.replace("3,8,a,yes", "3,8,a,maybe"), dict(goal={"positive": "yes"}),
     ["/goal/positive", "two classes"]),
    ("weight of an unknown class", TABLE, dict(goal={"class_weight": {"maybe": 2}}), ['"maybe"']),
    ("no such weight column", TABLE, dict(goal={"weight": "w"}), ["/goal/weight", "'w'"]),
    ("weights that are texts", TABLE, dict(goal={"weight": "letter"}), ["/goal/weight", "numbers"]),
    ("a negative weight", TABLE.replace("\n7,", "\n-7,"), dict(goal={"weight": "id"}), ["/goal/weight", "-7"]),
    ("a column that a transform needs is missing", TABLE, dict(prepare={"transforms": [{"impute": {"columns": "age"}}]}),
     ["/prepare/transforms/0", "age"]),
    ("a text column for a numeric transform", TABLE, dict(prepare={"transforms": [{"standardize": {"columns": "letter"}}]}),
     ["/prepare/transforms/0", "'letter'"]),
    ("log of a negative number", TABLE.replace("\n7,", "\n-7,"),
     dict(prepare={"transforms": [{"log1p": {"columns": "id"}}]}), ["/prepare/transforms/0", "id"]),
    ("texts without a transform", TABLE, dict(csv={"types": {"letter": "text"}}), ["/prepare/letter", "text", "transform drop"]),
    ("times without a transform", "when,y\n" + "".join(f"2020-01-{i % 28 + 1:02},{i % 2}\n" for i in range(60)), {},
     ["/prepare/when", "date_parts"]),
    ("split by a column that is missing", TABLE, dict(prepare={"split": {"by_column": {"column": "part"}}}),
     ["/prepare/split", "'part'"]),
    ("a part that is no part", TABLE, dict(prepare={"split": {"by_column": {"column": "letter"}}}), ["/prepare/split"]),
    ("nothing left to train", TABLE, dict(prepare={"split": {"by_column": {"column": "letter", "train": ["c"],
     "validation": ["a"], "test": ["b"], "other": "none"}}}), ["/prepare/split"]),
    ("a class that is not in training", "p,x,y\n" + "".join(f"{'train' if i < 50 else 'test'},{i},{'abc'[i // 25]}\n" for i in range(75)),
     dict(prepare={"split": {"by_column": {"column": "p"}}}), ["/prepare/split", 'the class "c"']),
    ("more folds than rows", "x,y\n1,a\n2,b\n3,a\n", dict(prepare={"split": {"k_fold": {"folds": 10}}}), ["/prepare/split"]),
    ("all training rows dropped", "x,y\n" + "".join(f",{i % 2}\n" for i in range(40)),
     dict(prepare={"transforms": [{"drop_missing": {"columns": "all"}}]}), ["/prepare/transforms"]),
    ("a row too long", TABLE + "1,2,a,yes,more\n", {}, ["122", "5", "4"]),
    ("a row too short", TABLE + "1,2\n", {}, ["122"]),
    ("a quote that never closes", TABLE + '1,2,"a,yes\n', {}, ["122", "quote"]),
    ("two columns of one name", TABLE.replace("letter", "x", 1), {}, ["data.csv:1", "'x'"]),
    ("a NUL byte", TABLE.encode() + b"1,2,a\0b,yes\n", {}, ["122"]),
    ("bytes that are no UTF-8", TABLE.encode() + b"1,2,\xff\xfe,yes\n", {}, ["122", "UTF-8"]),
    ("a cut gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x4c", {}, ["gzip"]),
    ("declared integer, other found", TABLE, dict(csv={"types": {"letter": "integer"}}), ["data.csv:2", "'letter'", "'a'"]),
    ("a declared type of no column", TABLE, dict(csv={"types": {"size": "number"}}), ["'size'"]),
    ("a skip past the end", TABLE, dict(csv={"skip": 1000}), ["no row is left"]),
]


def check_run_record(checks, lathe, name, status, reason):
    r = lathe.run("runs", "list", "--json")
    runs = parse(r.stdout)
    if checks.that(f"{name}: a record", isinstance(runs, list) and runs, r.stdout + r.stderr):
        checks.equal(f"{name}: status", runs[0]["status"], status)
        checks.has(f"{name}: reason", runs[0]["reason"], *reason)


def check_failures(checks, lathe):
    for name, content, changes, says in CASES:
        path = lathe.write("data.csv", content)
        code, answer, stderr = lathe.pipeline(document(path, **changes))
        checks.equal(f"{name}: exit code", code, 1)
        checks.has(name, stderr, "lathe: ", *says)
        if checks.that(f"{name}: JSON", isinstance(answer, dict), stderr):
            checks.equal(f"{name}: status", answer["status"], "failed")
            checks.has(f"{name}: JSON error", answer["error"]["where"] + ": " + answer["error"]["message"], *says)
            checks.that(f"{name}: no model", "model" not in answer, answer)
        check_run_record(checks, lathe, name, "failed", [])
    code, answer, stderr = lathe.pipeline(document(lathe.dir))
    checks.equal("data is a folder: exit code", code, 2)  # a fault of the document, found before any data is read
    checks.has("data is a folder", stderr, lathe.dir)
    r = lathe.run("models", "list", "--json")
    checks.equal("no model is registered", parse(r.stdout), [])
    r = lathe.run("verify")
    checks.equal("the store is sound", (r.returncode, "0 errors" in r.stdout), (0, True))


def check_goal(checks):
    """Exit code 3: a version is registered, the endpoint and the alias stay where they were."""
    with Lathe() as lathe:
        path = lathe.write("data.csv", TABLE)
        code, first, _ = lathe.pipeline(document(path, goal={"require": {"accuracy": ">= 0.5"}}))
        checks.equal("goal met: exit code", code, 0)
        checks.equal("goal met: endpoint", first["model"].get("endpoint"), "broken")
        code, answer, stderr = lathe.pipeline(
            document(path, goal={"require": {"accuracy": ">= 1.5", "model_mb": "<= 100"}},
                     candidates={"line": {"linear": {}}}))
        checks.equal("goal not met: exit code", code, 3)
        checks.equal("goal not met: status", answer["status"], "goal_not_met")
        checks.equal("goal not met: met", [c["met"] for c in answer["goal"]["checks"]], [False, True])
        checks.that("goal not met: endpoint", "endpoint" not in answer["model"], answer["model"])
        checks.equal("goal not met: version", answer["model"]["version"], 2)
        versions = {v["version"]: v for v in parse(lathe.run("models", "list", "broken", "--json").stdout)}
        checks.has("live stays", versions[1]["aliases"], "live")
        checks.lacks("live stays", versions[2]["aliases"], "live")
        r = lathe.run("run", lathe.path("pipeline.json"))
        checks.equal("goal not met, as text: exit code", r.returncode, 3)
        checks.has("goal not met, as text", r.stdout, "goal: not met", "NOT MET", ">= 1.5")
        r = lathe.run("models", "promote", "broken@2")
        checks.equal("promotion is refused", r.returncode, 3)
        r = lathe.run("models", "promote", "broken@2", "--force")
        checks.equal("promotion by force", r.returncode, 0)
        check_run_record(checks, lathe, "goal not met", "goal_not_met", [])


def check_candidates(checks):
    """Candidates that fail are told; the rest go on. Where all fail, the run does."""
    with Lathe() as lathe:
        path = lathe.write("data.csv", TABLE.replace(",yes", ",1").replace(",no", ",0"))
        diverges = {"mlp": {"optimizer": {"sgd": {"learning_rate": 1e6}}, "epochs": 3, "scale_target": False}}
        wide = {"tree": {"min_rows": 2}}
        code, answer, stderr = lathe.pipeline(
            document(path, task="regression", candidates={"wild": diverges, "tree": wide}))
        checks.equal("one fails: exit code", code, 0)
        checks.equal("one fails: selected", answer["selected"], "tree")
        checks.that("one fails: error", "error" in answer["candidates"]["wild"], answer["candidates"]["wild"])
        checks.has("one fails: told", stderr, 'candidate "wild" failed')
        r = lathe.run("run", lathe.path("pipeline.json"))
        checks.has("one fails: leaderboard", r.stdout, "wild", "failed")
        code, answer, stderr = lathe.pipeline(document(path, task="regression", candidates={"wild": diverges}))
        checks.equal("all fail: exit code", code, 1)
        checks.has("all fail", stderr, "every candidate failed")
        checks.equal("all fail: status", answer["status"], "failed")


def main():
    checks = Checks()
    assert os.path.isdir(DATA)
    with Lathe() as lathe:
        check_failures(checks, lathe)
    check_goal(checks)
    check_candidates(checks)
    checks.end()


main()
