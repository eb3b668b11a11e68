"""The sets of data: what they are, where they lie and how Lathe reads them. make_data.py makes them, in a process of
its own: a process's peak memory counts as that of the programs that it starts.
"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "bench" / "data"
SHIPPED = ROOT / "pipelines" / "data"
FASHION = pathlib.Path(os.environ.get("LATHE_FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
SHARED = os.environ.get("LATHE_SHARED_DATA")  # a folder with sets that are not shipped, since they name no licence
PARTS = ("train", "validation", "test")
VERSION = 1  # of the files: another number makes them anew

GENERATED = {"higgs": "signal", "sparse": "clicked"}  # name → target; their number of rows is the caller's choice

# name → target, positive class (None: many classes or a regression), text of a missing value, columns left out
REAL = {
    "adult": dict(file="adult.csv.gz", target="income", positive=">50K", missing="?",
                  task="classification", metric="auc", test=slice(32561, None)),
    "bank": dict(file="bank_marketing.csv.gz", target="y", positive="yes",
                 task="classification", metric="auc"),
    "letter": dict(file="letter_recognition.csv.gz", target="lettr", positive=None,
                   task="classification", metric="accuracy", test=slice(16000, None)),
    "bike": dict(file="bike_sharing_hour.csv.gz", target="cnt", positive=None, task="regression",
                 metric="rmse", drop=("instant", "dteday", "casual", "registered")),
    "california": dict(file="california_housing.csv", target="medianHouseValue", positive=None,
                       task="regression", metric="rmse"),
}


def file_of(name):
    """Where a real set's table is, or would be."""
    file = REAL[name]["file"]
    return pathlib.Path(SHARED) / file if SHARED and not (SHIPPED / file).is_file() else SHIPPED / file


def goal_of(name):
    """The pipeline's goal: {"task", "target", "metric", "positive"?}."""
    if name == "fashion":
        return {"task": "classification", "target": "label", "metric": "accuracy"}
    if name in GENERATED:
        return {"task": "classification", "target": GENERATED[name], "metric": "auc", "positive": "yes"}
    one = REAL[name]
    goal = {k: one[k] for k in ("task", "target", "metric")}
    return goal | ({"positive": one["positive"]} if one["positive"] else {})


def prepare(name, rows):
    """Writes the set's files unless they are there. Gives their path without its ending; None: it is not installed."""
    if name == "fashion" and not FASHION.is_dir():
        return None
    if name in REAL and not file_of(name).is_file():
        return None
    path = FOLDER / (f"{name}-{rows}-v{VERSION}" if name in GENERATED else f"{name}-v{VERSION}")
    if not path.with_suffix(".npz").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        maker = str(pathlib.Path(__file__).with_name("make_data.py"))
        subprocess.run([sys.executable, maker, name, str(rows), str(path)], check=True)
    return path


def pipeline_input(name, path):
    """The pipeline's "prepare": source, split, transforms."""
    if name == "fashion":
        files = {"images": "train-images-idx3-ubyte.gz", "labels": "train-labels-idx1-ubyte.gz",
                 "test_images": "t10k-images-idx3-ubyte.gz", "test_labels": "t10k-labels-idx1-ubyte.gz"}
        return {"source": {"idx": {k: str(FASHION / v) for k, v in files.items()}},
                "transforms": [{"min_max": {}}],
                "split": {"by_column": {"column": "part", "validation": [], "validation_share": 0.01}},
                "profile": False}
    return {"source": {"csv": {"path": str(path.with_suffix(".csv"))}}, "transforms": [],
            "split": {"by_column": {"column": "part"}}, "profile": False}
