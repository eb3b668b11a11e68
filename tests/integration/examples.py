"""Every document in pipelines/ runs, with few rounds, and shows what its description says; none is forgotten here."""

import json
import os

from liblathe import SANITIZED, SOURCE, Checks, Lathe

FOLDER = os.path.join(SOURCE, "pipelines")
FASHION = os.environ.get("LATHE_FASHION_MNIST", "/usr/share/datasets/fashion-mnist")

# name → settings that make it short
SHORT = {
    "quickstart": {"trees": 10},
    "gradient-descent": {"epochs_full": 4, "epochs_one": 1, "epochs_mini": 2, "units": 4},
    "activations": {"units": 8, "epochs": 2},
    "ensembles": {"trees": 8, "rounds": 8, "networks": 2, "epochs": 1},
    "regression": {"trees": 8, "rounds": 40, "epochs": 2},
    "images": {"rows": 2000, "epochs": 1, "folder": FASHION},
    "drift": {"rounds": 100},
}
SKIPPED_SANITIZED = ("ensembles", "activations")  # too long there; their parts have tests of their own

checks = Checks()


def events(lathe, kind):
    lines = lathe.run("runs", "events", "latest").stdout.splitlines()
    return [e for e in map(json.loads, lines) if e.get("event") == kind]


def check_gradient_descent(lathe, _):
    steps = {}
    for e in events(lathe, "metric"):
        steps.setdefault((e.get("step"), e.get("name")), []).append(e)
    names = {step.split("/")[1] for step, name in steps if step and name == "train_loss"}
    for candidate in ("batch", "stochastic", "mini_batch", "to_convergence"):
        checks.that(f"gradient-descent draws the curve of {candidate}", candidate in names, names)


def check_regression(_, result):
    rmse = {name: c["test"]["rmse"] for name, c in result["candidates"].items()}
    checks.that("boosting beats the straight line", rmse["boosted"] < rmse["linear"], rmse)
    checks.that("the straight line beats the mean", rmse["linear"] < rmse["baseline"], rmse)


def check_drift(lathe, result):
    """Data drift in the first window; the quality holds there and falls later."""
    windows = [e["window"] for e in events(lathe, "window")]
    checks.equal("windows of drift", len(windows), 13)
    checks.equal("alerts that the run counts", result["monitor"]["alerts"], sum(w["alerts"] for w in windows))
    psi = [{f: d["alert"] for f, d in w["drift"]["psi"].items()} for w in windows]
    checks.that("psi sees the cold of January", psi[0]["temp"], psi[0])
    checks.that("psi sees nothing in the hours", not any(p["hr"] for p in psi[:12]), psi)
    quality = [w["alerts"] - sum(d["alert"] for m in w["drift"].values() for d in m.values()) for w in windows]
    checks.equal("quality alert of the first window", quality[0], 0)
    checks.that("quality alerts later", all(q == 1 for q in quality[3:12]), quality)


def check_images(_, result):
    network = result["candidates"]["network"]["test"]["accuracy"]
    checks.that("a network on images is better than chance", network > 0.3, network)


DEEPER = {"gradient-descent": check_gradient_descent, "regression": check_regression, "drift": check_drift,
          "images": check_images}


def run_example(name):
    path = os.path.join(FOLDER, name + ".json")
    with open(path) as file:
        document = json.load(file)
    checks.that(f"{name} says what it shows", len(document.get("description", "")) > 80)
    unknown = set(SHORT[name]) - set(document.get("params", {}))
    checks.that(f"{name} has the knobs", not unknown, unknown)
    with Lathe() as lathe:
        sets = [f"--set={key}={value}" for key, value in SHORT[name].items()]
        r = lathe.run("run", path, "--json", *sets, timeout=300)
        if not checks.that(f"{name} runs", r.returncode in (0, 3), f"exit code {r.returncode}: {r.stderr}"):
            return
        result = json.loads(r.stdout)
        for candidate in document["train"]["candidates"]:
            got = result["candidates"].get(candidate, {})
            checks.that(f"{name}: {candidate} is trained", "test" in got, got)
        checks.that(f"{name} writes a report", os.path.getsize(result["report"]) > 10000)
        if name in DEEPER:
            DEEPER[name](lathe, result)


def main():
    found = sorted(f[:-5] for f in os.listdir(FOLDER) if f.endswith(".json"))
    checks.equal("the documents in pipelines/", found, sorted(SHORT))
    for name in found:
        if name == "images" and not os.path.isdir(FASHION):
            print(f"images is left out: {FASHION} is not there (Debian package dataset-fashion-mnist)")
        elif name in SHORT and not (SANITIZED and name in SKIPPED_SANITIZED):
            run_example(name)
    checks.end()


main()
