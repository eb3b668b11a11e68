"""/metrics: the text format of Prometheus, checked here by its rules, and by promtool where it is installed."""

import json
import os
import re
import shutil
import subprocess

from liblathe import DATA, Checks, Lathe
from libapi import Service

checks = Checks()
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
SUFFIXES = ("_bucket", "_sum", "_count")


def family_of(name, types):
    for suffix in SUFFIXES:
        if name.endswith(suffix) and types.get(name[:-len(suffix)]) in ("histogram", "summary"):
            return name[:-len(suffix)]
    return name


def histogram(name, buckets, sums, counts):
    """Problems of one histogram: its buckets by the other labels."""
    for labels, series in buckets.items():
        bounds = [float(le) for le, _ in series]
        values = [v for _, v in series]
        if bounds != sorted(set(bounds)) or bounds[-1] != float("inf"):
            yield f"{name}{labels}: bounds {bounds}"
        if values != sorted(values):
            yield f"{name}{labels}: buckets are not cumulative"
        if counts.get(labels) != values[-1]:
            yield f"{name}{labels}: count {counts.get(labels)} is not the last bucket {values[-1]}"
        if labels not in sums:
            yield f"{name}{labels}: no sum"


def problems(text):
    """What breaks the rules of https://prometheus.io/docs/instrumenting/exposition_formats/."""
    types, helps, done, current, seen = {}, {}, set(), None, set()
    parts = {}
    if not text.endswith("\n"):
        yield "no line break at the end"
    for line in text.splitlines():
        if line.startswith("# "):
            kind, name, rest = (line[2:].split(" ", 2) + ["", ""])[:3]
            if kind not in ("HELP", "TYPE"):
                continue
            into = helps if kind == "HELP" else types
            if name in into:
                yield f"{kind} of {name} twice"
            if name in done:
                yield f"{name} is in two places"
            into[name] = rest
            if current not in (None, name):
                done.add(current)
            current = name
            if kind == "TYPE" and rest not in ("counter", "gauge", "histogram", "summary", "untyped"):
                yield f"{name} has type {rest}"
            continue
        match = SAMPLE.fullmatch(line)
        if line and not match:
            yield f"no sample: {line}"
            continue
        if not line:
            continue
        name, labels, value = match.groups()
        family = family_of(name, types)
        if family != current:
            yield f"{name} stands apart from its TYPE"
        if family not in types or not helps.get(family):
            yield f"{family} has no TYPE or HELP"
        if types.get(family) == "counter" and not name.endswith("_total"):
            yield f"the counter {name} does not end with _total"
        if types.get(family) == "counter" and float(value) < 0:
            yield f"the counter {name} is negative"
        if (name, labels) in seen:
            yield f"{name}{{{labels}}} twice"
        seen.add((name, labels))
        if types.get(family) == "histogram":
            found = dict(LABEL.findall(labels or ""))
            le = found.pop("le", None)
            key = tuple(sorted(found.items()))
            buckets, sums, counts = parts.setdefault(family, ({}, {}, {}))
            if name.endswith("_bucket"):
                buckets.setdefault(key, []).append((le, float(value)))
            else:
                (sums if name.endswith("_sum") else counts)[key] = float(value)
    for name, (buckets, sums, counts) in parts.items():
        yield from histogram(name, buckets, sums, counts)


# the checker itself finds what is wrong
for what, text in {
        "no end": "# HELP a x\n# TYPE a gauge\na 1", "no type": "a 1\n", "no sample": "# HELP a x\n# TYPE a gauge\na one two\n",
        "no total": "# HELP a x\n# TYPE a counter\na 1\n", "twice": "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
        "apart": "# HELP a x\n# TYPE a gauge\n# HELP b x\n# TYPE b gauge\na 1\n",
        "labels": "# HELP a x\n# TYPE a gauge\na{b=\"\"\"} 1\n",
        "buckets": "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        "count": "# HELP a x\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
}.items():
    checks.that(f"the checker finds: {what}", list(problems(text)))
checks.equal("and nothing in what is right", list(problems(
    "# HELP a x\n# TYPE a histogram\na_bucket{b=\"\\\"\\n\",le=\"0.5\"} 1\na_bucket{b=\"\\\"\\n\",le=\"+Inf\"} 2\n"
    "a_sum{b=\"\\\"\\n\"} 1\na_count{b=\"\\\"\\n\"} 2\n")), [])

with Lathe() as lathe:
    d = {
        "lathe": 1, "name": "birds", "seed": 1,
        "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
        "prepare": {"source": {"csv": {"path": os.path.join(DATA, "penguins.csv"), "missing": ["NA"]}}, "profile": False},
        "train": {"candidates": {"trees": {"gbdt": {"rounds": 3}}}}, "deploy": {"endpoint": "species", "when": "always"},
    }
    lathe.pipeline(d)
    with Service(lathe) as service:
        row = {"island": "Biscoe", "bill_length_mm": 45.0, "bill_depth_mm": 14.0, "flipper_length_mm": 215,
               "body_mass_g": 5000, "sex": "male", "year": 2008}
        body = {"inputs": [{"name": k, "shape": [1, 1], "datatype": "BYTES" if isinstance(v, str) else "FP64", "data": [v]}
                           for k, v in row.items()]}
        for _ in range(5):
            checks.equal("infer", service.call("POST", "/v2/models/species/infer", body, port="infer")[0], 200)
        service.call("POST", "/v2/models/species/infer", "{", port="infer")
        status, text = service.call("GET", "/metrics")
        checks.equal("status", (status, service.headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        checks.equal("nothing is wrong with it", list(problems(text)), [])
        checks.has("latencies", text, "lathe_inference_request_duration_seconds_bucket")
        if shutil.which("promtool"):
            r = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
            checks.equal("promtool", (r.returncode, r.stdout + r.stderr), (0, ""))
        else:
            print("promtool is not installed: checked by the rules above alone")
checks.end()
