"""The inference worker alone, with this script as its supervisor: every verb of the protocol, errors, swaps, draining."""

import fcntl
import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

from liblathe import BIN, DATA, SLOWER, Checks, Lathe

checks = Checks()


def document(name, source, transforms, learner, target, metric, seed=1):
    return {"lathe": 1, "name": name, "seed": seed,
            "goal": {"task": "regression" if metric == "rmse" else "classification", "target": target, "metric": metric},
            "prepare": {"source": {"csv": source}, "transforms": transforms, "split": {"random": {"test": 0.2}}},
            "train": {"candidates": {"a": learner}}}


PENGUINS = {"path": os.path.join(DATA, "penguins.csv"), "missing": ["NA", ""]}
BIRDS = document("birds", PENGUINS, [{"impute": {"columns": "numeric", "strategy": "median"}}], {"linear": {}}, "species", "accuracy")
MASS = document("mass", PENGUINS, [], {"random_forest": {"trees": 5}}, "body_mass_g", "rmse")


class Worker:
    """`lathe worker infer`, its socket and its pipe."""

    def __init__(self, limits=None):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self.pipe, theirs = socket.socketpair()
        # out of the way of the numbers they get
        high = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 100) for s in (theirs, listener)]
        self.pid = os.posix_spawn(BIN, [BIN, "worker", "infer"], os.environ,
                                  file_actions=[(os.POSIX_SPAWN_DUP2, high[0], 3), (os.POSIX_SPAWN_DUP2, high[1], 4)]
                                  + [(os.POSIX_SPAWN_CLOSE, fd) for fd in high])
        for fd in high:
            os.close(fd)
        theirs.close()
        listener.close()
        self.lines = self.pipe.makefile("r")
        self.generation = 0
        self.send({"serve": {"worker": 0, "socket": 4, "executable": BIN, "limits": limits or {}}})
        self.send({"auth": {"required": False, "insecure": False, "tokens": []}})

    def send(self, message):
        self.pipe.sendall(json.dumps(message).encode() + b"\n")

    def read(self, key):
        while True:
            line = self.lines.readline()
            if not line:
                raise EOFError("the worker has closed its pipe")
            message = json.loads(line)
            if key in message:
                return message

    def routes(self, *routes):
        self.generation += 1
        self.send({"generation": self.generation, "routes": list(routes)})
        while True:
            answer = self.read("generation")
            if answer["generation"] == self.generation:
                return answer

    def ask(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOWER)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            data = r.read()
            return r.status, data, r.headers
        finally:
            c.close()

    def ask_json(self, method, path, body=None):
        status, data, _ = self.ask(method, path, body)
        return status, json.loads(data)

    def end(self):
        """Its exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def route(model, version, name=None, weight=1, slot=0):
    return {"name": name or model["name"], "model": model["name"], "version": version, "sha256": model["sha256"],
            "path": model["file"], "slot": slot, "weight": weight}


ROW = {"island": "Biscoe", "bill_length_mm": 46.5, "bill_depth_mm": 17.9, "flipper_length_mm": 192, "body_mass_g": 3500,
       "sex": "female", "year": 2008}


def request(rows, leave=()):
    names = [n for n in ROW if n not in leave]
    inputs = []
    for n in names:
        values = [r[n] for r in rows]
        kind = "BYTES" if isinstance(ROW[n], str) else "FP64"
        inputs.append({"name": n, "shape": [len(rows)], "datatype": kind, "data": values})
    return {"inputs": inputs}


def train(lathe, doc):
    path = os.path.join(lathe.dir, doc["name"] + ".json")
    with open(path, "w") as f:
        json.dump(doc, f)
    r = lathe.run("run", path, "--json", "--threads", "1")
    return json.loads(r.stdout)["model"]


def check_server(w):
    checks.equal("server", w.ask_json("GET", "/v2")[0], 200)
    status, body = w.ask_json("GET", "/v2/")
    checks.that("extensions", status == 200 and "binary_tensor_data" in body["extensions"], body)
    checks.equal("live", w.ask_json("GET", "/v2/health/live"), (200, {"live": True}))
    checks.equal("ready", w.ask_json("GET", "/v2/health/ready"), (200, {"ready": True}))
    for path in "/", "/v2/nothing", "/v2/health/x", "/v2/models/birds/x", "/v2/repository/x/y", "/v2/models":
        status, body = w.ask_json("GET", path)
        checks.that(f"404 {path}", status == 404 and "error" in body, (status, body))
    for method, path in ("POST", "/v2"), ("GET", "/v2/models/birds/infer"), ("GET", "/v2/repository/index"), (
            "GET", "/v2/repository/models/birds/load"), ("PUT", "/v2/models/birds"):
        status, data, headers = w.ask(method, path)
        checks.that(f"405 {method} {path}", status == 405 and "error" in json.loads(data) and headers["allow"], (status, data))


def check_models(w):
    status, meta = w.ask_json("GET", "/v2/models/birds")
    checks.equal("metadata", (status, meta["name"], meta["versions"]), (200, "birds", ["1"]))
    checks.equal("inputs", [i["name"] for i in meta["inputs"]], list(ROW))
    checks.equal("version", w.ask_json("GET", "/v2/models/birds/versions/1")[0], 200)
    checks.equal("no version", w.ask_json("GET", "/v2/models/birds/versions/9")[0], 404)
    checks.equal("no model", w.ask_json("GET", "/v2/models/cats")[0], 404)
    checks.equal("model ready", w.ask_json("GET", "/v2/models/birds/ready"), (200, {"name": "birds", "ready": True}))
    status, config = w.ask_json("GET", "/v2/models/birds/config")
    checks.that("config", status == 200 and config["max_batch_size"] > 0 and len(config["input"]) == 7, config)
    status, stats = w.ask_json("GET", "/v2/models/birds/stats")
    checks.that("stats", status == 200 and stats["model_stats"][0]["name"] == "birds", stats)
    checks.equal("all stats", len(w.ask_json("GET", "/v2/models/stats")[1]["model_stats"]), 2)
    status, index = w.ask_json("POST", "/v2/repository/index")
    checks.equal("index", [(i["name"], i["state"]) for i in index], [("birds", "READY"), ("mass", "READY")])


def check_infer(w, lathe, file):
    status, one = w.ask_json("POST", "/v2/models/birds/infer", dict(request([ROW]), id="q1"))
    checks.equal("infer", (status, one["model_name"], one["model_version"], one["id"]), (200, "birds", "1", "q1"))
    outputs = {o["name"]: o for o in one["outputs"]}
    checks.equal("label", (outputs["prediction"]["shape"], outputs["prediction"]["datatype"]), ([1, 1], "BYTES"))
    checks.that("sum of probabilities", abs(sum(outputs["probability"]["data"]) - 1) < 1e-6, outputs)
    # rows of all sizes, also those that go to another thread, agree with the row alone and with `lathe predict`
    for n in 1, 2, 255, 256, 257, 3000, 65536:
        status, many = w.ask_json("POST", "/v2/models/birds/versions/1/infer", request([ROW] * n))
        data = {o["name"]: o["data"] for o in many["outputs"]} if status == 200 else many
        checks.that(f"{n} rows", status == 200 and data["prediction"] == outputs["prediction"]["data"] * n
                    and data["probability"] == outputs["probability"]["data"] * n, (status, str(data)[:200]))
    checks.equal("too many rows", w.ask_json("POST", "/v2/models/birds/infer", request([ROW] * 65537))[0], 400)
    path = os.path.join(lathe.dir, "row.csv")
    with open(path, "w") as f:
        f.write(",".join(ROW) + "\n" + ",".join(str(v) for v in ROW.values()) + "\n")
    r = lathe.run("predict", file, path)
    if checks.equal("predict", (r.returncode, r.stderr), (0, "")):
        checks.equal("as predict", [struct.pack("<f", p) for p in outputs["probability"]["data"]],
                     [struct.pack("<f", float(p)) for p in r.stdout.splitlines()[1].split(",")[1:]])
    mass = request([ROW], leave=["body_mass_g"])
    mass["inputs"].insert(0, {"name": "species", "shape": [1], "datatype": "BYTES", "data": ["Adelie"]})
    status, body = w.ask_json("POST", "/v2/models/mass/infer", mass)
    checks.that("regression", status == 200 and 2000 < body["outputs"][0]["data"][0] < 7000, body)
    mass["inputs"][0]["data"] = [None]
    checks.equal("null", w.ask_json("POST", "/v2/models/mass/infer", mass)[0], 200)
    bad = request([ROW, dict(ROW, body_mass_g="heavy")])
    bad["inputs"][4]["datatype"] = "BYTES"
    status, body = w.ask_json("POST", "/v2/models/birds/infer", bad)
    checks.equal("bad row status", status, 400)
    checks.has("bad row", body["error"], "row 2", "body_mass_g", "heavy")
    for what, text in ("no JSON", "{"), ("empty", ""), ("no inputs", "{}"):
        checks.equal(what, w.ask_json("POST", "/v2/models/birds/infer", text)[0], 400)
    checks.equal("infer of no model", w.ask_json("POST", "/v2/models/cats/infer", request([ROW]))[0], 404)


def check_binary(w):
    fields, tensors = [], b""
    for name, value in ROW.items():
        data = struct.pack("<I", len(value)) + value.encode() if isinstance(value, str) else struct.pack("<d", value)
        fields.append({"name": name, "shape": [1, 1], "datatype": "BYTES" if isinstance(value, str) else "FP64",
                       "parameters": {"binary_data_size": len(data)}})
        tensors += data
    head = json.dumps({"inputs": fields, "parameters": {"binary_data_output": True}}).encode()
    status, data, headers = w.ask("POST", "/v2/models/birds/infer", head + tensors,
                                  {"Inference-Header-Content-Length": str(len(head))})
    if not checks.equal("binary", status, 200):
        return
    n = int(headers["Inference-Header-Content-Length"])
    answer = json.loads(data[:n])
    sizes = [o["parameters"]["binary_data_size"] for o in answer["outputs"]]
    checks.equal("binary sizes", n + sum(sizes), len(data))
    checks.equal("content type", headers["Content-Type"], "application/octet-stream")
    plain = w.ask_json("POST", "/v2/models/birds/infer", request([ROW]))[1]
    want = struct.pack("<3f", *plain["outputs"][1]["data"])
    checks.equal("binary probabilities", data[n + sizes[0]:], want)
    checks.equal("broken header", w.ask("POST", "/v2/models/birds/infer", head, {"Inference-Header-Content-Length": "x"})[0], 400)


def check_forward(w):
    """load and unload are the supervisor's."""
    def answer():
        m = w.read("forward")
        checks.equal("forward", (m["verb"], m["body"]), ("unload", {"name": "birds"}))
        w.send({"answer": m["forward"], "status": 404, "body": {"error": "no"}})
    t = threading.Thread(target=answer)
    t.start()
    checks.equal("unload", w.ask_json("POST", "/v2/repository/models/birds/unload", {"parameters": {"unload_dependents": False}}),
                 (404, {"error": "no"}))
    t.join()


def check_swaps(w, a, b):
    """Under load each answer is of the version that it names; none fails."""
    wrong, stop, count = [], threading.Event(), [0]
    want = {}
    for version, model in ("1", a), ("2", b):
        w.routes(route(model, int(version)))
        want[version] = w.ask_json("POST", "/v2/models/birds/infer", request([ROW]))[1]["outputs"]
    checks.that("versions differ", want["1"] != want["2"])

    def load(rows):
        while not stop.is_set():
            status, body = w.ask_json("POST", "/v2/models/birds/infer", request([ROW] * rows))
            count[0] += 1
            if status != 200:
                wrong.append(body)
            elif rows == 1 and body["outputs"] != want[body["model_version"]]:
                wrong.append(body)

    threads = [threading.Thread(target=load, args=(n,)) for n in (1, 1, 1, 2000)]
    for t in threads:
        t.start()
    for i in range(100 // SLOWER):
        w.routes(route((a, b)[i % 2], 1 + i % 2))
    stop.set()
    for t in threads:
        t.join()
    checks.that(f"{count[0]} requests during swaps", not wrong, str(wrong[:1])[:300])


def check_failed_load(w, a):
    broken = dict(a, sha256="0" * 64, file=a["file"] + ".not")
    answer = w.routes(route(broken, 2))
    checks.that("failed load", "failed" in answer, answer)
    status, body = w.ask_json("POST", "/v2/models/birds/infer", request([ROW]))
    checks.that("the old model stays", status == 200, body)
    answer = w.routes(route(dict(broken, name="new"), 1, name="new"))
    status, body = w.ask_json("POST", "/v2/models/new/infer", request([ROW]))
    checks.that("a model that cannot load", status == 503 and "error" in body, (status, body))
    index = w.ask_json("POST", "/v2/repository/index")[1]
    checks.equal("index of it", (index[0]["state"], bool(index[0]["reason"])), ("UNAVAILABLE", True))
    checks.equal("ready index", w.ask_json("POST", "/v2/repository/index", {"ready": True})[1], [])


def check_traffic(w, a, b):
    w.routes(route(a, 1, weight=0.9), route(b, 2, weight=0.1))
    seen = {"1": 0, "2": 0}
    c = http.client.HTTPConnection("127.0.0.1", w.port)
    body = json.dumps(request([ROW]))
    for _ in range(1000):
        c.request("POST", "/v2/models/birds/infer", body)
        seen[json.loads(c.getresponse().read())["model_version"]] += 1
    checks.that("10 % of the traffic", 60 <= seen["2"] <= 140, seen)
    for key in "abcdef":
        versions = set()
        for _ in range(10):
            c.request("POST", "/v2/models/birds/infer", body, {"lathe-sticky-key": key})
            versions.add(json.loads(c.getresponse().read())["model_version"])
        checks.equal("sticky", len(versions), 1)
    # a canary that grows keeps its keys; a key goes the same way by header and by id, in every worker
    def share(weight, sticky=None, by_id=False):
        w.routes(dict(route(b, 2, weight=weight), rank=0, sticky=sticky),
                 dict(route(a, 1, weight=1 - weight), rank=1))
        found = set()
        for i in range(200):
            text = json.dumps(dict(request([ROW]), id=f"user {i}")) if by_id else body
            c.request("POST", "/v2/models/birds/infer", text, {} if by_id else {(sticky or "x:lathe-sticky-key").split(":")[1]: f"user {i}"})
            if json.loads(c.getresponse().read())["model_version"] == "2":
                found.add(i)
        return found

    few, more = share(0.1), share(0.5)
    checks.that("a canary keeps its keys", few < more and 5 <= len(few) <= 40 and 70 <= len(more) <= 130, (few, more))
    checks.equal("by another header", share(0.1, "header:x-user"), few)
    checks.equal("by id", share(0.1, "id", by_id=True), few)
    c.close()
    checks.equal("both versions", sorted(w.ask_json("GET", "/v2/models/birds")[1]["versions"]), ["1", "2"])


def check_shadow(w, a, b, mass):
    """Copies go to the shadow while the answers stay those of the route; also large ones, and ones it cannot predict."""
    shadow = {"model": "birds", "version": 2, "sha256": b["sha256"], "path": b["file"], "slot": 0}
    w.routes(dict(route(a, 1), shadow=shadow))
    want = w.ask_json("POST", "/v2/models/birds/infer", request([ROW]))[1]["outputs"]
    for n in [1] * 50 + [300, 3000, 10000]:
        status, body = w.ask_json("POST", "/v2/models/birds/infer", request([ROW] * n))
        checks.that("with a shadow", status == 200 and body["model_version"] == "1" and
                    body["outputs"][0]["data"] == want[0]["data"] * n, (status, str(body)[:200]))
    w.routes(dict(route(a, 1), shadow=dict(shadow, sha256=mass["sha256"], path=mass["file"])))
    for _ in range(5):
        checks.equal("a shadow that fails", w.ask_json("POST", "/v2/models/birds/infer", request([ROW]))[0], 200)
    answer = w.routes(dict(route(a, 1), shadow=dict(shadow, sha256="0" * 64, path=b["file"] + ".not")))
    checks.that("a shadow that cannot load", answer.get("failed", [{}])[0].get("shadow") is True, answer)
    checks.equal("without it", w.ask_json("POST", "/v2/models/birds/infer", request([ROW]))[0], 200)
    w.routes(dict(route(a, 1), shadow=shadow))  # it ends with copies under way
    for _ in range(20):
        w.ask_json("POST", "/v2/models/birds/infer", request([ROW]))


if subprocess.run([BIN, "worker", "infer"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 2:
    print("this program was built without the inference worker")
    sys.exit(77)
with Lathe() as lathe:
    birds, mass = train(lathe, BIRDS), train(lathe, MASS)
    other = train(lathe, dict(BIRDS, seed=2, train={"candidates": {"a": {"random_forest": {"trees": 3}}}}))
    w = Worker()
    w.read("ready")
    checks.equal("not ready", w.ask_json("GET", "/v2/health/ready")[0], 503)
    checks.equal("not ready infer", w.ask_json("POST", "/v2/models/birds/infer", request([ROW]))[0], 503)
    answer = w.routes(route(birds, 1), route(mass, 1, slot=1))
    checks.that("loaded", answer.get("loaded"), answer)
    check_server(w)
    check_models(w)
    check_infer(w, lathe, birds["file"])
    check_binary(w)
    check_forward(w)
    check_traffic(w, birds, other)
    check_swaps(w, birds, other)
    check_shadow(w, birds, other, mass)
    check_failed_load(w, birds)
    w.send({"drain": True})
    checks.equal("drained", w.end(), 0)
    w = Worker()
    w.read("ready")
    w.routes(route(birds, 1))
    w.pipe.shutdown(socket.SHUT_RDWR)
    start = time.time()
    checks.equal("without its supervisor", w.end(), 0)
    checks.that("at once", time.time() - start < 3 * SLOWER)
checks.end()
