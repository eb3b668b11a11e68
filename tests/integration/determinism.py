"""Bar of the numbers: the same document and seed give a byte-identical model file with 1, 2 and 5 threads, for every
learner and ensemble and every task, and for the tree family with the kernels of every level of processor; and a row
gives the same text alone, in halves and in the whole file."""

import gzip
import os
from concurrent.futures import ThreadPoolExecutor

from liblathe import DATA, SANITIZED, Checks, Lathe

MLP = {"mlp": {"layers": [{"units": 12, "dropout": 0.1}, {"units": 6, "activation": "tanh"}], "epochs": 3, "batch": 64}}
CANDIDATES = {
    "constant": "constant",
    "linear": "linear",
    "linear_sgd": {"linear": {"optimizer": {"sgd": {"learning_rate": 0.01}}, "batch": 32, "epochs": 2}},
    "linear_l1": {"linear": {"l1": 0.01, "max_iterations": 20}},
    "mlp": MLP,
    "mlp_full": {"mlp": {"layers": [{"units": 8}], "batch": "full", "epochs": 3, "optimizer": "rmsprop"}},
    "tree": {"tree": {"max_leaves": 20}},
    "bagging": {"bagging": {"estimators": 4, "base": {"tree": {"max_leaves": 12}}, "sample_share": 0.7}},
    "bagging_mlp": {"bagging": {"estimators": 3, "base": {"mlp": {"layers": [{"units": 4}], "epochs": 1}},
                                "feature_share": 0.6}},
    "random_forest": {"random_forest": {"trees": 12}},
    "adaboost": {"adaboost": {"rounds": 8}},
    "gbdt": {"gbdt": {"rounds": 8, "row_share": 0.8, "feature_share": 0.7, "base": {"tree": {"max_leaves": 8}}}},
    "gbdt_sampled": {"gbdt": {"rounds": 6, "sampling": "gradient", "base": {"tree": {"max_leaves": None, "max_depth": 5}}}},
    "gbdt_bundled": {"gbdt": {"rounds": 6, "base": {"tree": {"max_leaves": 12, "sums": "packed",
                                                             "monotone": {"age": 1, "capital-gain": 1}}}}},
    "gbdt_linear": {"gbdt": {"rounds": 3, "base": "linear"}},
    "stacking": {"stacking": {"base": [{"tree": {"max_leaves": 6}}, "linear"], "folds": 3}},
    "voting": {"voting": {"base": [{"tree": {"max_leaves": 6}}, {"random_forest": {"trees": 5}}, "linear"]}},
}
TREES = ("tree", "bagging", "random_forest", "adaboost", "gbdt", "gbdt_sampled", "gbdt_bundled")
ENCODED = ("gbdt_bundled",)  # for the task of this name alone: its columns are those of a one-hot code
FEW = ("linear", "mlp", "gbdt", "random_forest") if SANITIZED else tuple(CANDIDATES)


def sample(name, rows):
    """The first rows of a data set, as text."""
    path = os.path.join(DATA, name)
    with gzip.open(path, "rt") if path.endswith(".gz") else open(path) as file:
        return "".join(line for line, _ in zip(file, range(rows + 1)))


TASKS = {
    "multiclass": ("penguins.csv", 344, "classification", "species", []),
    "binary": ("adult.csv.gz", 5000, "classification", "income", ["?"]),
    "regression": ("bike_sharing_hour.csv.gz", 7000, "regression", "cnt", []),
    "encoded": ("adult.csv.gz", 3000, "classification", "income", ["?"]),
}


def check(checks, task, candidate):
    name = f"{task}, {candidate}"
    data, rows, kind, target, missing = TASKS[task]
    text = sample(data, rows)
    found, models = {}, {}
    runs = [(1, None), (2, None), (5, None)]
    if candidate in TREES and not SANITIZED:
        runs += [(2, "baseline"), (2, "avx2")]
    transforms = [{"select": {"columns": {"except": ["casual", "registered", "dteday"]}}}] if task == "regression" else \
        ["one_hot"] if task == "encoded" else []
    for threads, level in runs:
        with Lathe() as lathe:
            if level:
                lathe.env["LATHE_CPU"] = level
            lathe.write("data.csv", text)
            document = {
                "lathe": 1, "name": "same", "seed": 11, "goal": {"task": kind, "target": target},
                "prepare": {"source": {"csv": {"path": "data.csv", "missing": ["NA", *missing]}}, "transforms": transforms,
                            "profile": False},
                "train": {"candidates": {"one": CANDIDATES[candidate]}}, "deploy": {"endpoint": "same"}}
            code, answer, stderr = lathe.pipeline(document, "--threads", str(threads))
            if not checks.equal(f"{name}, {threads} threads, {level}: exit code", code, 0):
                print(stderr)
                return
            found[threads, level] = answer["model"]["sha256"]
            with open(answer["model"]["file"], "rb") as file:
                models[threads, level] = file.read()
            if threads == 2 and not level:
                check_rows(checks, name, lathe, text)
    checks.that(f"{name}: the same file", len(set(found.values())) == 1, found)
    checks.that(f"{name}: the same bytes", len(set(models.values())) == 1, [len(m) for m in models.values()])


def check_rows(checks, name, lathe, text):
    """The same text for a row alone, in halves, in the whole, with other threads and orders of columns."""
    lines = text.splitlines()
    head, rows = lines[0], lines[1:61]

    def predict(part, *args):
        path = lathe.write("part.csv", "\n".join([head, *part]) + "\n")
        r = lathe.run("predict", "same@live", path, *args)
        checks.equal(f"{name}: predict", (r.returncode, r.stderr), (0, ""))
        return r.stdout.splitlines()[1:]

    whole = predict(rows)
    checks.equal(f"{name}: predictions", len(whole), len(rows))
    checks.equal(f"{name}: halves", predict(rows[:23], "--threads", "1") + predict(rows[23:], "--threads", "5"), whole)
    for i in (0, 17):
        checks.equal(f"{name}: row {i} alone", predict(rows[i:i + 1]), whole[i:i + 1])
    checks.equal(f"{name}: backwards", predict(rows[::-1]), whole[::-1])


def main():
    checks = Checks()
    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(check, checks, task, c) for task in TASKS for c in FEW
                    if (c in ENCODED) == (task == "encoded")]:
            job.result()
    checks.end()


main()
