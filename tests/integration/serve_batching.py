"""Dynamic batching, deadlines, clients that leave, and the bounded queue of `lathe serve`."""

import http.client
import json
import os
import socket
import threading
import time

from liblathe import DATA, SLOWER, Checks, Lathe
from libserve import Service

checks = Checks()
PENGUINS = {"csv": {"path": os.path.join(DATA, "penguins.csv"), "missing": ["NA"]}}


def document(name, learner, target="species", metric="log_loss", **more):
    task = "regression" if metric == "rmse" else "classification"
    return dict({"lathe": 1, "name": name, "seed": 1, "goal": {"task": task, "target": target, "metric": metric},
                 "prepare": {"source": PENGUINS}, "train": {"candidates": {"a": learner}},
                 "deploy": {"endpoint": name + "-now", "when": "always"}}, **more)


BIRDS = document("birds", {"gbdt": {"rounds": 5}})
# 2 M weights: large requests take a while on any machine; few rows, since what it has learned is of no matter
SLOW = document("slow", {"mlp": {"layers": [{"units": 1024}] * 3, "epochs": 1}}, "body_mass_g", "rmse",
                prepare={"source": {"csv": dict(PENGUINS["csv"], limit=40)}})
ROW = {"island": "Biscoe", "bill_length_mm": 45.0, "bill_depth_mm": 14.0, "flipper_length_mm": 215,
       "body_mass_g": 5000, "sex": "male", "year": 2008}
OTHER = {"species": "Adelie"} | {k: v for k, v in ROW.items() if k != "body_mass_g"}


def body(rows, like=ROW, **parameters):
    """rows: how many, or a list of bill lengths."""
    lengths = rows if isinstance(rows, list) else [45.0 + i % 7 for i in range(rows)]
    inputs = []
    for k, v in like.items():
        data = lengths if k == "bill_length_mm" else [v] * len(lengths)
        inputs.append({"name": k, "shape": [len(lengths), 1], "datatype": "BYTES" if isinstance(v, str) else "FP64", "data": data})
    return dict({"inputs": inputs}, **({"parameters": parameters} if parameters else {}))


def in_threads(n, function):
    threads = [threading.Thread(target=function, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def raw_request(port, path, content, headers=""):
    text = json.dumps(content).encode()
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(text)}\r\n{headers}\r\n".encode() + text)
    return s


def stats(service, name):
    return service.infer("GET", f"/v2/models/{name}/stats")[1]["model_stats"][0]


def check_same_bits(service, alone):
    """Many clients at once; each answer as of the request alone, errors too; fewer runs of the model than requests."""
    before = stats(service, "birds")
    lengths = [35.0 + i for i in range(24)]
    bad = body(1)
    bad["inputs"][4] = {"name": "body_mass_g", "shape": [1, 1], "datatype": "BYTES", "data": ["heavy"]}
    wrong = []

    def client(i):
        c = http.client.HTTPConnection("127.0.0.1", service.ports["infer"], timeout=60 * SLOWER)
        for k in range(20):
            n = 1 + (i + k) % 3
            mine = lengths[i:i + n]
            c.request("POST", "/v2/models/birds/infer", json.dumps(bad if k == 7 else body(mine)))
            r = c.getresponse()
            got = json.loads(r.read())
            if k == 7:
                if r.status != 400 or "row 1" not in got["error"] or "heavy" not in got["error"]:
                    wrong.append(got)
            elif r.status != 200 or got["outputs"][1]["data"] != sum((alone[x] for x in mine), []):
                wrong.append((r.status, got))
        c.close()

    in_threads(16, client)
    checks.that("each answer is that of its request alone", not wrong, str(wrong[:1])[:300])
    after = stats(service, "birds")
    requests = after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"]
    runs = after["execution_count"] - before["execution_count"]
    checks.equal("requests", requests, 16 * 19)
    checks.that("batches", runs < requests, (runs, requests))
    checks.that("rows", after["inference_count"] - before["inference_count"] > requests, after)
    checks.that("time in the queue", after["inference_stats"]["queue"]["ns"] > before["inference_stats"]["queue"]["ns"], after)
    checks.equal("failures", after["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"], 16)


def check_batching(lathe, alone):
    for delay in 0, 3000:
        with Service(lathe, "--workers", "1", config={"batching": {"max_rows": 16, "delay_us": delay}}) as service:
            check_same_bits(service, alone)
            checks.equal("exit code", service.stop(), 0)
    # a long delay: full batches run at once, others wait; the deadline and the client's leaving end that
    config = {"batching": {"max_rows": 4, "delay_us": 1000000, "endpoints": {"birds-now": {"max_rows": 0}}}}
    with Service(lathe, "--workers", "1", config=config) as service:
        port = service.ports["infer"]
        start = time.monotonic()
        in_threads(4, lambda i: checks.equal("full", service.infer("POST", "/v2/models/birds/infer", body([40.0 + i]))[0], 200))
        checks.equal("endpoint without", service.infer("POST", "/v2/models/birds-now/infer", body(1))[0], 200)
        checks.that("at once", time.monotonic() - start < 0.9 * SLOWER, time.monotonic() - start)
        checks.equal("one run", stats(service, "birds")["execution_count"], 2)
        checks.equal("larger than a batch", service.infer("POST", "/v2/models/birds/infer", body(5))[0], 200)
        start = time.monotonic()
        checks.equal("a deadline shortens the wait", service.infer("POST", "/v2/models/birds/infer", body(1, timeout=200000))[0], 200)
        checks.that("but waits", time.monotonic() - start < 0.9 * SLOWER, time.monotonic() - start)
        # three wait; the one in the middle leaves: its rows go, the others' answers are theirs
        got = {}

        def wait(i):
            got[i] = service.infer("POST", "/v2/models/birds/infer", body([36.0 + i]))

        first = threading.Thread(target=wait, args=(0,))
        first.start()
        checks.that("one waits", service.until(lambda: service.metric("lathe_worker_queued_rows") == 1))
        leaver = raw_request(port, "/v2/models/birds/infer", body([50.0]))
        checks.that("two wait", service.until(lambda: service.metric("lathe_worker_queued_rows") == 2))
        second = threading.Thread(target=wait, args=(1,))
        second.start()
        checks.that("three wait", service.until(lambda: service.metric("lathe_worker_queued_rows") == 3))
        leaver.close()
        first.join()
        second.join()
        checks.equal("the others' answers", [got[i][1]["outputs"][1]["data"] for i in range(2)], [alone[36.0], alone[37.0]])
        checks.equal("cancelled", (service.metric("lathe_inference_cancelled_total"), service.metric("lathe_worker_cancelled_total")),
                     (1, 1))
        checks.equal("nothing waits", service.metric("lathe_worker_queued_rows"), 0)
        # another version takes over while requests wait: they are answered first
        waiting = threading.Thread(target=wait, args=(2,))
        waiting.start()
        checks.that("it waits", service.until(lambda: service.metric("lathe_worker_queued_rows") == 1))
        checks.equal("reload", service.infer("POST", "/v2/repository/models/birds/load", {})[0], 200)
        waiting.join()
        checks.equal("its answer", got[2][1]["outputs"][1]["data"], alone[38.0])
        # the service ends while one waits
        waiting = threading.Thread(target=wait, args=(3,))
        waiting.start()
        service.until(lambda: service.metric("lathe_worker_queued_rows") == 1)
        checks.equal("exit code", service.stop(), 0)
        waiting.join()
        checks.equal("answered at the end", got[3][0], 200)


def check_queue(lathe):
    """Large requests go to another thread: what waits there has a bound, a deadline, and ends with its client."""
    with Service(lathe, "--workers", "1", config={"queue": {"rows": 60000}}) as service:
        port, path = service.ports["infer"], "/v2/models/slow/infer"
        many = body(20000, OTHER)
        name = "lathe_worker_queued_rows"
        # a canary that any error would end
        checks.equal("canary", service.control("POST", "/api/v1/endpoints/slow-now/canary", {
            "model": "quick", "steps": [100], "bake_seconds": 3600, "min_requests": 1, "guards": {"error_ratio": 0}})[0], 200)
        held = [raw_request(port, path, many) for _ in range(3)]
        checks.that("the queue is full", service.until(lambda: service.metric(name) == 60000), service.metric(name))
        status, answer, headers = service.infer("POST", path, body(1000, OTHER))
        checks.that("shed", status == 503 and "retry-after" in headers and "60000 rows" in answer["error"], (status, str(answer)[:300]))
        checks.equal("counted", service.metric("lathe_inference_shed_total", 'model="slow"'), 1)
        status, answer, _ = service.infer("POST", "/v2/models/slow-now/infer", body(1000, OTHER))
        checks.equal("shed under a canary's name", (status, "queue is full" in answer["error"]), (503, True))
        checks.equal("small ones go on", service.infer("POST", path, body(1, OTHER))[0], 200)
        checks.equal("and the canary", service.infer("POST", "/v2/models/slow-now/infer", body(1, OTHER))[0], 200)
        start = time.monotonic()
        for s in held:
            s.close()
        checks.that("they leave", service.until(lambda: service.metric("lathe_worker_cancelled_total") == 3))
        checks.that("their work is dropped", service.until(lambda: service.metric(name) == 0))
        checks.equal("by model", service.metric("lathe_inference_cancelled_total", 'model="slow"'), 3)
        checks.equal("none was counted as answered", stats(service, "slow")["inference_stats"]["success"]["count"], 1)
        time.sleep(1.2)  # the canary is judged twice a second
        shown = service.control("GET", "/api/v1/endpoints/slow-now")[1]["canary"]
        checks.that("what was shed is none of its errors", shown["state"] == "running" and shown["measured"]["canary"]["shed"] == 1 and
                    shown["measured"]["canary"]["errors"] == 0 and shown["measured"]["canary"]["requests"] == 1, shown)
        # deadlines: by parameter, by header, in a JSON too large to be looked through, inline
        for what, content, header in (("parameter", body(900, OTHER, timeout=1000), {}),
                                      ("header", many, {"X-Request-Timeout-Ms": "1"}),
                                      ("a large body's parameter", body(20000, OTHER, timeout=1), {}),
                                      ("inline", body(1, OTHER, timeout=1), {})):
            status, answer, _ = service.infer("POST", path, content, headers=header)
            checks.that(f"deadline by {what}", status == 504 and "deadline" in answer["error"], (status, str(answer)[:200]))
        checks.equal("timeouts", service.metric("lathe_inference_timeouts_total", 'model="slow"'), 4)
        checks.equal("long enough", service.infer("POST", path, body(900, OTHER, timeout=60_000_000),
                                                  headers={"X-Request-Timeout-Ms": "60000"})[0], 200)
        for bad in "0", "-1", "x", "1.5", "":
            checks.equal(f"header {bad!r}", service.infer("POST", path, body(1, OTHER), headers={"X-Request-Timeout-Ms": bad})[0], 400)
        for bad in -1, "1", 1.5, None:
            checks.equal(f"timeout {bad!r}", service.infer("POST", path, body(1, OTHER, timeout=bad))[0], 400)
        checks.that("all is done", service.until(lambda: service.metric(name) == 0))
        checks.equal("exit code", service.stop(), 0)
    with Service(lathe, "--workers", "1", config={"queue": {"timeout_ms": 1}}) as service:
        checks.equal("the service's deadline", service.infer("POST", "/v2/models/slow/infer", body(20000, OTHER))[0], 504)
        checks.equal("exit code", service.stop(), 0)


def check_configuration(lathe):
    for number, (config, *pieces) in enumerate([
            ({"batching": {"max_rows": 5000}}, "max_rows", "1024"), ({"batching": {"rows": 5}}, "rows"),
            ({"batching": {"endpoints": {"a": {"delay_us": -1}}}}, "delay_us"), ({"batching": {"endpoints": []}}, "endpoints"),
            ({"queue": {"rows": "many"}}, "rows"), ({"queue": {"wait": 1}}, "wait")]):
        r = lathe.run("serve", "--config", lathe.write(f"bad{number}.json", config))
        checks.equal(f"{config}", r.returncode != 0, True)
        checks.has(f"{config}", r.stderr, *pieces)


with Lathe() as lathe:
    for one in BIRDS, dict(SLOW, name="quick", train={"candidates": {"a": "constant"}}, deploy={"endpoint": "quick-now", "when": "always"}), SLOW:
        checks.equal("training", lathe.run("run", lathe.write(one["name"] + ".json", one), "--json").returncode, 0)
    with Service(lathe, "--workers", "1") as service:
        alone = {35.0 + i: service.infer("POST", "/v2/models/birds/infer", body([35.0 + i]))[1]["outputs"][1]["data"] for i in range(30)}
        checks.that("answers differ", len({str(v) for v in alone.values()}) > 1, alone)
    check_batching(lathe, alone)
    check_queue(lathe)
    check_configuration(lathe)
checks.end()
