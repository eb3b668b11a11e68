"""One fit, or one scoring, of another program, in a process of its own: peers.py '{"peer": …, "data": …}'.

Prints one JSON object: seconds (of the fit from the matrix in memory, or of the scoring), quality on the test part,
version. What the program wants as its matrix (its dtype, scaled columns, category codes) is made before the clock
starts; its own Dataset or DMatrix is made on the clock. A fit of a few rows comes first, so that imports and
thread pools are not measured. `threads` null leaves the program at its default.

With "csv" instead of "data" the whole process is what counts (its parent measures it): no warm-up, pandas reads the file.
"""
import json
import sys
import time

import numpy as np


class Job:
    """The spec's fields, and the matrix by parts."""

    def __init__(self, spec):
        self.spec = spec
        self.threads = spec.get("threads")
        self.seed = spec.get("seed", 1)
        self.share = spec.get("share", 1)  # a whole number: only one tree in so many is fitted
        self.more = 0.0  # seconds that the fit stands for beside its own
        self.settings = spec.get("settings", {})
        self.task, self.metric = spec["task"], spec["metric"]
        self.params = spec.get("params", {})
        (self.x, self.y, self.part, self.categorical) = (
            from_csv(spec) if "csv" in spec else from_npz(spec["data"]))
        self.classes = 0 if self.task == "regression" else int(self.y.max()) + 1

    def rows(self, part):
        return np.flatnonzero(self.part == part)

    def mask(self):
        mask = np.zeros(self.x.shape[1], bool)
        mask[self.categorical] = True
        return mask

    def __getitem__(self, name):
        return self.params[name]


def from_npz(path):
    with np.load(path) as data:
        return data["x"], data["y"], data["part"], [int(i) for i in data["categorical"]]


def from_csv(spec):
    import pandas
    table = pandas.read_csv(spec["csv"])
    part = table.pop("part").map({"train": 0, "validation": 1, "test": 2}).to_numpy()
    y = table.pop(spec["target"])
    y = (y == spec["positive"]).to_numpy(np.int64) if spec.get("positive") else y.to_numpy()
    categorical = [i for i, c in enumerate(table.columns) if table[c].dtype.kind not in "fi"]
    for i in categorical:
        codes = table[table.columns[i]].astype("category").cat.codes.astype(np.float32)
        table[table.columns[i]] = codes.where(codes >= 0)
    return table.to_numpy(np.float32), y, part, categorical


def quality(job, y, p):
    from sklearn import metrics
    if job.metric == "auc":
        return float(metrics.roc_auc_score(y, p if p.ndim == 1 else p[:, 1]))
    if job.metric == "accuracy":
        return float(np.mean((p if p.ndim == 1 else p.argmax(axis=1)) == y))
    return float(np.sqrt(np.mean((p - y) ** 2)))


# ---- boosting ----

def lightgbm_params(job, **more):
    kind = {"regression": "regression"}.get(job.task, "multiclass" if job.classes > 2 else "binary")
    params = dict(objective=kind, num_leaves=job["leaves"], max_bin=255, verbosity=-1,
                  learning_rate=job["learning_rate"], min_data_in_leaf=20, seed=job.seed, **more)
    if kind == "multiclass":
        params["num_class"] = job.classes
    if job.threads:
        params["num_threads"] = job.threads
    return params | job.settings


def lightgbm(job):
    import lightgbm as gbm
    params = lightgbm_params(job)

    def fit(x, y):
        data = gbm.Dataset(x, y, categorical_feature=job.categorical, params=params)
        return gbm.train(params, data, job["rounds"])

    return job.x, fit, lambda model, x: model.predict(x), gbm.__version__


def xgboost(job):
    import xgboost as xgb
    objective = ("reg:squarederror" if job.task == "regression" else
                 "multi:softprob" if job.classes > 2 else "binary:logistic")
    params = dict(objective=objective, tree_method="hist", max_bin=256, eta=job["learning_rate"], seed=job.seed,
                  max_leaves=job["leaves"], max_depth=0, grow_policy="lossguide", reg_lambda=0,
                  min_child_weight=20 if job.task == "regression" else 1, verbosity=0)
    if job.classes > 2:
        params["num_class"] = job.classes
    if job.threads:
        params["nthread"] = job.threads
    types = ["c" if c else "q" for c in job.mask()]

    def matrix(x, y=None):
        more = {"nthread": job.threads} if job.threads else {}
        return xgb.QuantileDMatrix(x, y, feature_types=types, enable_categorical=True, max_bin=256,
                                   **more) if y is not None else xgb.DMatrix(
            x, feature_types=types, enable_categorical=True, **more)

    return (job.x, lambda x, y: xgb.train(params, matrix(x, y), job["rounds"]),
            lambda model, x: model.predict(matrix(x)), xgb.__version__)


def hist_gradient_boosting(job):
    from sklearn import ensemble
    make = (ensemble.HistGradientBoostingRegressor if job.task == "regression"
            else ensemble.HistGradientBoostingClassifier)

    def fit(x, y):
        return make(max_iter=job["rounds"], learning_rate=job["learning_rate"], max_bins=255,
                    max_leaf_nodes=job["leaves"], min_samples_leaf=20, early_stopping=False,
                    categorical_features=job.mask(), random_state=job.seed).fit(x, y)

    return job.x.astype(np.float64), fit, sklearn_predict, sklearn_version()


# ---- scikit-learn's ----

def sklearn_version():
    import sklearn
    return sklearn.__version__


def sklearn_predict(model, x):
    return model.predict_proba(x) if hasattr(model, "predict_proba") else model.predict(x)


def random_forest(job):
    from sklearn import ensemble
    regression = job.task == "regression"
    make = ensemble.RandomForestRegressor if regression else ensemble.RandomForestClassifier
    share = 1.0 if regression else "sqrt"  # of the features, drawn for every split

    def fit(x, y):
        return make(job["trees"], max_features=share, n_jobs=job.threads, random_state=job.seed).fit(x, y)

    return job.x, fit, sklearn_predict, sklearn_version()


def bagging(job):
    from sklearn import ensemble, tree

    def fit(x, y):
        return ensemble.BaggingClassifier(tree.DecisionTreeClassifier(), job["estimators"],
                                          n_jobs=job.threads, random_state=job.seed).fit(x, y)

    return job.x, fit, sklearn_predict, sklearn_version()


def adaboost(job):
    from sklearn import ensemble, tree

    def fit(x, y):
        stump = tree.DecisionTreeClassifier(max_depth=1)
        return ensemble.AdaBoostClassifier(stump, n_estimators=job["rounds"], random_state=job.seed).fit(x, y)

    return job.x, fit, sklearn_predict, sklearn_version()


def scaled(job, dtype):
    """Standardised columns, as networks and linear models want them."""
    train = job.x[job.rows(0)].astype(np.float64)
    if job.spec["name"] == "fashion":
        return job.x.astype(dtype)
    return ((job.x - train.mean(axis=0)) / np.maximum(train.std(axis=0), 1e-12)).astype(dtype)


def logistic(job):
    from sklearn import linear_model
    settings = dict(job.settings)
    dtype = settings.pop("dtype", "float64")

    def fit(x, y):  # C: the same penalty as Lathe's default, 1 / rows on the mean loss
        return linear_model.LogisticRegression(C=1.0, tol=1e-5, max_iter=1000, **settings).fit(x, y)

    return scaled(job, dtype), fit, sklearn_predict, sklearn_version()


def sklearn_mlp(job):
    import warnings
    from sklearn import neural_network
    warnings.simplefilter("ignore")

    def fit(x, y):
        return neural_network.MLPClassifier(job["layers"], batch_size=job["batch"], alpha=0, tol=0,
                                            learning_rate_init=0.001, max_iter=job["epochs"],
                                            n_iter_no_change=10000, random_state=job.seed).fit(x, y)

    return scaled(job, "float32"), fit, sklearn_predict, sklearn_version()


def stacked(job):
    """The bases, as StackingClassifier takes them."""
    from sklearn import ensemble, linear_model, neural_network, pipeline, preprocessing, tree

    def scale(model):
        return pipeline.make_pipeline(preprocessing.StandardScaler(), model)

    return [("linear", scale(linear_model.LogisticRegression())),
            ("tree", tree.DecisionTreeClassifier(max_leaf_nodes=63, min_samples_leaf=20)),
            ("forest", ensemble.RandomForestClassifier(job["trees"])),
            ("gbdt", ensemble.HistGradientBoostingClassifier(max_iter=job["rounds"], early_stopping=False)),
            ("mlp", scale(neural_network.MLPClassifier((64,), batch_size=128, alpha=0, tol=0, max_iter=job["epochs"],
                                                       n_iter_no_change=10000)))]


def stacking(job):
    from sklearn import ensemble, linear_model

    def fit(x, y):
        return ensemble.StackingClassifier(stacked(job), linear_model.LogisticRegression(), cv=5,
                                           n_jobs=job.threads).fit(x, y)

    import os
    os.environ["PYTHONWARNINGS"] = "ignore"
    return job.x, fit, sklearn_predict, sklearn_version()


def stacking_by_fold(job):
    """One fold of each base, counted for the five and (as 1.25 of them) the fit on all rows; of the forest one tree in
    job.share. With n threads n such fits run at once, as StackingClassifier's do: the time is shared out evenly."""
    import warnings

    def fit(x, y):
        warnings.simplefilter("ignore")
        kept = np.arange(len(x)) % 5 != 0
        job.more, bases = 0.0, stacked(job)
        for name, base in bases:
            many = job.share if name == "forest" else 1
            if name == "forest":
                base.n_estimators = max(base.n_estimators // many, 1)
            start = time.perf_counter()
            base.fit(x[kept], y[kept])
            fitted = time.perf_counter()
            base.predict_proba(x[~kept])
            predicted = time.perf_counter()
            job.more += (6.25 * many * (fitted - start) + 5 * many * (predicted - fitted)) / (job.threads or 1)
            job.more -= predicted - start
        return bases[0][1]  # only so that something predicts: the quality is not compared

    return job.x, fit, sklearn_predict, sklearn_version()


# ---- PyTorch ----

def torch_mlp(job):
    import torch
    if job.threads:
        torch.set_num_threads(job.threads)
    sizes = [job.x.shape[1], *job["layers"], job.classes if job.classes > 2 else 1]
    loss_of = (torch.nn.functional.cross_entropy if job.classes > 2 else
               torch.nn.functional.binary_cross_entropy_with_logits)

    def fit(x, y):
        torch.manual_seed(job.seed)
        steps = [m for a, b in zip(sizes, sizes[1:]) for m in (torch.nn.Linear(a, b), torch.nn.ReLU())]
        net = torch.nn.Sequential(*steps[:-1])
        optimizer = torch.optim.Adam(net.parameters(), lr=0.001, **job.settings)
        x, y = torch.from_numpy(x), torch.from_numpy(y)
        y = y if job.classes > 2 else y.float()
        for _ in range(job["epochs"]):
            order = torch.randperm(len(x))
            for rows in order.split(job["batch"]):
                score = net(x[rows])
                loss = loss_of(score if job.classes > 2 else score[:, 0], y[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        return net

    def predict(net, x):
        with torch.no_grad():
            score = net(torch.from_numpy(x))
        return score.numpy() if job.classes > 2 else score[:, 0].numpy()

    return scaled(job, "float32"), fit, predict, torch.__version__


PEERS = {f.__name__: f for f in (lightgbm, xgboost, hist_gradient_boosting, random_forest, bagging, adaboost,
                                 logistic, sklearn_mlp, stacking, stacking_by_fold, torch_mlp)}
COUNTS = ("rounds", "trees", "estimators")


# ---- what one process does ----

def warm_up(job, fit, x, train):
    """The first few rows of every class, a single step of each kind."""
    params = dict(job.params)
    job.params.update({k: 1 for k in ("rounds", "trees", "estimators", "epochs") if k in params})
    few = train[:400]
    if job.classes:
        few = np.concatenate([train[job.y[train] == c][:30] for c in range(job.classes)])
    fit(np.ascontiguousarray(x[few]), job.y[few])
    job.params.update(params)


def fit_and_check(job):
    x, fit, predict, version = PEERS[job.spec["peer"]](job)
    train, test = job.rows(0), job.rows(2)
    x_train, y_train = np.ascontiguousarray(x[train]), job.y[train]
    if "data" in job.spec:
        warm_up(job, fit, x, train)
    by_fold = job.spec["peer"] == "stacking_by_fold"
    if job.share > 1 and not by_fold:
        job.params.update({k: max(job[k] // job.share, 1) for k in COUNTS if k in job.params})
    start = time.perf_counter()
    model = fit(x_train, y_train)
    seconds = time.perf_counter() - start
    seconds = seconds + job.more if by_fold else seconds * job.share
    q = quality(job, job.y[test], predict(model, np.ascontiguousarray(x[test])))
    about = {"seconds": seconds, "quality": q, "version": version}
    return about | ({"extrapolated": True} if by_fold or job.share > 1 else {}), model


def score(job):
    """LightGBM alone: the model is made once and kept in a file; scoring the test part is what is timed."""
    import os
    import lightgbm as gbm
    path = job.spec["model"]
    if not os.path.exists(path):
        fit_and_check(job)[1].save_model(path)
    model = gbm.Booster(model_file=path)
    test = job.rows(2)
    x = np.ascontiguousarray(job.x[test])
    more = {"num_threads": job.threads} if job.threads else {}
    model.predict(x[:1000], **more)
    start = time.perf_counter()
    p = model.predict(x, **more)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "quality": quality(job, job.y[test], p), "version": gbm.__version__}


def export(job):
    """Training rows, then test rows, as they are or as networks and linear models want them; the training targets."""
    x = scaled(job, "float32") if job.spec["scaled"] else job.x
    np.concatenate([x[job.rows(0)], x[job.rows(2)]]).tofile(job.spec["export"] + "/rows.f32")
    job.y[job.rows(0)].astype(np.float32).tofile(job.spec["export"] + "/target.f32")
    categories = ",".join(f"{i}:{int(np.nanmax(job.x[:, i])) + 1}" for i in job.categorical)
    return {"train": len(job.rows(0)), "features": x.shape[1], "classes": job.classes, "categories": categories}


def judge(job):
    """The quality of predictions of the test rows in a file."""
    p = np.fromfile(job.spec["predictions"], np.float32)
    return {"quality": quality(job, job.y[job.rows(2)], p.reshape(-1, job.classes) if job.classes > 2 else p)}


def main():
    job = Job(json.loads(sys.argv[1]))
    for word, function in (("export", export), ("predictions", judge)):
        if word in job.spec:
            print(json.dumps(function(job)))
            return
    result = score(job) if "model" in job.spec else fit_and_check(job)[0]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
