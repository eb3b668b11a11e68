#!/usr/bin/env python3
"""Requests a second of `lathe serve` against other servers of the same model, each with one worker, on the same machine.

    ./dev bench --setup-serve         once: LightGBM, FastAPI and uvicorn in build/bench-venv, MLServer in build/mlserver-venv
    ./dev bench serve                 everything; needs wrk and nginx (apt-get install wrk nginx-light)
    ./dev bench serve --seconds 1 --repeats 1     a trial

Cases: `rate` (64 connections, one row of 28 features as JSON), `latency` (the same, one connection), `batch` (1 000 rows as
binary float32, 4 connections). The servers take turns; the tables show medians. nginx answers a constant without
looking at the request: the floor of this machine's network stack, by GET and by the same POST. Load generator and server share the
cores. Every server's answer is checked against LightGBM's own prediction (ours against `lathe predict`'s quality by AUC)
before it is measured. Writes build/bench/serve.json.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "bench"
ROWS, LEAVES, TREES, BATCH = 100_000, 63, 100, 1000

REPORT = """
done = function(summary, latency, requests)
  io.write(string.format('JSON {"requests": %d, "us": %d, "p50": %d, "p99": %d, "errors": %d}\\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), summary.errors.connect + summary.errors.read +
    summary.errors.write + summary.errors.status + summary.errors.timeout))
end
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, method, path, body=None, headers=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request(method, path, body, headers or {})
    r = c.getresponse()
    data = r.read()
    c.close()
    return r.status, data


# ---- the model and its requests ----

class Work:
    """The data, both models, and the bodies of the requests."""

    def __init__(self, folder, lathe):
        import lightgbm
        import numpy as np
        import sets
        self.folder, self.program, self.home = folder, str(lathe), folder / "home"
        path = sets.prepare("higgs", ROWS)
        with np.load(path.with_suffix(".npz")) as data:
            x, y, part = data["x"], data["y"], data["part"]
        self.rows = np.ascontiguousarray(x[part == 2][:20000], dtype=np.float32)
        self.y = y[part == 2][:20000]
        booster = lightgbm.train({"objective": "binary", "num_leaves": LEAVES, "learning_rate": 0.1, "verbosity": -1,
                                  "seed": 1}, lightgbm.Dataset(x[part == 0], y[part == 0]), TREES)
        self.file = folder / "lightgbm.txt"
        booster.save_model(self.file)
        self.lightgbm = booster.predict(self.rows)
        document = {"lathe": 1, "name": "higgs", "seed": 1, "goal": sets.goal_of("higgs"),
                    "prepare": sets.pipeline_input("higgs", path),
                    "train": {"candidates": {"ours": {"gbdt": {
                        "rounds": TREES, "learning_rate": 0.1, "early_stopping": None, "base": {
                            "tree": {"max_leaves": LEAVES, "min_rows": 20, "min_hessian": 0.001, "max_bins": 255}}}}}},
                    "deploy": {"endpoint": "higgs", "when": "always"}}
        (folder / "higgs.json").write_text(json.dumps(document))
        subprocess.run([self.program, "run", str(folder / "higgs.json"), "--home", str(self.home)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def json_body(self, n=1, plain=False):
        data = [round(float(v), 4) for v in self.rows[:n].ravel()]
        return json.dumps({"inputs": [{"name": "x", "shape": [n, 28], "datatype": "FP32", "data": data}]}).encode()

    def binary_body(self, n=BATCH):
        """(body, length of its JSON)"""
        data = self.rows[:n].tobytes()
        head = json.dumps({"inputs": [{"name": "x", "shape": [n, 28], "datatype": "FP32",
                                       "parameters": {"binary_data_size": len(data)}}],
                           "parameters": {"binary_data_output": True}}).encode()
        return head + data, len(head)


# ---- servers ----

class Server:
    """One process (and its children) on a port. `path`, `headers` and `body` make its request."""
    name, path, method = "", "/", "POST"

    def __init__(self, work):
        self.work, self.port, self.process = work, free_port(), None

    def request(self, case):
        """(headers, body)"""
        return {"content-type": "application/json"}, self.work.json_body()

    def start(self):
        log = open(self.work.folder / f"{self.name.split()[0]}.log", "w")
        self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, start_new_session=True, env=self.env())
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.is_up():
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        raise SystemExit(f"{self.name} did not start: see {log.name}:\n" + open(log.name).read()[-2000:])

    def env(self):
        return dict(os.environ, OMP_NUM_THREADS="1")

    def is_up(self):
        headers, body = self.request("rate")
        return ask(self.port, self.method, self.path, body, headers)[0] == 200

    def stop(self):
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def check(self):
        """The answers are the model's."""


class Lathe(Server):
    name, path = "lathe", "/v2/models/higgs/infer"

    def command(self):
        return [self.work.program, "serve", "--home", str(self.work.home), "--listen", "127.0.0.1:0",
                "--inference", f"127.0.0.1:{self.port}", "--workers", "1"]

    def request(self, case):
        if case != "batch":
            return super().request(case)
        body, n = self.work.binary_body()
        return {"content-type": "application/octet-stream", "inference-header-content-length": str(n)}, body

    def check(self):
        """As good as LightGBM, and one row alone as in its batch."""
        from sklearn.metrics import roc_auc_score
        status, data = ask(self.port, "POST", self.path, self.work.json_body(len(self.work.rows)))
        p = json.loads(data)["outputs"][1]["data"][1::2]
        one = json.loads(ask(self.port, "POST", self.path, self.work.json_body())[1])["outputs"][1]["data"][1]
        ours, theirs = roc_auc_score(self.work.y, p), roc_auc_score(self.work.y, self.work.lightgbm)
        print(f"AUC on {len(p)} rows: lathe {ours:.4f}, LightGBM {theirs:.4f}", file=sys.stderr)
        if one != p[0] or ours < theirs - 0.002:
            raise SystemExit("the models do not compare")


class Nginx(Server):
    name = "nginx"

    def __init__(self, work):
        super().__init__(work)
        self.answer = ""

    def command(self):
        answer = ('{"model_name":"higgs","model_version":"1","outputs":[{"name":"prediction","datatype":"BYTES","shape":[1,1],'
                  '"data":["yes"]},{"name":"probability","datatype":"FP32","shape":[1,2],"data":[0.33419812,0.6658019]}]}')
        conf = self.work.folder / "nginx.conf"
        conf.write_text(f"""daemon off; worker_processes 1; pid {self.work.folder}/nginx.pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {self.work.folder}/nginx-body;
  proxy_temp_path {self.work.folder}/p; fastcgi_temp_path {self.work.folder}/f; uwsgi_temp_path {self.work.folder}/u;
  scgi_temp_path {self.work.folder}/s;
  server {{ listen 127.0.0.1:{self.port} backlog=1024; default_type application/json; location / {{ return 200 '{answer}'; }} }} }}
""")
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-p", str(self.work.folder), "-e", "stderr", "-c", str(conf)]


class NginxGet(Nginx):
    name, method = "nginx GET", "GET"

    def request(self, case):
        return {}, None


class FastApi(Server):
    name, path = "FastAPI + LightGBM", "/predict"

    def command(self):
        here = pathlib.Path(__file__).parent
        return [sys.executable, "-m", "uvicorn", "--app-dir", str(here), "serve_fastapi:app", "--port", str(self.port),
                "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]

    def env(self):
        return super().env() | {"BENCH_MODEL": str(self.work.file)}

    def request(self, case):
        if case == "batch":
            return {"content-type": "application/octet-stream"}, self.work.rows[:BATCH].tobytes()
        return super().request(case)

    def check(self):
        headers, body = self.request("rate")
        _, data = ask(self.port, "POST", self.path, body, headers)
        if abs(json.loads(data)["outputs"][0]["data"][0] - self.work.lightgbm[0]) > 1e-4:
            raise SystemExit("FastAPI answers something else than LightGBM")


class MlServer(Server):
    name, path = "MLServer + LightGBM", "/v2/models/higgs/infer"
    python = ROOT / "build" / "mlserver-venv" / "bin"

    def command(self):
        folder = self.work.folder / "mlserver"
        folder.mkdir(exist_ok=True)
        shutil.copy(self.work.file, folder / "model.bst")
        (folder / "settings.json").write_text(json.dumps(
            {"debug": False, "host": "127.0.0.1", "http_port": self.port, "grpc_port": free_port(), "metrics_port": free_port(),
             "parallel_workers": 0, "logging_settings": None}))
        (folder / "model-settings.json").write_text(json.dumps(
            {"name": "higgs", "implementation": "mlserver_lightgbm.LightGBMModel",
             "parameters": {"uri": "./model.bst", "version": "1"}}))
        return [str(self.python / "mlserver"), "start", str(folder)]

    def request(self, case):
        if case != "batch":
            return super().request(case)
        body, n = self.work.binary_body()
        return {"content-type": "application/octet-stream", "inference-header-content-length": str(n)}, body

    def check(self):
        headers, body = self.request("rate")
        _, data = ask(self.port, "POST", self.path, body, headers)
        if abs(json.loads(data)["outputs"][0]["data"][0] - self.work.lightgbm[0]) > 1e-4:
            raise SystemExit("MLServer answers something else than LightGBM")


# ---- measuring ----

def lua_string(data):
    return '"' + "".join(f"\\{b:03d}" for b in data) + '"'


class Failed(Exception):
    """A server gave no answers that can be compared."""


def load(server, case, connections, seconds):
    """What wrk saw: requests a second, µs of median and 99th percentile."""
    headers, body = server.request(case)
    script = server.work.folder / f"{re.sub('[^a-z]', '', server.name.lower())}-{case}.lua"
    text = f'wrk.method = "{server.method}"\n'
    text += "".join(f'wrk.headers["{k}"] = "{v}"\n' for k, v in headers.items())
    text += f"wrk.body = {lua_string(body)}\n" if body else ""
    script.write_text(text + REPORT)
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script),
                          f"http://127.0.0.1:{server.port}{server.path}"], capture_output=True, text=True)
    found = re.search(r"^JSON (.*)$", out.stdout, re.M)
    if out.returncode != 0 or not found:
        raise Failed(f"wrk failed: {(out.stdout + out.stderr).strip()[-200:]}")
    one = json.loads(found[1])
    if one["errors"]:
        raise Failed(f"{one['errors']} of {one['requests']} requests failed")
    return {"rate": one["requests"] / one["us"] * 1e6, "p50": one["p50"], "p99": one["p99"]}


CASES = {"rate": 64, "latency": 1, "batch": 4}


def takes_part(server, case):
    return {"rate": True, "latency": not isinstance(server, (FastApi, MlServer)),
            "batch": not isinstance(server, (Nginx, MlServer))}[case]


def measure(server, case, seconds, failed):
    """One measurement; None where the server has failed, which ends the benchmark for lathe alone."""
    if server.name in failed:
        return None
    try:
        return load(server, case, CASES[case], seconds)
    except Failed as reason:
        if isinstance(server, Lathe):
            raise SystemExit(f"{server.name}, {case}: {reason}") from reason
        failed[server.name] = str(reason)
        return None


def show(case, figures, failed):
    n = BATCH if case == "batch" else 1
    base = figures["lathe"]
    unit = "rows/s" if case == "batch" else "requests/s"
    print(f"\n{case}: {CASES[case]} connection{'s' if CASES[case] > 1 else ''}"
          + (f", {BATCH} rows × 28 as binary FP32" if case == "batch" else ", 1 row × 28 as JSON"))
    for name, runs in figures.items():
        if name in failed:
            print(f"  {name:22} failed, not compared: {failed[name]}")
            continue
        med = {k: statistics.median(r[k] for r in runs) for k in runs[0]}
        ratio = statistics.median(a["rate"] / b["rate"] for a, b in zip(base, runs))
        spread = f"{min(r['rate'] for r in runs) * n:.0f}–{max(r['rate'] for r in runs) * n:.0f}"
        print(f"  {name:22} {med['rate'] * n:12.0f} {unit}  {spread:>21}  p50 {med['p50']:6.0f} µs  p99 {med['p99']:6.0f} µs"
              + ("" if name == "lathe" else f"  lathe: {ratio:.2f}×"))


def main():
    parser = argparse.ArgumentParser(prog="./dev bench serve", description="speed of the service against others")
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="default: all")
    parser.add_argument("--seconds", type=int, default=3, help="of one measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", help="names of servers, with commas between (lathe is always there)")
    parser.add_argument("--lathe", default=os.environ.get("LATHE_BIN", ROOT / "build/bin/lathe"))
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed: apt-get install wrk nginx-light", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = {}
    with tempfile.TemporaryDirectory(prefix="serve-", dir=FOLDER) as folder, contextlib.ExitStack() as stack:
        work = Work(pathlib.Path(folder), args.lathe)
        kinds = [Lathe, Nginx, NginxGet, FastApi] + ([MlServer] if MlServer.python.is_dir() else [])
        if args.only:
            kinds = [k for k in kinds if k is Lathe or any(o and k.name.lower().startswith(o) for o in args.only.lower().split(","))]
        servers = [kind(work) for kind in kinds]
        for server in servers:
            stack.callback(server.stop)
            server.start()
            server.check()
        for case in args.cases or CASES:
            taking = [s for s in servers if takes_part(s, case)]
            figures = {s.name: [] for s in taking}
            failed = {}
            for server in taking:
                measure(server, case, 1, failed)  # warm
            for _ in range(args.repeats):
                for server in taking:
                    figures[server.name].append(measure(server, case, args.seconds, failed))
            show(case, figures, failed)
            results[case] = {name: runs for name, runs in figures.items() if name not in failed}
    (FOLDER / "serve.json").write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
