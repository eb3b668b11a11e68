"""Broken model files: cut short, flipped, lying about lengths, offsets, shapes, plugins and trees. Verifying and predicting
say what is wrong, with exit code 1; nothing crashes, and nothing is predicted with a damaged model."""

import json
import os
import random
import struct
from concurrent.futures import ThreadPoolExecutor

from liblathe import DATA, SANITIZED, Checks, Lathe, ModelFile, parse

PENGUINS = os.path.join(DATA, "penguins.csv")


def document(candidate, transforms=()):
    return {"lathe": 1, "name": "penguins", "seed": 3,
            "goal": {"task": "classification", "target": "species", "metric": "accuracy"},
            "prepare": {"source": {"csv": {"path": PENGUINS}}, "transforms": list(transforms), "profile": False},
            "train": {"candidates": {"one": candidate}}, "deploy": {"endpoint": "penguins"}}


MODELS = {
    "tree": document({"gbdt": {"rounds": 3, "base": {"tree": {"max_leaves": 8}}}}),
    "line": document({"linear": {"max_iterations": 5}}, [{"impute": {"columns": "numeric"}}, "one_hot",
                                                         {"standardize": {}}]),
    "net": document({"mlp": {"layers": [{"units": 5}], "epochs": 1}}, [{"impute": {"columns": "numeric"}}]),
}


def container_cases(raw):
    """Broken at the level of the container: name, bytes, a piece of the message."""
    (size,) = struct.unpack("<Q", raw[:8])
    head, data = raw[8:8 + size], raw[8 + size:]
    for n in (0, 1, 7):
        yield f"{n} bytes", raw[:n], "shorter than 8 bytes"
    for n in (8, 9, 100, size // 2, size + 7):
        yield f"cut at {n}", raw[:n], "its header claims"
    for n in (size + 8, size + 9, size + 8 + len(data) // 2, len(raw) - 64, len(raw) - 1):
        yield f"cut at {n}", raw[:n], "no intact model file"
    for n in (1, 8, 64, 100000):
        yield f"{n} bytes appended", raw + b"\0" * n, "no intact model file: the last tensor does not end"
    yield "itself appended", raw + raw, "does not end where the file ends"
    for length in (len(raw) - 7, 1 << 32, 1 << 63, (1 << 64) - 1, (1 << 64) - 8, 101 << 20):
        yield f"header length {length}", struct.pack("<Q", length) + raw[8:], "its header claims"
    for length in (0, 1, size // 3, len(head.rstrip()) - 1):
        yield f"header length {length}", struct.pack("<Q", length) + raw[8:], "header is no JSON object"
    yield "header a byte longer", struct.pack("<Q", size + 1) + raw[8:], "no intact model file"
    for name, text in (("empty", b""), ("list", b"[]"), ("number", b"1"), ("cut", head[:-100]), ("not UTF-8", head[:30] + b"\xff"),
                       ("deep", b'{"a":' * 50 + b"1" + b"}" * 50), ("zeroes", b"\0" * 64),
                       ("two", b'{"a":1,"a":2}')):
        yield f"header {name}", struct.pack("<Q", len(text)) + text + data, "header is no JSON object"
    yield "no tensors", struct.pack("<Q", 2) + b"{}" + data, "does not end where the file ends"
    yield "nothing at all", struct.pack("<Q", 2) + b"{}", "not written by Lathe"
    yield "a PNG", b"\x89PNG\r\n\x1a\n" + raw[8:], "its header claims"
    yield "a CSV", b"id,x,letter,y\n1,2,a,yes\n", "its header claims"


def entry_cases(good):
    """One tensor's entry broken."""
    names = [name for name in good.header if not name.startswith("pad.")]
    first, last = names[0], list(good.header)[-1]
    begin, end = good.header[first]["data_offsets"]

    def entry(name, **changes):
        file = good.copy()
        file.header[name].update(changes)
        return file.bytes()

    bad = "bad dtype, shape or data_offsets"
    for dtype in ("F33", "", "f32", "COMPLEX", 5, None, ["F32"]):
        yield f"dtype {dtype!r}", entry(first, dtype=dtype), bad
    yield "dtype of another width", entry(first, dtype="F16"), "does not fill its data_offsets"
    shape = good.header[first]["shape"]
    for name, value in (("huge", [1 << 40, 1 << 40]), ("of 2^63", [1 << 63]), ("negative", [-1] + shape), ("of texts", ["3"]),
                        ("of fractions", [1.5]), ("a number", 3), ("of nine dimensions", [1] * 9 + shape), ("null", None),
                        ("beyond all numbers", [1e300]), ("of two negatives", [-3, -1])):
        yield f"shape {name}", entry(first, shape=value), "\"" + first
    yield "shape smaller", entry(first, shape=[shape[0] - 1]), "does not fill its data_offsets"
    yield "shape of 2^61", entry(first, shape=[1 << 61]), "\"" + first
    yield "shape of zero", entry(first, shape=[0] + shape), "does not fill its data_offsets"
    for name, value in (("turned around", [end, begin]), ("negative", [-8, end - begin - 8]), ("past the end", [begin, 1 << 40]),
                        ("one", [begin]), ("three", [begin, end, end]), ("texts", [str(begin), str(end)]), ("null", None),
                        ("beyond int64", [1e19, 2e19])):
        yield f"offsets {name}", entry(first, data_offsets=value), "\"" + first
    length = good.header[last]["data_offsets"][1] - good.header[last]["data_offsets"][0]
    yield "overlap", entry(last, data_offsets=[0, length]), "overlap or have holes"
    file = good.copy()
    del file.header[first]
    yield "a tensor left out", file.bytes(), "overlap or have holes"
    file = good.copy()
    file.data += b"\0" * 8
    yield "a tail that no tensor has", file.bytes(), "does not end where the file ends"
    file = good.copy()
    file.data += b"\0" * 8
    file.header["more"] = {"dtype": "F64", "shape": [1], "data_offsets": [len(file.data) - 8, len(file.data)]}
    yield "a tensor without a sum", file.bytes(sums=False), "not in the list of checksums"
    file = good.copy()
    file.header["zzz"] = file.header.pop(first)
    yield "a tensor under another name", file.bytes(sums=False), "checksum names a tensor that is not there"
    file = good.copy()
    file.data[begin] ^= 1
    yield "a flipped bit in a tensor", file.bytes(sums=False), "do not match their checksum"
    pad = good.header["pad.0"]["data_offsets"]
    file = good.copy()
    file.data[pad[0]] ^= 1
    yield "a flipped bit in the padding", file.bytes(sums=False), "padding is not empty"
    file = good.copy()
    file.meta["metrics"] = file.meta["metrics"].replace("0.", "1.", 1)
    yield "a flipped digit in the metadata", file.bytes(sums=False), "metadata does not match its checksum"
    for name, value in (("no JSON", "{"), ("a list", "[]"), ("numbers", '{"__metadata__": 5}'),
                        ("no hexadecimals", '{"__metadata__": "xyz"}'), ("too long", '{"__metadata__": "1234567890"}')):
        file = good.copy()
        file.meta["crc32"] = value
        yield f"sums that are {name}", file.bytes(sums=False), "no intact model file"


def meaning_cases(good):
    """The container is sound, the meaning is not: name, bytes, message, is it seen without plugins?"""
    first = next(name for name in good.header if not name.startswith("pad."))

    def meta(key, change):
        file = good.copy()
        file.change(key, change)
        return file.bytes()

    def without(key):
        file = good.copy()
        del file.meta[key]
        return file.bytes()

    yield "no metadata", without("lathe"), "not written by Lathe", True
    yield "head is a list", meta("lathe", lambda t: []), "not written by Lathe", True
    yield "format 2", meta("lathe", lambda t: t.update(format=2)), "Use a newer program", True
    yield "format 0", meta("lathe", lambda t: t.update(format=0)), "not written by Lathe", True
    yield "format as text", meta("lathe", lambda t: t.update(format="1")), "not written by Lathe", True
    yield "task 7", meta("lathe", lambda t: t.update(task=7)), "name, target or task", True
    yield "no name", meta("lathe", lambda t: t.pop("name") and None), "name, target or task", True
    yield "target is a number", meta("lathe", lambda t: t.update(target=1)), "name, target or task", True
    yield "positive 5", meta("lathe", lambda t: t.update(positive=5)), "name, target or task", True
    yield "a class too few", meta("lathe", lambda t: t["classes"].pop() and None), "classes do not fit", True
    yield "a class is a number", meta("lathe", lambda t: t.update(classes=["a", "b", 3])), "a class is no text", True
    yield "a class too many", meta("lathe", lambda t: t["classes"].append("x")), "", False
    yield "regression with classes", meta("lathe", lambda t: t.update(task=1)), "classes do not fit", True
    yield "another task", meta("lathe", lambda t: t.update(task=1, classes=[])), "", False
    for n in (-1, 10001, "2", None, 1.5):
        yield f"{n!r} transforms", meta("lathe", lambda t: t.update(transforms=n)), "number of transforms", True
    yield "99 transforms", meta("lathe", lambda t: t.update(transforms=99)), "transform.", True
    yield "no schema", without("schema"), "schema", True
    yield "schema is an object", meta("schema", lambda t: {}), "", True
    yield "schema of unknown types", meta("schema", lambda t: t[0].update(type="float128")), "float128", True
    yield "schema with a column twice", meta("schema", lambda t: t.append(t[0])), "", True
    yield "schema without a name", meta("schema", lambda t: t[0].pop("name") and None), "", True
    yield "schema with a number as category", meta("schema", lambda t: t[0].update(values=[1])), "", True
    yield "schema with a column less", meta("schema", lambda t: t.pop() and None), "", False
    yield "no learner", without("node:learner"), "the part is not in the file", True
    yield "learner is no JSON", meta("node:learner", lambda t: "x"), "", True
    yield "learner of no plugin", meta("node:learner", lambda t: t.pop("plugin") and None), "which plugin", True
    yield "learner of an unknown plugin", meta("node:learner", lambda t: t.update(plugin="org.example.gone")), \
        "org.example.gone", False
    yield "learner is a transform", meta("node:learner", lambda t: t.update(plugin="lathe.transform.impute", config="{}")), \
        "", False
    yield "state of the future", meta("node:learner", lambda t: t.update(state_version=99)), "99", False
    yield "state version as text", meta("node:learner", lambda t: t.update(state_version="1")), "which plugin", True
    yield "state version beyond", meta("node:learner", lambda t: t.update(state_version=1e18)), "which plugin", True
    yield "config is no JSON", meta("node:learner", lambda t: t.update(config="{")), "", False
    yield "config of another plugin", meta("node:learner", lambda t: t.update(config='{"lathe.learner.constant": {}}')), \
        "", False
    yield "config with an unknown parameter", meta(
        "node:learner", lambda t: t.update(config=json.dumps({t["plugin"]: {"zzz": 1}}))), "zzz", False
    yield "a part that is not there", meta("node:learner", lambda t: t["children"].append("zzz")), "zzz", True
    yield "a part twice", meta("node:learner", lambda t: t.update(children=t["children"] * 2 + ["x", "x"])), "", True
    yield "a part of a number", meta("node:learner", lambda t: t.update(children=[1])), "no text", True
    yield "a tensor that is not there", meta("node:learner", lambda t: t["tensors"].append("zzz")), "not in the file", True
    yield "no tensors listed", meta("node:learner", lambda t: t.update(tensors=[])), "", False
    yield "no attributes", meta("node:learner", lambda t: t.update(attributes={})), "", False
    yield "an attribute without a type", meta("node:learner", lambda t: t["attributes"].update(zz=1)), "attribute", True
    yield "an integer beyond int64", meta("node:learner", lambda t: t["attributes"].update(zz={"i": "9" * 30})), "attribute", True
    yield "a number that is none", meta("node:learner", lambda t: t["attributes"].update(zz={"n": "0x"})), "attribute", True
    yield "an odd hexadecimal text", meta("node:learner", lambda t: t["attributes"].update(zz={"s": {"hex": "abc"}})), \
        "attribute", True
    file = good.copy()
    for i in range(40):  # a chain of parts deeper than any
        file.meta["node:learner" + "/x" * i] = json.dumps(dict(file.json("node:learner"), children=["x"], tensors=[]))
    yield "parts too deep", file.bytes(), "nested too deeply", True
    file = good.copy()
    entry = file.header[first]
    other = {"F64": "I64", "F32": "I32", "I32": "F32", "U32": "F32"}[entry["dtype"]]
    entry["dtype"] = other
    yield "a tensor of another type", file.bytes(), "", False
    file = good.copy()
    file.header[first]["shape"] = [1] + file.header[first]["shape"]
    yield "a tensor of another rank", file.bytes(), "", False


def tree_cases(good):
    """Trees that are none. All values of a tensor replaced, or one."""
    names = {name.rsplit(".", 1)[1]: name for name in good.header if "/sum." in name}

    def tensor(short, change):
        file = good.copy()
        file.array(names[short], change(file.array(names[short])))
        return file.bytes()

    nodes = len(good.array(names["node_feature"]))
    yield "a child past the nodes", tensor("node_child", lambda v: v[:-1] + [nodes + 5])
    yield "a child far off", tensor("node_child", lambda v: [0x7FFFFFFF] + v[1:])
    yield "a leaf far off", tensor("node_child", lambda v: [-0x80000000] + v[1:])
    yield "a node that is its own child", tensor("node_child", lambda v: [0, 0] + v[2:])
    yield "a child that is its ancestor", tensor("node_child", lambda v: v[:-2] + [0, 0])
    yield "all children the root", tensor("node_child", lambda v: [0] * len(v))
    yield "a feature past the last", tensor("node_feature", lambda v: [0xFFFFFFFF] + v[1:])
    yield "a feature that is the eighth of seven", tensor("node_feature", lambda v: [(x & ~0xFFFF) | 7 for x in v])
    yield "a root past the nodes", tensor("tree_root", lambda v: [nodes + 1] + v[1:])
    yield "a root far before", tensor("tree_root", lambda v: [-1000000] + v[1:])
    yield "a column of no output", tensor("tree_column", lambda v: [3] + v[1:])
    yield "a negative column", tensor("tree_column", lambda v: [-1] + v[1:])


def attribute_cases(good):
    """Lying counts in the attributes of every part."""
    for key in [key for key in good.meta if key.startswith("node:")]:
        for name, value in good.json(key)["attributes"].items():
            if "i" not in value:
                continue
            for lie in ("-1", "9223372036854775807", "1000000007", str(int(value["i"]) + 1)):
                file = good.copy()
                file.change(key, lambda t, n=name, x=lie: t["attributes"].update({n: {"i": x}}))
                yield f"{key} {name} is {lie}", file.bytes()


def flips(raw, count):
    """Single bits, everywhere: half of them in the header."""
    rng = random.Random(5)
    (size,) = struct.unpack("<Q", raw[:8])
    for i in range(count):
        at = rng.randrange(8 + size) if i % 2 else rng.randrange(8 + size, len(raw))
        bit = rng.randrange(8)
        yield f"bit {bit} of byte {at}", raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1:]


class Bench:
    def __init__(self, checks, lathe, rows):
        self.checks, self.lathe, self.rows = checks, lathe, rows
        self.count = 0

    def refused(self, name, r, says, path):
        self.checks.equal(f"{name}: exit code", r.returncode, 1)
        self.checks.equal(f"{name}: stdout", r.stdout, "")
        self.checks.that(f"{name}: one sentence", r.stderr.startswith("lathe: ") and r.stderr.count("\n") == 1, r.stderr)
        self.checks.has(name, r.stderr.replace(path, "FILE"), says)
        self.checks.lacks(name, r.stderr, "crash")

    def try_file(self, name, raw, says="", early=True):
        """early: seen without plugins, so by `models verify` too."""
        self.count += 1
        path = self.lathe.write(f"case-{self.count}.lathe", raw)
        r = self.lathe.run("models", "verify", path)
        if early:
            self.refused(f"verify, {name}", r, says, path)
        else:
            self.checks.that(f"verify, {name}: exit code", r.returncode in (0, 1), r)
        r = self.lathe.run("predict", path, self.rows, "--threads", "1")
        self.refused(f"predict, {name}", r, says, path)
        os.unlink(path)

    def try_lie(self, name, raw):
        """Something that a plugin must notice, or that is harmless: no crash."""
        self.count += 1
        path = self.lathe.write(f"case-{self.count}.lathe", raw)
        r = self.lathe.run("predict", path, self.rows, "--threads", "1")
        self.checks.that(f"predict, {name}", r.returncode in (0, 1) and "crash" not in r.stderr, r.stderr)
        if r.returncode == 1:
            self.refused(f"predict, {name}", r, "", path)
        os.unlink(path)

    def try_flip(self, name, raw):
        self.count += 1
        path = self.lathe.write(f"case-{self.count}.lathe", raw)
        self.refused(f"verify, {name}", self.lathe.run("models", "verify", path), "", path)
        os.unlink(path)


def check_paths(checks, lathe, model, rows):
    folder = lathe.path("folder")
    os.makedirs(folder)
    for verb in (["models", "verify"], ["predict"]):
        tail = [rows] if verb == ["predict"] else []
        for name, path in (("a folder", folder), ("no file", lathe.path("none.lathe")), ("a device", "/dev/null"),
                           ("a bad name", "a/b/c"), ("an empty name", "")):
            r = lathe.run(*verb, path, *tail)
            checks.equal(f"{verb}, {name}: exit code", r.returncode, 1)
            checks.that(f"{verb}, {name}: a sentence", r.stderr.startswith("lathe: "), r.stderr)
    for name, args in (("no such rows", [model, lathe.path("none.csv")]), ("a folder as rows", [model, folder]),
                       ("output in no folder", [model, rows, "-o", lathe.path("no", "out.csv")])):
        r = lathe.run("predict", *args)
        checks.equal(f"predict, {name}: exit code", r.returncode, 1)
    bad = [("a column is missing", "island,sex\nDream,male\n", "bill_length_mm"),
           ("no rows", "", "empty"),
           ("text for a number", None, "bill_length_mm")]
    with open(rows) as file:
        lines = file.read().splitlines()
    for name, text, says in bad:
        if text is None:
            text = "\n".join([lines[0], lines[1].replace(lines[1].split(",")[2], "long", 1)]) + "\n"
        path = lathe.write("rows.csv", text)
        r = lathe.run("predict", model, path, "-o", lathe.path("out.csv"))
        checks.equal(f"predict, {name}: exit code", r.returncode, 1)
        checks.has(f"predict, {name}", r.stderr, says)
        checks.that(f"predict, {name}: no output", not os.path.exists(lathe.path("out.csv")), "there is one")


def check_stored(checks, lathe):
    """Damage in the store itself: told by verify, and nothing is served from it."""
    path = parse(lathe.run("models", "show", "penguins", "--json").stdout)["file"]
    with open(path, "rb") as file:
        raw = file.read()
    os.chmod(path, 0o644)
    with open(path, "wb") as file:
        file.write(raw[:-100])
    for args in (["models", "verify", "penguins"], ["verify"], ["predict", "penguins", PENGUINS],
                 ["models", "export", "penguins", "-o", lathe.path("copy.lathe")]):
        r = lathe.run(*args)
        checks.equal(f"damage in the store, {args[0]} {args[1:2]}: exit code", r.returncode, 1)
    checks.that("damage in the store: no export", not os.path.exists(lathe.path("copy.lathe")), "there is one")
    with open(path, "wb") as file:
        file.write(raw)
    r = lathe.run("models", "verify", "penguins")
    checks.equal("healed", r.returncode, 0)


def main():
    checks = Checks()
    with Lathe() as lathe, ThreadPoolExecutor(3) as pool:
        with open(PENGUINS) as file:
            rows = lathe.write("few.csv", "".join(file.readlines()[:12]))
        jobs, files = [], {}
        bench = Bench(checks, lathe, rows)
        for name, doc in MODELS.items():
            code, answer, stderr = lathe.pipeline(doc)
            assert code == 0, stderr
            with open(answer["model"]["file"], "rb") as file:
                files[name] = file.read()
        raw = files["tree"]
        good = ModelFile(raw)
        path = lathe.write("good.lathe", good.bytes())
        checks.equal("the rewritten good one: verify", lathe.run("models", "verify", path).returncode, 0)
        checks.equal("the rewritten good one: predict", lathe.run("predict", path, rows).stdout,
                     lathe.run("predict", lathe.write("same.lathe", raw), rows).stdout)
        for name, content, says in list(container_cases(raw)) + list(entry_cases(good)):
            jobs.append(pool.submit(bench.try_file, name, content, says))
        for name, content, says, early in meaning_cases(good):
            jobs.append(pool.submit(bench.try_file, name, content, says, early))
        for name, content in tree_cases(good):
            jobs.append(pool.submit(bench.try_file, name, content, "", False))
        for name, content in flips(raw, 60 if SANITIZED else 200):
            jobs.append(pool.submit(bench.try_flip, name, content))
        for model, content in files.items():
            for name, lie in attribute_cases(ModelFile(content)):
                jobs.append(pool.submit(bench.try_lie, f"{model}: {name}", lie))
        for job in jobs:
            job.result()
        check_paths(checks, lathe, path, rows)
        check_stored(checks, lathe)
    checks.end()


main()
