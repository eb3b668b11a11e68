"""Every verb of the Open Inference Protocol and its extensions against `lathe serve`: as bytes on a socket, the way Triton's
Python client sends them, and by that client itself where it is installed (pip install "tritonclient[http]")."""

import gzip
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import zlib

from liblathe import BIN, DATA, SLOWER, SOURCE, Checks, Lathe

try:
    import numpy as np
    import tritonclient.http as triton
except ImportError:
    triton = None
    other = os.path.join(SOURCE, "build", "bench-venv", "bin", "python")  # of `./dev bench --setup-serve`
    if sys.executable != other and os.path.exists(other) and subprocess.run(
            [other, "-c", "import tritonclient.http"], capture_output=True).returncode == 0:
        os.execv(other, [other, "-B", *sys.argv])

checks = Checks()
DOCUMENT = {
    "lathe": 1, "name": "birds", "seed": 1,
    "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
    "prepare": {"source": {"csv": {"path": os.path.join(DATA, "penguins.csv"), "missing": ["NA"]}}},
    "train": {"candidates": {"trees": {"gbdt": {"rounds": 5}}}},
    "deploy": {"endpoint": "sorted-birds", "when": "always"},
}
ROW = {"island": "Biscoe", "bill_length_mm": 45.0, "bill_depth_mm": 14.0, "flipper_length_mm": 215,
       "body_mass_g": 5000, "sex": "male", "year": 2008}
MODEL = "/v2/models/sorted%2Dbirds"  # quoted, as a client may


class Raw:
    """One connection; requests as tritonclient writes them: names of headers in lower case, no content-type."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20 * SLOWER)
        self.file = self.socket.makefile("rb")

    def ask(self, method, path, body=None, **headers):
        """Status, body inflated, headers."""
        lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", "user-agent: python/gevent-http-client-2.0.8"]
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
        status = int(self.file.readline().split()[1])
        got = {}
        for line in iter(self.file.readline, b"\r\n"):
            key, value = line.decode().split(":", 1)
            got[key.strip().lower()] = value.strip()
        data = b"" if method == "HEAD" else self.file.read(int(got.get("content-length", 0)))
        coding = got.get("content-encoding")
        return status, gzip.decompress(data) if coding == "gzip" else zlib.decompress(data) if coding else data, got

    def json(self, method, path, body=None, **headers):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        status, data, _ = self.ask(method, path, body, **headers)
        return status, json.loads(data)


def json_inputs(rows):
    return [{"name": k, "shape": [rows, 1], "datatype": "BYTES" if isinstance(v, str) else "FP64", "data": [v] * rows}
            for k, v in ROW.items()]


def binary_request(rows, **more):
    """(body, length of its JSON), keys in the client's order."""
    fields, tensors = [], b""
    for k, v in ROW.items():
        one = struct.pack("<I", len(v)) + v.encode() if isinstance(v, str) else struct.pack("<d", v)
        fields.append({"name": k, "shape": [rows, 1], "datatype": "BYTES" if isinstance(v, str) else "FP64",
                       "parameters": {"binary_data_size": len(one) * rows}})
        tensors += one * rows
    head = json.dumps(dict({"id": "q", "inputs": fields, "parameters": {"binary_data_output": True}}, **more)).encode()
    return head + tensors, len(head)


def check_server(raw):
    for path in "/v2/health/live", "/v2/health/ready", "/v2", "/v2/", MODEL + "/ready", MODEL + "/versions/1/ready":
        checks.equal(path, raw.json("GET", path)[0], 200)
        status, _, headers = raw.ask("HEAD", path)
        checks.that(f"HEAD {path}", status == 200 and int(headers["content-length"]) > 0, headers)
    server = raw.json("GET", "/v2")[1]
    checks.that("server", server["name"] == "lathe" and server["version"] and "statistics" in server["extensions"], server)
    for path in MODEL, MODEL + "/versions/1":
        status, meta = raw.json("GET", path)
        checks.equal("metadata", (status, meta["name"], meta["versions"], [i["name"] for i in meta["inputs"]]),
                     (200, "sorted-birds", ["1"], list(ROW)))
        checks.that("shapes begin with the batch", all(t["shape"][0] == -1 for t in meta["inputs"] + meta["outputs"]), meta)
        status, config = raw.json("GET", path + "/config")
        checks.that("config", status == 200 and config["max_batch_size"] > 0 and
                    {i["name"] for i in config["input"]} == set(ROW) and
                    config["model_transaction_policy"] == {"decoupled": False}, config)
    for path, want in (MODEL + "/versions/9", 404), (MODEL + "/versions/9/ready", 404), ("/v2/models/cats/ready", 404), (
            "/v2/models/cats/config", 404), ("/v2/models/cats/stats", 404), ("/v2/nothing", 404):
        status, body = raw.json("GET", path)
        checks.that(f"{want} {path}", status == want and body["error"], (status, body))
    status, body = raw.json("DELETE", MODEL)
    checks.that("405", status == 405 and body["error"], body)


def check_infer(raw):
    status, plain = raw.json("POST", MODEL + "/infer", {"id": "a", "inputs": json_inputs(2)})
    checks.equal("json", (status, plain["model_name"], plain["model_version"], plain["id"]), (200, "sorted-birds", "1", "a"))
    labels, p = (o["data"] for o in plain["outputs"])
    checks.that("JSON outputs carry no parameters", all("parameters" not in o for o in plain["outputs"]), plain)
    want = struct.pack(f"<{len(p)}f", *p)
    for version in "", "/versions/1":
        for coding, pack in (None, bytes), ("gzip", gzip.compress), ("deflate", zlib.compress):
            body, n = binary_request(2)
            headers = {"inference_header_content_length": n} | ({"content_encoding": coding} if coding else {})
            status, data, got = raw.ask("POST", MODEL + version + "/infer", pack(body), **headers)
            head = int(got.get("inference-header-content-length", 0))
            if checks.equal(f"binary {coding}", status, 200) and checks.that("binary answer", head > 0, got):
                outputs = json.loads(data[:head])["outputs"]
                sizes = [o["parameters"]["binary_data_size"] for o in outputs]
                checks.equal("probabilities", data[head + sizes[0]:], want)
                checks.equal("labels", data[head:head + sizes[0]],
                             b"".join(struct.pack("<I", len(s)) + s.encode() for s in labels))
    # one output binary, the other as JSON; class 2 of 3
    outputs = [{"name": "probability", "parameters": {"binary_data": True, "classification": 2}},
               {"name": "prediction", "parameters": {"binary_data": False}}]
    status, data, got = raw.ask("POST", MODEL + "/infer", json.dumps({"inputs": json_inputs(1), "outputs": outputs}).encode())
    head = int(got["inference-header-content-length"])
    answer = json.loads(data[:head])["outputs"]
    checks.equal("mixed", (status, answer[0]["shape"], answer[0]["datatype"], answer[1]["data"]), (200, [1, 2], "BYTES", labels[:1]))
    length = struct.unpack("<I", data[head:head + 4])[0]
    checks.that("classification", re.fullmatch(rb"[\d.e-]+:\d:\w+", data[head + 4:head + 4 + length]), data[head:])
    # answers in gzip and deflate, of a size that pays
    many = json.dumps({"inputs": json_inputs(200)}).encode()
    whole = raw.json("POST", MODEL + "/infer", many)[1]
    for coding in "gzip", "deflate":
        status, data, got = raw.ask("POST", MODEL + "/infer", many, accept_encoding=coding)
        checks.equal(f"answer in {coding}", (status, got.get("content-encoding"), json.loads(data)), (200, coding, whole))
    got = raw.ask("POST", MODEL + "/infer", many, accept_encoding="gzip;q=0, identity")[2]
    checks.that("refused coding", "content-encoding" not in got, got)
    # missing values: null in, as NaN
    inputs = json_inputs(1)
    inputs[1]["data"] = [None]
    checks.equal("null", raw.json("POST", MODEL + "/infer", {"inputs": inputs})[0], 200)


def check_refusals(raw):
    def fails(what, status, body, *pieces):
        got, answer = raw.json("POST", MODEL + "/infer", body)
        checks.equal(what, got, status)
        checks.has(what, answer.get("error", ""), *pieces)

    fails("no JSON", 400, b"{", "JSON")
    fails("a reserved parameter", 400, {"inputs": json_inputs(1), "parameters": {"triton_x": 1}}, "triton_x")
    fails("an unknown output", 400, {"inputs": json_inputs(1), "outputs": [{"name": "x"}]}, "x")
    shared = json_inputs(1)
    shared[0] = {"name": "island", "shape": [1, 1], "datatype": "BYTES",
                 "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 8}}
    fails("shared memory", 501, {"inputs": shared}, "island", "shared memory")
    fails("shared memory of an output", 501, {"inputs": json_inputs(1), "outputs": [
        {"name": "prediction", "parameters": {"shared_memory_region": "r"}}]}, "shared memory")
    fails("an overflowing shape", 400, {"inputs": [dict(json_inputs(1)[0], shape=[2**32, 2**32 + 2])]})
    fails("a negative shape", 400, {"inputs": [dict(json_inputs(1)[0], shape=[-1, 1])]})
    body, n = binary_request(1)
    checks.equal("a header length beyond the body",
                 raw.json("POST", MODEL + "/infer", body, inference_header_content_length=len(body) + 1)[0], 400)
    checks.equal("a body cut short", raw.json("POST", MODEL + "/infer", body[:-1], inference_header_content_length=n)[0], 400)
    checks.equal("unknown model", raw.json("POST", "/v2/models/cats/infer", {"inputs": json_inputs(1)})[0], 404)
    checks.equal("unknown version", raw.json("POST", MODEL + "/versions/9/infer", {"inputs": json_inputs(1)})[0], 404)


def check_statistics(raw):
    before = raw.json("GET", MODEL + "/versions/1/stats")[1]["model_stats"][0]
    for _ in range(3):
        raw.json("POST", MODEL + "/infer", {"inputs": json_inputs(4)})
    raw.json("POST", MODEL + "/infer", b"{")
    after = raw.json("GET", MODEL + "/stats")[1]["model_stats"][0]
    checks.equal("its name", (after["name"], after["version"]), ("sorted-birds", "1"))
    checks.equal("rows", after["inference_count"] - before["inference_count"], 12)
    checks.equal("executions", after["execution_count"] - before["execution_count"], 3)
    one, two = before["inference_stats"], after["inference_stats"]
    checks.equal("success", two["success"]["count"] - one["success"]["count"], 3)
    checks.equal("fail", two["fail"]["count"] - one["fail"]["count"], 1)
    checks.that("times", all(two[k]["ns"] > one[k]["ns"] for k in ("success", "fail", "compute_input", "compute_infer",
                                                                   "compute_output")), two)
    checks.that("last inference", abs(after["last_inference"] / 1000 - time.time()) < 60 * SLOWER, after["last_inference"])
    names = [s["name"] for s in raw.json("GET", "/v2/models/stats")[1]["model_stats"]]
    checks.equal("of all", sorted(names), ["birds", "sorted-birds"])


def check_repository(raw):
    status, index = raw.json("POST", "/v2/repository/index")  # comes without a length
    checks.equal("index", (status, [(i["name"], i["version"], i["state"]) for i in index]),
                 (200, [("birds", "1", "READY"), ("sorted-birds", "1", "READY")]))
    checks.equal("ready ones", len(raw.json("POST", "/v2/repository/index", {"ready": True})[1]), 2)
    checks.equal("of a repository", raw.json("POST", "/v2/repository/any/index")[0], 200)
    unload = {"parameters": {"unload_dependents": False}}
    checks.equal("unload", raw.json("POST", "/v2/repository/models/sorted%2Dbirds/unload", unload)[0], 200)
    checks.equal("unloaded", raw.json("POST", MODEL + "/infer", {"inputs": json_inputs(1)})[0], 503)
    checks.equal("not ready", raw.json("GET", MODEL + "/ready")[0], 503)
    index = {i["name"]: i for i in raw.json("POST", "/v2/repository/index")[1]}
    checks.equal("index of it", (index["sorted-birds"]["state"], index["sorted-birds"]["reason"]), ("UNAVAILABLE", "unloaded"))
    checks.equal("index of the ready", [i["name"] for i in raw.json("POST", "/v2/repository/index", {"ready": True})[1]], ["birds"])
    checks.equal("load", raw.json("POST", "/v2/repository/models/sorted%2Dbirds/load", {})[0], 200)
    checks.equal("loaded", raw.json("GET", MODEL + "/ready")[0], 200)
    checks.equal("unknown", raw.json("POST", "/v2/repository/models/cats/load", b"")[0], 404)
    for parameters in {"config": "{}"}, {"config": "{}", "file:1/model": "AA=="}:
        status, body = raw.json("POST", "/v2/repository/models/sorted%2Dbirds/load", {"parameters": parameters})
        checks.that("an override", status == 501 and "registry" in body["error"], body)


def check_settings(raw):
    status, log = raw.json("GET", "/v2/logging")
    checks.equal("log", (status, log["log_info"], log["log_verbose_level"]), (200, True, 0))
    status, log = raw.json("POST", "/v2/logging", {"log_info": False})
    checks.equal("log is quieter", (status, log["log_info"], log["log_warning"]), (200, False, True))
    until("for all workers", lambda: not Raw(raw.socket.getpeername()[1]).json("GET", "/v2/logging")[1]["log_info"])
    status, log = raw.json("POST", "/v2/logging", {"log_info": True, "log_verbose_level": 1})
    checks.equal("log is louder", (status, log["log_info"], log["log_verbose_level"]), (200, True, 1))
    checks.equal("as it was", raw.json("POST", "/v2/logging", {"log_verbose_level": 0})[1]["log_info"], True)
    checks.equal("a file", raw.json("POST", "/v2/logging", {"log_file": "/tmp/x"})[0], 501)
    for bad in {"log_info": 3}, {"colour": True}, [1]:
        checks.equal(f"log {bad}", raw.json("POST", "/v2/logging", bad)[0], 400)
    for path in "/v2/trace/setting", MODEL + "/trace/setting":
        checks.equal("trace", raw.json("GET", path)[1]["trace_level"], ["OFF"])
        checks.equal("trace off", raw.json("POST", path, {"trace_level": ["OFF"], "trace_rate": None})[0], 200)
        checks.equal("trace on", raw.json("POST", path, {"trace_level": ["TIMESTAMPS"]})[0], 501)
    checks.equal("trace of none", raw.json("GET", "/v2/models/cats/trace/setting")[0], 404)
    for kind in "system", "cuda":
        base = f"/v2/{kind}sharedmemory/"
        checks.equal("regions", raw.json("GET", base + "status"), (200, []))
        checks.equal("one region", raw.json("GET", base + "region/a/status")[0], 404)
        checks.equal("register", raw.json("POST", base + "region/a/register", {"key": "/a", "byte_size": 8})[0], 501)
        checks.equal("unregister", raw.json("POST", base + "region/a/unregister")[0], 200)
        checks.equal("unregister all", raw.json("POST", base + "unregister")[0], 200)
        checks.equal("another verb", raw.json("POST", base + "steal")[0], 404)


# ---- the client itself ----

def check_client(port, raw):
    if triton is None:
        print("tritonclient is not installed: its part is left out")
        return
    name = "sorted-birds"
    client = triton.InferenceServerClient(f"127.0.0.1:{port}", concurrency=4)

    def refused(what, status, call, *args, **kwargs):
        try:
            call(*args, **kwargs)
            checks.that(what, False, "no exception")
        except triton.InferenceServerException as e:
            checks.that(what, f"[{status}]" in str(e) and "decoding" not in str(e), str(e))

    checks.that("live and ready", client.is_server_live() and client.is_server_ready() and client.is_model_ready(name)
                and client.is_model_ready(name, "1") and not client.is_model_ready("cats"))
    checks.equal("client: server", client.get_server_metadata()["name"], "lathe")
    for version in "", "1":
        checks.equal("client: metadata", client.get_model_metadata(name, version)["name"], name)
        checks.that("client: config", client.get_model_config(name, version)["max_batch_size"] > 0)
        checks.equal("client: statistics", client.get_inference_statistics(name, version)["model_stats"][0]["name"], name)
    checks.equal("client: all statistics", len(client.get_inference_statistics()["model_stats"]), 2)
    checks.equal("client: index", len(client.get_model_repository_index()), 2)
    client.unload_model(name)
    checks.that("client: unloaded", not client.is_model_ready(name))
    client.load_model(name)
    checks.that("client: loaded", client.is_model_ready(name))
    refused("client: override", 501, client.load_model, name, config="{}")
    checks.equal("client: log", client.update_log_settings({"log_verbose_level": 0})["log_info"], True)
    checks.equal("client: log settings", client.get_log_settings()["log_verbose_level"], 0)
    checks.equal("client: trace", client.get_trace_settings()["trace_level"], ["OFF"])
    checks.equal("client: trace of a model", client.update_trace_settings(name, {"trace_level": None})["trace_level"], ["OFF"])
    refused("client: trace on", 501, client.update_trace_settings, settings={"trace_level": ["TIMESTAMPS"]})
    checks.equal("client: regions", (client.get_system_shared_memory_status(), client.get_cuda_shared_memory_status()), ([], []))
    refused("client: region", 404, client.get_system_shared_memory_status, "a")
    refused("client: register", 501, client.register_system_shared_memory, "a", "/a", 8)
    refused("client: register cuda", 501, client.register_cuda_shared_memory, "a", b"handle", 0, 8)
    client.unregister_system_shared_memory(), client.unregister_cuda_shared_memory("a")

    def inputs(rows, binary):
        made = []
        for k, v in ROW.items():
            text = isinstance(v, str)
            x = triton.InferInput(k, [rows, 1], "BYTES" if text else "FP64")
            x.set_data_from_numpy(np.array([[v]] * rows, dtype=object if text else np.float64), binary_data=binary)
            made.append(x)
        return made

    plain = raw.json("POST", MODEL + "/infer", {"inputs": json_inputs(50)})[1]["outputs"]
    for binary in True, False:
        for coding in None, "gzip", "deflate":
            r = client.infer(name, inputs(50, binary), model_version="1", request_id="7", request_compression_algorithm=coding,
                             response_compression_algorithm=coding, timeout=60_000_000, priority=1, parameters={"mine": "x"})
            checks.equal("client: labels", [x.decode() for x in r.as_numpy("prediction").ravel()], plain[0]["data"])
            checks.that("client: probabilities", np.array_equal(
                r.as_numpy("probability").ravel(), np.array(plain[1]["data"], dtype=np.float32)))
            checks.equal("client: id", r.get_response()["id"], "7")
        wanted = [triton.InferRequestedOutput("probability", binary_data=binary, class_count=2)]
        r = client.infer(name, inputs(1, binary), outputs=wanted).as_numpy("probability")
        checks.equal("client: classification", r.shape, (1, 2))
    answers = [client.async_infer(name, inputs(3, True)) for _ in range(8)]
    checks.that("client: async", all(a.get_result().as_numpy("probability").shape == (3, 3) for a in answers))
    x = inputs(1, True)
    x[1].set_data_from_numpy(np.array([[np.nan]]), binary_data=False)
    checks.that("client: NaN", client.infer(name, x).as_numpy("probability") is not None)
    shared = triton.InferInput("island", [1, 1], "BYTES")
    shared.set_shared_memory("a", 8)
    refused("client: shared memory", 501, client.infer, name, [shared] + inputs(1, True)[1:])
    refused("client: unknown model", 404, client.infer, "cats", inputs(1, True))
    refused("client: unknown version", 404, client.infer, name, inputs(1, True), model_version="9")
    refused("client: a column missing", 400, client.infer, name, inputs(1, True)[1:])
    client.close()


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
    path = lathe.write("birds.json", DOCUMENT)
    if not checks.equal("training", lathe.run("run", path, "--json").returncode, 0):
        checks.end()
    log = lathe.path("serve.log")
    with open(log, "w") as out:
        server = subprocess.Popen([BIN, "serve", "--listen", "127.0.0.1:0", "--inference", "127.0.0.1:0", "--workers", "2"],
                                  env=lathe.env, stderr=out, stdout=out)
    try:
        def port_of(text):
            found = re.search(r"http://[\d.]+:(\d+)/v2", text)
            return int(found.group(1)) if found else None

        until("start", lambda: port_of(open(log).read()))
        port = port_of(open(log).read())
        # two workers: each must be ready
        until("ready", lambda: all(Raw(port).json("GET", MODEL + "/ready")[0] == 200 for _ in range(20)))
        raw = Raw(port)
        check_server(raw)
        check_infer(raw)
        check_refusals(raw)
        check_statistics(raw)
        check_repository(raw)
        check_settings(raw)
        check_client(port, raw)
        server.terminate()
        checks.equal("exit code", server.wait(timeout=30 * SLOWER), 0)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
checks.end()
