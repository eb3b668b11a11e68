"""`lathe plugins new` and `check`: what `new` writes builds and passes; the built-in plugins of each kind pass; those that break
a promise of their kind fail by name, and those that crash or are refused do no harm."""

import json
import os
import shutil
import subprocess

from liblathe import BIN, DATA, FIXTURES, SANITIZED, SOURCE, Checks, Lathe

checks = Checks()
KINDS = ("activation", "loss", "optimizer", "schedule", "learner", "ensemble", "transform", "source", "split", "metric", "drift")
PLUGINS = os.path.join(os.path.dirname(os.path.dirname(BIN)), "lib", "lathe", "plugins")
# The files of which there is one for each processor are looked at in the newest form.
BUILT_IN = ("activations_softmax_avx2", "losses_huber_avx2", "losses_cross_entropy_avx2", "losses_hinge_avx2",
            "optimizers_adam_avx2", "schedules_cosine", "learners_linear", "learners_tree", "ensembles_bagging",
            "ensembles_gbdt", "transforms_impute", "transforms_one_hot", "transforms_drop_rows", "transforms_target_encode",
            "splits_stratified", "splits_k_fold", "metrics_ranking", "metrics_regression", "metrics_mcc", "drift_psi", "drift_ks")
NEED_PARAMS = {"ensembles_voting": {"base": ["linear", "tree"]}, "ensembles_stacking": {"base": ["linear", "tree"], "folds": 3},
               "transforms_clip": {"lower": 2, "upper": 5}, "splits_by_column": {"column": "part"},
               "splits_group": {"column": "whole"}, "sources_csv": {"path": os.path.join(DATA, "penguins.csv")}}


def check(lathe, file, *args):
    """Exit code, the report's checks that failed as (what, why), stderr."""
    r = lathe.run("plugins", "check", file, "--json", *args)
    report = json.loads(r.stdout) if r.stdout.startswith("{") else {}
    found = [c for p in report.get("plugins", []) for c in p["checks"]]
    bad = [(c["check"], c["why"]) for c in found if c["outcome"] == "fails"]
    checks.equal(f"{os.path.basename(file)} {args}: counts", report.get("failed", 0) > 0, bool(bad or "reason" in report))
    return r.returncode, bad, report, r.stderr


def check_new(lathe):
    """Each kind's source, by the compiler's every warning."""
    for kind in KINDS:
        folder = lathe.path("new", kind)
        r = lathe.run("plugins", "new", kind, "mine", "--id", f"com.example.{kind}.mine", "-o", folder)
        checks.equal(f"new {kind}", (r.returncode, r.stdout), (0, f"{folder}/mine.c\n{folder}/Makefile\n"))
        made = subprocess.run(["make", "-s", "-C", folder, f"SDK={SOURCE}/sdk", "CFLAGS=-O1 -Werror -pedantic"],
                              capture_output=True, text=True)
        checks.equal(f"{kind} builds {made.stderr}", made.returncode, 0)
        code, bad, report, err = check(lathe, os.path.join(folder, "build", "mine.so"))
        checks.equal(f"{kind} passes {err}", (code, bad), (0, []))
        checks.equal(f"{kind}: its id and kind", [(p["id"], p["kind"]) for p in report["plugins"]],
                     [(f"com.example.{kind}.mine", kind)])
        checks.that(f"{kind}: it was put through its kind's checks", len(report["plugins"][0]["checks"]) > 3, report)
    again = lathe.run("plugins", "new", "loss", "mine", "-o", lathe.path("new", "loss"))
    checks.equal("what is there stays", again.returncode, 1)
    checks.has("says so", again.stderr, "mine.c", "already")
    for args, says in ((("lose", "mine"), "no kind"), (("loss", "Mine"), "no name"), (("loss", "../x"), "no name"),
                       (("loss", "x", "--id", "plain"), "no id"), (("loss",), "kind and a name")):
        r = lathe.run("plugins", "new", *args)
        checks.equal(f"new {args}", r.returncode, 2)
        checks.has(f"new {args}", r.stderr, says)


def check_built_in(lathe):
    for name in BUILT_IN:
        file = os.path.join(PLUGINS, name + ".so")
        if name.endswith("_avx2") and not os.path.exists(file):
            file = file.replace("_avx2", "")
        code, bad, _, err = check(lathe, file)
        checks.equal(f"{name} {err}", (code, bad), (0, []))
    for name, params in NEED_PARAMS.items():
        file = os.path.join(PLUGINS, name + ".so")
        if name.startswith("splits_by"):  # the sample has no column of parts: it is refused with the reason
            code, bad, _, _ = check(lathe, file, "--params", json.dumps(params))
            checks.equal(f"{name}: {bad}", code, 1)
            continue
        code, bad, _, err = check(lathe, file, "--params", json.dumps(params))
        checks.equal(f"{name} {params} {err}", (code, bad), (0, []))
    r = lathe.run("plugins", "check", os.path.join(PLUGINS, "ensembles_voting.so"))
    checks.equal("parameters are needed", r.returncode, 2)
    checks.has("says which", r.stdout + r.stderr, "base", "--params")
    code, bad, _, _ = check(lathe, os.path.join(PLUGINS, "ensembles_voting.so"), "--params", '{"bases": []}')
    checks.equal("wrong ones", code, 1)
    checks.has("are told", str(bad), "bases")
    text = lathe.run("plugins", "check", os.path.join(PLUGINS, "metrics_mcc.so")).stdout
    checks.has("as text", text, "lathe.metric.mcc, metric", "  holds    ", "1 plugin", "0 failed")


def check_broken(lathe):
    """Fixtures that misbehave: which promise, by name."""
    villain = os.path.join(FIXTURES, "villain.so")
    for harm, what, why in (("alone", "a row gives the same bits alone", "alone"),
                            ("forget", "saved and loaded", "saved and loaded"),
                            ("abort", "it fits", "villain"), ("trap", "it fits", "villain")):
        if harm in ("abort", "trap") and SANITIZED:
            continue  # the sanitizer's own handlers
        code, bad, _, _ = check(lathe, villain, "--params", json.dumps({"harm": harm}))
        checks.equal(f"{harm}: exit code", code, 1)
        checks.that(f"{harm}: {bad}", bad and what in bad[0][0] and why in bad[0][1], bad)
    code, bad, _, _ = check(lathe, villain)
    checks.equal("without harm it passes", (code, bad), (0, []))
    for name in ("bad_magic", "crash_entry", "future_major", "missing_function", "no_entry", "exit_entry"):
        r = lathe.run("plugins", "check", os.path.join(FIXTURES, name + ".so"))
        checks.equal(f"{name}: refused", r.returncode, 1)
        checks.has(f"{name}: says why", r.stdout, name + ".so: refused: ")
    r = lathe.run("plugins", "check", lathe.path("none.so"))
    checks.equal("no such file", r.returncode, 1)
    checks.has("its name", r.stderr, "none.so")
    text = lathe.write("text.so", "no plugin at all")
    checks.equal("no shared object", lathe.run("plugins", "check", text).returncode, 1)
    checks.equal("no name of one", lathe.run("plugins", "check", lathe.write("plugin.txt", "x")).returncode, 1)
    copy = shutil.copy(os.path.join(PLUGINS, "metrics_mcc.so"), lathe.path("copy.so"))
    code, bad, _, _ = check(lathe, copy)
    checks.equal("another has its id", code, 1)
    checks.has("says which", str(bad), "it is in use", "metrics_mcc.so")


with Lathe() as lathe:
    os.mkdir(lathe.path("tmp"))
    lathe.env["TMPDIR"] = lathe.path("tmp")
    check_built_in(lathe)
    check_broken(lathe)
    if SANITIZED:
        print("sources are not built for the sanitizers")
    else:
        check_new(lathe)
    checks.equal("no home is made", os.path.exists(os.path.join(lathe.home, "lathe.db")), False)
    checks.equal("nothing is left behind", os.listdir(lathe.path("tmp")), [])
checks.end()
