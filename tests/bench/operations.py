#!/usr/bin/env python3
"""How fast `lathe serve` is there, at its start and after a crash, and what it takes idle; see README.md.

    ./dev bench startup       from exec to ready with 100 models of 1 MB and a warm scan cache, and idle memory
    ./dev bench restart       from a worker's death by a signal to its replacement's first answer, 10 small models

Options: --models N, --trees N (the size of a model), --repeats K, --home D (keeps the home for the next time).
"""
import argparse
import http.client
import json
import os
import pathlib
import random
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
BIN = os.environ.get("LATHE_BIN", str(ROOT / "build" / "bin" / "lathe"))
FEATURES = 28


# ---- models ----

def write_csv(path, rows):
    chance = random.Random(1)
    with open(path, "w") as f:
        f.write(",".join(f"f{i}" for i in range(FEATURES)) + ",y\n")
        for _ in range(rows):
            x = [chance.gauss(0, 1) for _ in range(FEATURES)]
            score = x[0] * x[1] + abs(x[2]) - x[3] + chance.gauss(0, 1)
            f.write(",".join(f"{v:.5f}" for v in x) + f",{'yes' if score > 0.5 else 'no'}\n")


def make_home(home, models, trees, leaves):
    """A home with that many endpoints, each of a model of its own."""
    os.makedirs(home, exist_ok=True)
    data = os.path.join(home, "bench.csv")
    write_csv(data, 1200)
    for k in range(models):
        document = {
            "lathe": 1, "name": f"bench{k:03d}", "seed": k + 1,
            "goal": {"task": "classification", "target": "y", "metric": "log_loss"},
            "prepare": {"source": {"csv": {"path": data}}, "split": {"random": {"test": 0.2}}, "profile": False},
            "train": {"candidates": {"boosted": {"gbdt": {"rounds": trees, "base": {"tree": {
                "max_leaves": leaves, "min_rows": 1}}}}}},
            "deploy": {"endpoint": f"bench{k:03d}", "when": "always"}}
        path = os.path.join(home, "document.json")
        with open(path, "w") as f:
            json.dump(document, f)
        r = subprocess.run([BIN, "run", path, "--json", "--home", home], capture_output=True, text=True)
        if r.returncode != 0:
            sys.exit(f"training failed: {r.stderr[-800:]}{r.stdout[-400:]}")
        file = json.loads(r.stdout)["model"]["file"]
        if (k + 1) % 10 == 0:
            print(f"model {k + 1} of {models}: {os.path.getsize(file) / 1e6:.2f} MB", file=sys.stderr)


# ---- the service ----

class Service:
    """`lathe serve`, started with a socket that it tells its readiness, as systemd would give it."""

    def __init__(self, home, workers, log):
        self.folder = tempfile.mkdtemp(prefix="lathe-bench-")
        path = os.path.join(self.folder, "notify")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(path)
        self.notify.settimeout(20)
        env = dict(os.environ, NOTIFY_SOCKET=path, LATHE_HOME=home)
        with open(log, "w") as out:
            self.start = time.perf_counter()
            self.process = subprocess.Popen([BIN, "serve", "--listen", "127.0.0.1:0", "--inference", "127.0.0.1:0",
                                             "--workers", str(workers)], env=env, stderr=out, stdout=out)
        try:
            while b"READY=1" not in self.notify.recv(4096):
                pass
        except OSError:
            self.process.kill()
            sys.exit("the service did not become ready: " + open(log).read()[-1000:])
        self.ready = time.perf_counter() - self.start
        text = open(log).read()
        self.control = int(re.search(r"control plane on \D*(?:.*:)?(\d+) [(]", text).group(1))
        self.inference = int(re.search(r"://[\d.]+:(\d+)/v2", text).group(1))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        start = time.perf_counter()
        self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)
        return time.perf_counter() - start

    def workers(self):
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(word) for word in f.read().split()]


def memory_of(pid):
    """(PSS, RSS) in MB."""
    found = {}
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            key, _, rest = line.partition(":")
            if key in ("Pss", "Rss"):
                found[key] = int(rest.split()[0]) / 1024
    return found["Pss"], found["Rss"]


def ask(port, path, body=None, timeout=10):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    c.request("POST" if body else "GET", path, body)
    status = c.getresponse()
    status.read()
    c.close()
    return status.status


def median_of(values, unit, scale=1):
    values = sorted(v * scale for v in values)
    return f"median {statistics.median(values):.1f} {unit} (least {values[0]:.1f}, greatest {values[-1]:.1f})"


# ---- benches ----

def startup(args, home, log):
    ready, answered, stop, pss, rss = [], [], [], [], []
    row = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, FEATURES], "data": [0.5] * FEATURES}]})
    for k in range(args.repeats + 1):
        service = Service(home, args.workers, log)
        try:
            if ask(service.inference, "/v2/models/bench000/ready") != 200:
                sys.exit("ready was told, and a model is not ready")
            if ask(service.inference, f"/v2/models/bench{args.models - 1:03d}/infer", row) != 200:
                sys.exit("ready was told, and a model does not answer")
            first = time.perf_counter() - service.start
            time.sleep(1.5)
            pids = [service.process.pid] + service.workers()
            memory = [memory_of(pid) for pid in pids]
        finally:
            took = service.stop()
        if k > 0:  # the first warms the caches
            ready.append(service.ready)
            answered.append(first)
            stop.append(took)
            pss.append(sum(m[0] for m in memory))
            rss.append([m[1] for m in memory])
    print(f"{args.models} models, {args.workers} worker(s), {args.repeats} starts, warm scan cache")
    print(f"  ready after       {median_of(ready, 'ms', 1000)}; bar 50 ms")
    print(f"  first prediction  {median_of(answered, 'ms', 1000)}: of a model that nobody asked before")
    print(f"  idle memory, PSS  {median_of(pss, 'MB')} of supervisor and worker(s), one model loaded; bar 30 MB")
    print(f"  RSS               supervisor {statistics.median(r[0] for r in rss):.1f} MB, "
          f"worker {statistics.median(r[1] for r in rss):.1f} MB (shared pages count in both)")
    print(f"  stop when idle    {median_of(stop, 'ms', 1000)}; bar 1000 ms")
    return {"ready_ms": statistics.median(ready) * 1000, "pss_mb": statistics.median(pss)}


def restart(args, home, log):
    """A client waits in the dead worker's queue; its answer ends the time."""
    service = Service(home, 1, log)
    took = []
    try:
        for _ in range(args.repeats):
            time.sleep(2.2)  # a worker that dies young waits before it comes again
            worker = service.workers()[0]
            start = time.perf_counter()
            os.kill(worker, signal.SIGSEGV)
            while os.path.exists(f"/proc/{worker}"):
                time.sleep(0.0002)
            c = http.client.HTTPConnection("127.0.0.1", service.inference, timeout=10)
            while True:
                c.request("GET", "/v2/models/bench000/ready")
                answer = c.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                time.sleep(0.0005)
            took.append(time.perf_counter() - start)
            c.close()
    finally:
        service.stop()
    print(f"{args.models} models, 1 worker, {args.repeats} deaths by SIGSEGV, warm scan cache")
    print(f"  death to the first ready model of the replacement  {median_of(took, 'ms', 1000)}; bar 100 ms")
    return {"restart_ms": statistics.median(took) * 1000}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", choices=["startup", "restart"])
    parser.add_argument("--models", type=int)
    parser.add_argument("--trees", type=int)
    parser.add_argument("--leaves", type=int, default=63)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--home")
    args = parser.parse_args()
    defaults = {"startup": (100, 420), "restart": (10, 10)}[args.bench]
    args.models = args.models or defaults[0]
    args.trees = args.trees or defaults[1]
    folder = args.home or tempfile.mkdtemp(prefix="lathe-bench-")
    home = os.path.join(folder, f"{args.models}x{args.trees}")
    try:
        if not os.path.exists(os.path.join(home, "lathe.db")):
            make_home(home, args.models, args.trees, args.leaves)
        {"startup": startup, "restart": restart}[args.bench](args, home, os.path.join(folder, "serve.log"))
    finally:
        if not args.home:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
