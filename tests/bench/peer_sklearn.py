"""scikit-learn on the rows that accuracy.py gives Lathe: the same parts, its own defaults.

Trees get categories as ordinal codes (boosting natively as categories), the others one-hot and scaled.
"""
import inspect

import pandas
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (AdaBoostClassifier, BaggingRegressor, HistGradientBoostingClassifier,
                              HistGradientBoostingRegressor, RandomForestClassifier,
                              RandomForestRegressor)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, mean_squared_error, roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

TEXT = make_column_selector(dtype_include=object)
NUMBERS = make_column_selector(dtype_exclude=object)


def encoded(model, scaled):
    if scaled:
        text = make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"),
                             OneHotEncoder(handle_unknown="ignore"))
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    else:
        text = make_pipeline(SimpleImputer(strategy="constant", fill_value="missing"),
                             OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1))
        numbers = SimpleImputer(strategy="median")
    return make_pipeline(make_column_transformer((text, TEXT), (numbers, NUMBERS)), model)


def boosted(kind, rounds, frame):
    """Categories first, as codes, then the numbers."""
    text = TEXT(frame)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
    columns = make_column_transformer((codes, text), ("passthrough", NUMBERS))
    return make_pipeline(columns, kind(max_iter=rounds, early_stopping=False,
                                       categorical_features=list(range(len(text)))))


def ada(seed):
    """The algorithm of scikit-learn 1.2's default, where it still exists."""
    known = "algorithm" in inspect.signature(AdaBoostClassifier).parameters
    try:
        return AdaBoostClassifier(n_estimators=100, random_state=seed,
                                  **({"algorithm": "SAMME.R"} if known else {}))
    except TypeError:
        return AdaBoostClassifier(n_estimators=100, random_state=seed)


def models(one, frame, seed):
    classes = one["goal"]["task"] == "classification"
    boost = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    forest = RandomForestClassifier if classes else RandomForestRegressor
    made = {
        "logistic": lambda: encoded(LogisticRegression(max_iter=1000), True),
        "tree_63": lambda: encoded(DecisionTreeClassifier(max_leaf_nodes=63, random_state=seed), False),
        "random_forest": lambda: encoded(forest(n_estimators=100, n_jobs=-1, random_state=seed), False),
        "gbdt_100": lambda: boosted(boost, 100, frame),
        "gbdt_300": lambda: boosted(boost, 300, frame),
        "adaboost_100": lambda: encoded(ada(seed), False),
        "mlp_64": lambda: encoded(MLPClassifier((64,), max_iter=20, random_state=seed), True),
        "bagging_20": lambda: encoded(BaggingRegressor(n_estimators=20, random_state=seed), False),
    }
    return {name: made[name]() for name in one["models"] if name in made}


def score(metric, model, x, y):
    if metric == "rmse":
        return mean_squared_error(y, model.predict(x)) ** 0.5
    if metric == "accuracy":
        return accuracy_score(y, model.predict(x))
    return roc_auc_score(y, model.predict_proba(x)[:, 1])


def scores(path, one, seed):
    """{candidate: test score} of the file with the column "part"."""
    frame = pandas.read_csv(path, na_values=one.get("missing", []), keep_default_na=False)
    goal = one["goal"]
    y = frame.pop(goal["target"])
    y = (y == goal["positive"]).astype(int) if "positive" in goal else y
    part = frame.pop("part")
    train, test = part == "train", part == "test"
    return {name: score(goal["metric"], model.fit(frame[train], y[train]), frame[test], y[test])
            for name, model in models(one, frame, seed).items()}
