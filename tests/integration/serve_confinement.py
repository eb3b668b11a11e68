"""What a submitted document may read: files below the data roots and nothing else, whichever way it is asked for; and sources
by the role of who submits."""

import json
import os
import struct

from liblathe import Checks, Lathe
from libserve import Service

checks = Checks()


def document(source, replay=None, **more):
    out = {"lathe": 1, "name": "inside", "seed": 1,
           "goal": {"task": "regression", "target": "y", "metric": "rmse"},
           "prepare": {"source": source, "profile": False},
           "train": {"candidates": {"line": "linear"}}}
    if replay is not None:
        out["monitor"] = {"drift": ["psi"], "replay": replay}
    return dict(out, **more)


def csv(path):
    return {"csv": {"path": path}}


REFUSED = (400, 422)  # as what is wrong, or as what breaks a rule


def write(path, text):
    with open(path, "w") as out:
        out.write(text)


with Lathe() as lathe:
    root, outside = os.path.join(lathe.dir, "data"), os.path.join(lathe.dir, "outside")
    rows = "a,y\n" + "".join(f"{i},{2 * i}\n" for i in range(60))
    for folder in (root, os.path.join(root, "sub"), outside, root + "-beside"):
        os.makedirs(folder)
        write(os.path.join(folder, "rows.csv"), rows)
    os.symlink(os.path.join(outside, "rows.csv"), os.path.join(root, "link.csv"))
    os.symlink(outside, os.path.join(root, "linked"))
    os.symlink("rows.csv", os.path.join(root, "inner.csv"))
    os.symlink("/proc/self", os.path.join(root, "self"))
    os.mkfifo(os.path.join(root, "pipe.csv"))
    with open(os.path.join(root, "labels.idx"), "wb") as out:
        out.write(struct.pack(">HBBI", 0, 8, 1, 4) + bytes(4))
    tokens = {}
    for role in ("operate", "admin"):
        tokens[role] = lathe.run("tokens", "create", role, "--role", role).stdout.strip()
    config = {"data_roots": [root], "workers": 1, "sources": {"operate": ["csv"]}}
    with Service(lathe, config=config) as service:
        def validate(doc, role="operate", path="/api/v1/validate"):
            return service.control("POST", path, doc, token=tokens[role])

        for good in ("rows.csv", "sub/rows.csv", "sub/../rows.csv", "./rows.csv", "inner.csv",
                     os.path.join(root, "rows.csv")):
            checks.equal("may read " + good, validate(document(csv(good)))[0], 200)
        bad = ["../outside/rows.csv", "sub/../../outside/rows.csv", os.path.join(outside, "rows.csv"), "link.csv",
               "linked/rows.csv", "linked/../outside/rows.csv", "../data-beside/rows.csv", root + "-beside/rows.csv",
               os.path.join(lathe.home, "lathe.db"), "../home/lathe.db", "self/environ", "self/root/etc/passwd",
               "self/cwd/rows.csv", "/etc/passwd", "/proc/self/environ", "/dev/zero", "/dev/stdin", "pipe.csv", "sub",
               ".", "..", "/", "rows.csv/../../outside/rows.csv", "file:///etc/passwd", "~/rows.csv", "-",
               "rows.csv\u0000/../../outside/rows.csv"]
        for path in bad:
            for place in ("source", "replay"):
                doc = document(csv(path)) if place == "source" else document(csv("rows.csv"), csv(path))
                for route in ("/api/v1/validate", "/api/v1/runs"):
                    status, answer, _ = validate(doc, path=route)
                    checks.that(f"{place} {path!r} at {route}", status in REFUSED, status)
            checks.equal(f"a described {path!r}", service.control("POST", "/api/v1/data/describe", {"path": path},
                                                                  token=tokens["operate"])[0] in (400, 404, 422), True)
        # by a parameter, set with the submission
        doc = document(csv("${p}"), params={"p": "rows.csv"})
        checks.equal("a parameter", validate(doc)[0], 200)
        checks.that("set from outside", validate({"document": doc, "set": ["p=../outside/rows.csv"]})[0] in REFUSED)
        checks.that("no folder of its own",
                    validate({"document": document(csv("rows.csv")), "base_dir": outside})[0] in REFUSED)
        # the answer does not tell what there is outside
        there = validate(document(csv("../outside/rows.csv")))[1]["errors"][0]["message"]
        not_there = validate(document(csv("../outside/none.csv")))[1]["errors"][0]["message"]
        checks.equal("no word of what lies outside", there.replace("rows.csv", ""), not_there.replace("none.csv", ""))

        idx = {"idx": {"images": "labels.idx", "labels": "labels.idx"}}
        status, answer, _ = validate(document(idx))
        checks.that("a source that the role may not use", status in REFUSED, status)
        checks.has("its message", json.dumps(answer["errors"]), "operate", "idx", "/prepare/source")
        checks.that("nor as a replay", validate(document(csv("rows.csv"), idx))[0] in REFUSED)
        checks.that("its full name is no way around",
                    validate(document({"lathe.source.idx": idx["idx"]}))[0] in REFUSED)
        checks.equal("another role may", validate(document(idx), role="admin")[0], 200)
        checks.equal("orderly stop", service.stop(), 0)

    # without data roots a document reads nothing
    with Service(lathe, config={"workers": 1}) as service:
        for path in ("rows.csv", os.path.join(root, "rows.csv"), "/etc/passwd"):
            checks.that("without roots: " + path, service.control("POST", "/api/v1/runs", document(csv(path)),
                                                                  token=tokens["admin"])[0] in REFUSED)
    r = lathe.run("serve", "--config", lathe.write("bad.json", {"sources": {"infer": ["csv"], "operate": "csv"}}))
    checks.equal("bad sources", r.returncode, 2)
    checks.has("both faults", r.stderr, "infer", "a list of names")
checks.end()
