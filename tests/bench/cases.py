"""What is compared: for every benchmark Lathe's learner and, with equal settings, its peers.

A case: name, group (what the command line selects by, beside the name), data (a set of sets.py), learner (the
candidate of Lathe's pipeline), peers (label → (function of peers.py, its threads when nothing is set: "cores" or a
number, None: it has no such setting, extra settings)), params (what the peers read), rows (to train, of the
generated set), kind: "fit" (of the matrix in memory), "memory" (the same on the peers' own matrix), "process" (the whole process, from the CSV), "score" (lathe
predict), "batch" and "row" (all rows, and one alone, in one process; params["scored"]: how many rows).
"""
import dataclasses

# A peer's result is equal to ours when it differs by less than this (a share of the value for rmse).
TOLERANCE = {"auc": 0.001, "accuracy": 0.005, "rmse": 0.02}


@dataclasses.dataclass
class Case:
    name: str
    group: str
    data: str
    learner: dict
    peers: dict
    params: dict
    rows: int = 200_000
    kind: str = "fit"
    tolerance: float = None  # instead of TOLERANCE's, where chance decides more
    share: int = 1  # the peers fit one in so many trees, rounds or estimators, and their time is multiplied
    repeats: int = None  # where the command line asks for fewer; of long ones, instead of the command line's
    long: bool = False  # only where it is named
    note: str = ""


def gbdt(rounds, leaves, **tree):
    return {"gbdt": {"rounds": rounds, "learning_rate": 0.1, "early_stopping": None, "base": {
        "tree": {"max_leaves": leaves, "min_rows": 20, "min_hessian": 0.001, "max_bins": 255} | tree}}}


def boosting_case(name, data, leaves, **more):
    peers = {"lightgbm": ("lightgbm", "cores", {}),
             "lightgbm quantized": ("lightgbm", "cores", {"use_quantized_grad": True}),
             "lightgbm quantized row-wise": ("lightgbm", "cores", {"use_quantized_grad": True,
                                                                   "force_row_wise": True}),
             "xgboost hist": ("xgboost", "cores", {}),
             "sklearn HistGB": ("hist_gradient_boosting", "cores", {})}
    return Case(name, more.pop("group", "gbdt"), data, gbdt(100, leaves, **more.pop("tree", {})), peers,
                {"rounds": 100, "leaves": leaves, "learning_rate": 0.1}, **more)


def forest_case(data, **more):
    return Case(f"forest-{data}", "forest", data, {"random_forest": {"trees": 100}},
                {"sklearn forest": ("random_forest", 1, {})}, {"trees": 100}, rows=50_000, **more)


def mlp(layers, epochs):
    return {"mlp": {"layers": [{"units": u, "activation": "relu"} for u in layers], "batch": 128,
                    "optimizer": {"adam": {"learning_rate": 0.001}}, "epochs": epochs, "early_stopping": None}}


def mlp_case(name, data, layers, epochs, **more):
    return Case(name, "mlp", data, mlp(layers, epochs),
                {"torch": ("torch_mlp", "cores", {}),
                 "torch fused adam": ("torch_mlp", "cores", {"fused": True}),
                 "sklearn MLP": ("sklearn_mlp", "cores", {})},
                {"layers": layers, "epochs": epochs, "batch": 128}, **more)


def threads_case(name, data, learner, **more):
    """Ours with 8 threads as its own peer: never slower than with as many as there are cores."""
    return Case(f"threads-{name}-{data}", "threads", data, learner, {"lathe, 8 threads": ("lathe", None, {"threads": 8})},
                {}, kind="memory", repeats=9, note="the ratio is time with 8 threads / time with the cores'", **more)


ADABOOST = {"adaboost": {"rounds": 100, "algorithm": "samme"}}

STACK = {"stacking": {"folds": 5, "final": "linear", "base": [
    "linear", {"tree": {"max_leaves": 63, "min_rows": 20}}, {"random_forest": {"trees": 100}},
    {"gbdt": {"rounds": 100}},
    {"mlp": {"layers": [{"units": 64}], "batch": 128, "epochs": 10, "early_stopping": None}}]}}

MEMORY = ("logistic-higgs", "logistic-letter", "mlp-higgs", "mlp-fashion", "gbdt-higgs", "gbdt-adult", "gbdt-letter",
          "gbdt-california")  # also on the peers' own matrix

CASES = [
    # 4 levels of the gradients, as LightGBM's quantized training has: more accurate on such noisy rows
    boosting_case("gbdt-higgs", "higgs", 255, tree={"gradient_levels": 4}),
    boosting_case("gbdt-adult", "adult", 31, tolerance=0.002),
    boosting_case("gbdt-bank", "bank", 31, tolerance=0.002),
    boosting_case("gbdt-letter", "letter", 31),
    boosting_case("gbdt-bike", "bike", 31),
    boosting_case("gbdt-california", "california", 31, note="needs LATHE_SHARED_DATA"),
    boosting_case("gbdt-sparse", "sparse", 31, rows=30_000, kind="memory", tolerance=0.002,
                  note="1 008 columns, 1 000 of them of one-hot codes, bundled"),
    boosting_case("gbdt-sparse-unbundled", "sparse", 31, rows=30_000, kind="memory", tolerance=0.002,
                  tree={"bundle": False}, note="the same without bundling"),
    threads_case("gbdt", "higgs", gbdt(100, 255, gradient_levels=4)),
    threads_case("gbdt", "adult", gbdt(100, 31)),
    threads_case("gbdt", "letter", gbdt(100, 31)),
    threads_case("forest", "higgs", {"random_forest": {"trees": 100}}, rows=20_000),
    threads_case("adaboost", "higgs", ADABOOST),
    threads_case("stacking", "higgs", STACK, rows=10_000),
    threads_case("mlp", "higgs", mlp([64, 64], 3)),
    threads_case("logistic", "higgs", {"linear": {}}, rows=1_000_000),
    boosting_case("process-higgs", "higgs", 255, group="process", kind="process"),
    boosting_case("process-adult", "adult", 31, group="process", kind="process", tolerance=0.002),
    forest_case("higgs", tolerance=0.005),
    forest_case("adult", tolerance=0.005, note="scikit-learn sees categories as ordered codes"),
    forest_case("letter"),
    forest_case("bike"),
    Case("adaboost-higgs", "adaboost", "higgs", ADABOOST,
         {"sklearn AdaBoost": ("adaboost", None, {})}, {"rounds": 100}, rows=50_000, tolerance=0.005),
    Case("logistic-higgs", "logistic", "higgs", {"linear": {}},
         {"sklearn lbfgs": ("logistic", "cores", {"solver": "lbfgs"}),
          "sklearn lbfgs f32": ("logistic", "cores", {"solver": "lbfgs", "dtype": "float32"}),
          "sklearn newton": ("logistic", "cores", {"solver": "newton-cholesky"}),
          "sklearn newton f32": ("logistic", "cores", {"solver": "newton-cholesky", "dtype": "float32"})},
         {}, rows=1_000_000),
    Case("logistic-letter", "logistic", "letter", {"linear": {}},
         {"sklearn lbfgs": ("logistic", "cores", {"solver": "lbfgs"}),
          "sklearn newton": ("logistic", "cores", {"solver": "newton-cholesky"})}, {}),
    mlp_case("mlp-higgs", "higgs", [64, 64], 3, tolerance=0.005),
    mlp_case("mlp-fashion", "fashion", [512, 256], 1, tolerance=0.02),
    Case("bagging-higgs", "bagging", "higgs",
         {"bagging": {"estimators": 20, "base": {"tree": {"max_leaves": None, "min_rows": 1}}}},
         {"sklearn bagging": ("bagging", 1, {})}, {"estimators": 20}, rows=50_000, tolerance=0.005),
    Case("stacking-higgs", "stacking", "higgs", STACK, {"sklearn stacking": ("stacking", 1, {})},
         {"trees": 100, "rounds": 100, "epochs": 10}, rows=20_000, tolerance=0.005),
    Case("predict-higgs", "predict", "higgs", gbdt(500, 63), {"lightgbm": ("lightgbm", "cores", {})},
         {"rounds": 500, "leaves": 63, "learning_rate": 0.1}, kind="score"),
    *[Case(f"{name}-{rounds}", "scoring", "higgs", gbdt(rounds, 63), {"lightgbm": ("lightgbm", "cores", {})},
           {"rounds": rounds, "leaves": 63, "learning_rate": 0.1, "scored": 1_000_000}, rows=100_000,
           kind=name, tolerance=0.005) for name in ("batch", "row") for rounds in (100, 500)],
]

MILLION, HUNDRED = dict(rows=1_000_000, tolerance=0.002), dict(rows=100_000, tolerance=0.002)
ENSEMBLES = [dataclasses.replace(c, group="", **size) for c, size in zip(
    [next(c for c in CASES if c.name == f"{name}-higgs") for name in ("forest", "adaboost", "bagging", "stacking")],
    (MILLION, MILLION, HUNDRED, HUNDRED))]

# The large ensembles in full, which takes scikit-learn many minutes; and by pieces: its time for few trees times as
# many as that leaves out (stacking: for one fold of each base), which the table says.
for case, pieces in zip(ENSEMBLES, (50, 25, 10, 10)):
    name = case.name.removesuffix("-higgs")
    sklearn = {label: (function, "cores", settings) for label, (function, _, settings) in case.peers.items()}
    in_parts = ({"sklearn stacking": ("stacking_by_fold", "cores", {})} if name == "stacking" else sklearn)
    CASES += [dataclasses.replace(case, name=f"{name}-full", group="full", peers=sklearn, repeats=1, long=True),
              dataclasses.replace(case, name=f"{name}-by-piece", group="piece", peers=in_parts, share=pieces,
                                  repeats=1, long=True)]

CASES += [dataclasses.replace(c, name=f"memory-{c.name}", kind="memory") for c in CASES if c.name in MEMORY]

# Whose quality depends on the seed more than the bar of 0.001 allows: the mean of so many seeds on both sides, without
# the slower of PyTorch's ways.
SEEDS = {"memory-mlp-higgs": dict(repeats=8, tolerance=0.001, note="quality: means of 8 seeds")}
CASES = [dataclasses.replace(c, **SEEDS[c.name], peers={k: v for k, v in c.peers.items() if k != "torch"})
         if c.name in SEEDS else c for c in CASES]


COUNTS = ("rounds", "trees", "estimators", "epochs")


def shorten(case):
    """The same with at most 5 rounds, trees, estimators or epochs."""
    def cut(value):
        if isinstance(value, dict):
            return {k: min(v, 5) if k in COUNTS and isinstance(v, int) else cut(v)
                    for k, v in value.items()}
        return [cut(v) for v in value] if isinstance(value, list) else value

    params = cut(case.params)
    if "scored" in params:
        params["scored"] = 20_000
    return dataclasses.replace(case, learner=cut(case.learner), params=params, share=1)


def select(words):
    """The cases whose name or group is among the words; all but the long ones, where there are none. ValueError: an
    unknown word."""
    for word in words:
        if not any(word in (c.name, c.group) for c in CASES):
            known = sorted({c.group for c in CASES}) + [c.name for c in CASES]
            raise ValueError(f"there is no benchmark '{word}'; there are: {', '.join(known)}")
    return [c for c in CASES if (not words and not c.long) or c.name in words or c.group in words]
