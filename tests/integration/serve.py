"""`lathe serve` as a whole: endpoints from the store, promotion and rollback through the control plane, a worker that is
killed, metrics, and an orderly stop."""

import http.client
import json
import os
import re
import signal
import subprocess
import time

from liblathe import BIN, DATA, SLOWER, Checks, Lathe

checks = Checks()


def document(seed, rounds):
    return {
        "lathe": 1, "name": "birds", "seed": seed,
        "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
        "prepare": {"source": {"csv": {"path": os.path.join(DATA, "penguins.csv"), "missing": ["NA"]}}},
        "train": {"candidates": {"trees": {"gbdt": {"rounds": rounds}}}},
        "deploy": {"endpoint": "species", "when": "always"},
    }


ROW = {"island": "Biscoe", "bill_length_mm": 45.0, "bill_depth_mm": 14.0, "flipper_length_mm": 215,
       "body_mass_g": 5000, "sex": "male", "year": 2008}


def infer_body():
    inputs = [{"name": k, "shape": [1, 1], "datatype": "BYTES" if isinstance(v, str) else "FP64", "data": [v]}
              for k, v in ROW.items()]
    return json.dumps({"id": "a", "inputs": inputs})


def call(port, method, path, body=None):
    """Status and JSON (or text) of one request on a connection of its own."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20 * SLOWER)
    c.request(method, path, body)
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, json.loads(text) if r.getheader("content-type", "").startswith("application/json") else text


def until(what, good, seconds=20):
    end = time.monotonic() + seconds * SLOWER
    while time.monotonic() < end:
        try:
            if good():
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return checks.that(what, False, "not within the time")


with Lathe() as lathe:
    for number, d in enumerate([document(1, 5), document(2, 7)]):
        path = os.path.join(lathe.dir, f"d{number}.json")
        with open(path, "w") as f:
            json.dump(d, f)
        checks.equal("training run", lathe.run("run", path, "--json").returncode, 0)
    env = dict(os.environ, LATHE_HOME=lathe.home)
    log = os.path.join(lathe.dir, "serve.log")
    with open(log, "w") as out:
        server = subprocess.Popen([BIN, "serve", "--listen", "127.0.0.1:0", "--inference", "127.0.0.1:0",
                                   "--workers", "2"], env=env, stderr=out, stdout=out)
    try:
        ports = {}

        def started():
            text = open(log).read()
            for name, pattern in (("control", r"control plane on port (\d+)"), ("infer", r"http://[\d.]+:(\d+)/v2")):
                found = re.search(pattern, text)
                if found:
                    ports[name] = int(found.group(1))
            return len(ports) == 2

        until("start", started)
        until("ready", lambda: call(ports["control"], "GET", "/api/v1/health")[0] == 200)

        status, answer = call(ports["infer"], "POST", "/v2/models/species/infer", infer_body())
        checks.equal("infer", status, 200)
        checks.equal("version", answer.get("model_version"), "2")
        checks.equal("class", answer["outputs"][0]["data"], ["Gentoo"])
        checks.equal("unknown model", call(ports["infer"], "POST", "/v2/models/fish/infer", infer_body())[0], 404)
        checks.equal("broken body", call(ports["infer"], "POST", "/v2/models/species/infer", "{")[0], 400)

        status, answer = call(ports["control"], "POST", "/api/v1/endpoints/species/rollback", "{}")
        checks.equal("rollback", (status, answer.get("version")), (200, 1))
        checks.equal("version after rollback",
                     call(ports["infer"], "POST", "/v2/models/species/infer", infer_body())[1]["model_version"], "1")
        status, answer = call(ports["control"], "POST", "/api/v1/models/birds/promote", '{"version": 2}')
        checks.equal("promote", (status, answer.get("version")), (200, 2))
        checks.equal("version after promotion",
                     call(ports["infer"], "POST", "/v2/models/species/infer", infer_body())[1]["model_version"], "2")
        checks.equal("promote of nothing",
                     call(ports["control"], "POST", "/api/v1/models/birds/promote", '{"version": 9}')[0], 404)
        checks.equal("models", [(m["name"], m["versions"]) for m in
                                call(ports["control"], "GET", "/api/v1/models")[1]["models"]], [("birds", 2)])
        checks.equal("runs", len(call(ports["control"], "GET", "/api/v1/runs")[1]["runs"]), 2)
        checks.equal("no such path", call(ports["control"], "GET", "/api/v1/nothing")[0], 404)
        checks.equal("wrong verb", call(ports["control"], "DELETE", "/api/v1/models")[0], 405)
        checks.equal("outside of the data roots",
                     call(ports["control"], "POST", "/api/v1/runs", json.dumps(document(1, 5)))[0], 422)

        workers = subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True).stdout.split()
        checks.equal("workers", len(workers), 2)
        os.kill(int(workers[0]), signal.SIGKILL)

        def restarted():
            text = call(ports["control"], "GET", "/metrics")[1]
            return (re.search(r'restarts_total\{worker="\d"\} 1', text) is not None and
                    call(ports["control"], "GET", "/api/v1/health")[0] == 200)

        until("a killed worker is replaced", restarted)
        for _ in range(20):
            checks.equal("infer after the kill",
                         call(ports["infer"], "POST", "/v2/models/species/infer", infer_body())[0], 200)
        metrics = call(ports["control"], "GET", "/metrics")[1]
        checks.has("metrics", metrics, 'lathe_inference_requests_total{model="birds",version="2"}',
                   "lathe_inference_request_duration_seconds_bucket", 'le="+Inf"')
        checks.that("metrics end with a line break", metrics.endswith("\n"))

        second = subprocess.run([BIN, "serve", "--listen", "127.0.0.1:0", "--inference", "127.0.0.1:0"], env=env,
                                capture_output=True, text=True, timeout=30 * SLOWER)
        checks.equal("a second service on the home", second.returncode, 1)
        checks.has("its message", second.stderr, str(server.pid))

        server.send_signal(signal.SIGTERM)
        checks.equal("exit code", server.wait(timeout=10 * SLOWER), 0)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
checks.end()
