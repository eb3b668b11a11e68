"""Importances in the result, the model file and the report: of trees against the file's own nodes, and permutation
importance against its expectation."""

import json
import math
import os
import random
import struct

from liblathe import Checks, Lathe, parse

ROWS = 3000


def make_csv(path):
    """y = 3a + b + effect(kind); c is noise; two columns have names that begin alike."""
    source = random.Random(11)
    effect = {"one": 0.0, "two": 4.0, "three": -4.0}
    with open(path, "w", encoding="utf-8") as file:
        file.write("a,ab,c,kind,y\n")
        for _ in range(ROWS):
            a, b, c = source.random(), source.random(), source.random()
            kind = source.choice(list(effect))
            file.write(f"{a},{b},{c},{kind},{3 * a + b + effect[kind]}\n")
    return effect


def document(path, candidates, transforms):
    return {"lathe": 1, "name": "owes", "seed": 3,
            "goal": {"task": "regression", "target": "y", "metric": "mse"},
            "prepare": {"source": {"csv": {"path": path}}, "transforms": transforms,
                        "split": {"random": {"test": 0.2, "validation": 0.3}}},
            "train": {"candidates": candidates}, "deploy": {"when": "always"}}


def tensors(path):
    """{name: (dtype, values)} of the file's arrays that are needed here."""
    with open(path, "rb") as file:
        raw = file.read()
    (size,) = struct.unpack("<Q", raw[:8])
    out = {}
    for name, entry in json.loads(raw[8:8 + size]).items():
        code = {"F64": "d", "U32": "I"}.get(entry.get("dtype"))
        if code and name.split(".")[-1].split("/")[-1] in ("node_gain", "node_feature"):
            begin, end = entry["data_offsets"]
            count = (end - begin) // struct.calcsize(code)
            out[name] = struct.unpack(f"<{count}{code}", raw[8 + size + begin:8 + size + end])
    return out


def check_trees(checks, lathe, path):
    """Gain and splits of the nodes in the file, by raw column; the one-hot columns go to `kind`."""
    steps = [{"one_hot": {}}, {"standardize": {"columns": ["a"]}}]
    code, answer, text = lathe.pipeline(document(path, {
        "boosted": {"gbdt": {"rounds": 20, "base": {"tree": {"max_leaves": 8}}}}}, steps))
    if not checks.equal("trees: exit code", code, 0):
        print(text)
        return
    columns = ["a", "ab", "c", "kind", "kind", "kind"]  # as prepared
    found = tensors(answer["model"]["file"])
    gains = [v for k, v in found.items() if k.endswith("node_gain")]
    features = [v for k, v in found.items() if k.endswith("node_feature")]
    if not checks.that("trees: the file has the nodes", len(gains) == 1 and len(features) == 1, list(found)):
        return
    gain, splits = {}, {}
    for value, meta in zip(gains[0], features[0]):
        name = columns[meta & 0x0fffffff]
        gain[name] = gain.get(name, 0) + value
        splits[name] = splits.get(name, 0) + 1
    told = {i["feature"]: i for i in answer["candidates"]["boosted"]["importance"]}
    checks.equal("trees: the columns", set(told), set(gain))
    for name, item in told.items():
        checks.that(f"trees: gain of {name}", math.isclose(item["gain"], gain[name], rel_tol=1e-9), (item, gain))
        checks.equal(f"trees: splits of {name}", item["splits"], splits[name])
        checks.that(f"trees: share of {name}", math.isclose(item["value"], gain[name] / sum(gain.values()), rel_tol=1e-9), item)
    values = [i["value"] for i in answer["candidates"]["boosted"]["importance"]]
    checks.equal("trees: falling", values, sorted(values, reverse=True))
    checks.equal("trees: kind matters most", answer["candidates"]["boosted"]["importance"][0]["feature"], "kind")
    r = lathe.run("models", "show", "owes", "--json")
    shown = parse(r.stdout)
    checks.equal("models show: importance", shown["importance"], answer["candidates"]["boosted"]["importance"])
    checks.equal("models show: permutation", shown["permutation"], answer["permutation"])
    with open(answer["report"], encoding="utf-8") as file:
        checks.has("report: importances", file.read(), '"permutation"', '"splits"')


def check_permutation(checks, lathe, path, effect):
    """An exact linear model: shuffling x of weight w raises the mean squared error by 2 w^2 var(x) on average."""
    code, answer, text = lathe.pipeline(document(path, {"line": {"linear": {"l2": 0}}}, [{"one_hot": {}}]))
    if not checks.equal("permutation: exit code", code, 0):
        print(text)
        return
    p = answer["permutation"]
    checks.equal("permutation: what it is of", (p["metric"], p["part"], p["repeats"]), ("mse", "validation", 5))
    checks.that("permutation: rows", 800 <= p["rows"] <= 1000, p["rows"])
    checks.that("permutation: the model is exact", p["score"] < 1e-3, p["score"])
    drop = {f["feature"]: f for f in p["features"]}
    kinds = list(effect.values())
    want = {"a": 2 * 9 / 12, "ab": 2 * 1 / 12, "c": 0.0, "kind": 2 * sum(v * v for v in kinds) / len(kinds)}
    checks.equal("permutation: raw columns, falling", [f["feature"] for f in p["features"]], ["kind", "a", "ab", "c"])
    for name, value in want.items():
        checks.that(f"permutation: {name}", abs(drop[name]["drop"] - value) <= 0.1 * value + 1e-4, (drop[name], value))
        checks.that(f"permutation: spread of {name}", 0 <= drop[name]["sd"] <= 0.1 * value + 1e-4, drop[name])
    checks.that("permutation: repeats differ", drop["a"]["sd"] > 0, drop["a"])
    code, again, _ = lathe.pipeline(document(path, {"line": {"linear": {"l2": 0}}}, [{"one_hot": {}}]), "--threads", "3")
    checks.equal("permutation: again, with other threads", again["permutation"], p)


def main():
    checks = Checks()
    with Lathe() as lathe:
        path = os.path.join(lathe.dir, "rows.csv")
        effect = make_csv(path)
        check_trees(checks, lathe, path)
        check_permutation(checks, lathe, path, effect)
    checks.end()


main()
