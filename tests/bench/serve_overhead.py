"""What watching costs: one inference worker serves one model under two names, with validation and per-feature statistics on
and with both off. JSON bodies of one row, 28 numbers, boosted trees (100 of at most 63 leaves), 64 connections.

Load alternates between the two names in slices of 10 ms over the same connections (tests/bench/slices.c), so that a
machine that slows down slows both. For each pair of slices next to each other there is a ratio on/off: of requests a
second, and of the worker's own processor time a request, which other programs disturb less. Told are the medians with
intervals that hold 95 of 100 medians of pairs drawn anew (bootstrap), and the median of each start of the service. Both names
share the model and its buffers, so that where memory lies favours neither. The bar is at most 3 % of the throughput.

--null has both off, under two names: what is found then is what the measurement itself can be wrong by.

    ./dev bench overhead [--pairs 1600] [--starts 8] [--slice-ms 10] [--null] [--home D]     --home keeps the model for later
"""

import argparse
import http.client
import json
import os
import random
import pathlib
import re
import shutil
import struct
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ.get("LATHE_BIN", str(ROOT / "build" / "bin" / "lathe"))
CLIENT = str(pathlib.Path(BIN).resolve().parents[1] / "tests" / "bench" / "slices")
FEATURES, ROWS, BODIES = 28, 20000, 500
QUIET = {"range": "pass", "domain": "pass", "nulls": "pass", "statistics": False}


def features(rng):
    return [rng.gauss(0, 1) if k % 3 else rng.expovariate(1) for k in range(FEATURES)]


def make_data(path):
    rng = random.Random(1)
    with open(path, "w") as out:
        out.write(",".join(f"x{k}" for k in range(FEATURES)) + ",y\n")
        for _ in range(ROWS):
            x = features(rng)
            label = "signal" if x[0] * x[1] + x[2] - x[5] * x[7] + rng.gauss(0, 0.5) > 0 else "noise"
            out.write(",".join(f"{v:.6g}" for v in x) + f",{label}\n")


def make_requests(path, name):
    """Requests with rows drawn from the training's distribution, each behind its length."""
    rng = random.Random(2)
    with open(path, "wb") as out:
        for _ in range(BODIES):
            data = [round(v, 6) for v in features(rng)]
            body = json.dumps({"inputs": [{"name": "x", "shape": [1, FEATURES], "datatype": "FP64", "data": data}]},
                              separators=(",", ":"))
            text = (f"POST /v2/models/{name}/infer HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(body)}\r\n\r\n{body}").encode()
            out.write(struct.pack("=I", len(text)) + text)


def document(name, data):
    return {"lathe": 1, "name": "m-" + name, "seed": 1,
            "goal": {"task": "classification", "target": "y", "metric": "auc"},
            "prepare": {"source": {"csv": {"path": data}}, "split": {"random": {"test": 0.2}}, "profile": False},
            "train": {"candidates": {"trees": {"gbdt": {"rounds": 100, "base": {"tree": {"max_leaves": 63}}}}}},
            "deploy": {"endpoint": name, "when": "always"}}


def slices(port, worker, folder, pairs, args, names):
    """{"on": [(requests a second, processor us a request)], "off": …}, pair by pair. names: in the order of the first pair."""
    text = subprocess.run([CLIENT, str(port), "64", str(args.slice_ms), str(pairs), str(worker),
                           *(os.path.join(folder, name + ".bin") for name in names)],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {name: [] for name in names}
    for line in text.splitlines():
        kind, answers, seconds, cpu = line.split()
        found[names[int(kind)]].append((int(answers) / float(seconds), float(cpu) / int(answers) * 1e6))
    return found


def interval(ratios, draws=2000):
    """Of the median of pairs, by drawing as many pairs again and again."""
    rng = random.Random(3)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[draws // 40], medians[-draws // 40]


def tell(starts, first, second):
    """starts: what `slices` found, by start of the service."""
    for at, what, unit, sign in ((0, "rate", "requests/s", -1), (1, "processor time", "us a request", 1)):
        by_start = [[sign * 100 * (a[at] / b[at] - 1) for a, b in zip(found[first], found[second])] for found in starts]
        costs = [cost for start in by_start for cost in start]
        ends = interval(costs)
        middle = [statistics.median(pair[at] for found in starts for pair in found[name]) for name in (first, second)]
        print(f"{what}: {first} {middle[0]:.6g}, {second} {middle[1]:.6g} {unit}; cost {statistics.median(costs):.2f} % "
              f"(95 %: {ends[0]:.2f} to {ends[1]:.2f}; {len(costs)} pairs); by start "
              + ", ".join(f"{statistics.median(start):.2f}" for start in by_start))


def start(home, log):
    with open(log, "w") as out:
        server = subprocess.Popen([BIN, "serve", "--workers", "1", "--listen", "127.0.0.1:0", "--inference",
                                   "127.0.0.1:0"], env=dict(os.environ, LATHE_HOME=home), stdout=out, stderr=out)
    for _ in range(200):
        time.sleep(0.05)
        found = re.search(r"http://[\d.]+:(\d+)/v2", open(log).read())
        if found:
            time.sleep(0.5)
            return server, int(found.group(1))
    server.kill()
    sys.exit("the service does not start:\n" + open(log).read())


def call(control, method, path, body=None):
    c = http.client.HTTPConnection("127.0.0.1", control, timeout=60)
    c.request(method, "/api/v1" + path, json.dumps(body) if body is not None else None)
    answer = c.getresponse()
    text = answer.read()
    c.close()
    if answer.status != 200:
        sys.exit(f"{method} {path}: {answer.status} {text}")
    return json.loads(text)


def control_port(log):
    with open(log) as file:
        return int(re.search(r"control plane on port (\d+)", file.read()).group(1))


def prepare(folder, home):
    """One model; its endpoint "on" has the usual rules, "off" and "null" have none."""
    data, path, log = (os.path.join(folder, name) for name in ("data.csv", "on.json", "log"))
    make_data(data)
    with open(path, "w") as out:
        json.dump(document("on", data), out)
    subprocess.run([BIN, "run", path], env=dict(os.environ, LATHE_HOME=home), check=True, capture_output=True)
    server, _ = start(home, log)
    try:
        for name in ("off", "null"):
            call(control_port(log), "PUT", "/endpoints/" + name, {"model": "m-on", "validation": QUIET})
    finally:
        server.kill()
        server.wait()


def measure(home, folder, names, args):
    starts = []
    for turn in range(args.starts):
        server, port = start(home, os.path.join(folder, "log"))
        try:
            with open(f"/proc/{server.pid}/task/{server.pid}/children") as children:
                worker = int(children.read().split()[0])
            starts.append(slices(port, worker, folder, args.pairs // args.starts, args, names[::(1, -1)[turn % 2]]))
        finally:
            server.kill()
            server.wait()
    return starts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1600)
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--slice-ms", type=int, default=10)
    parser.add_argument("--null", action="store_true")
    parser.add_argument("--home")
    args = parser.parse_args()
    names = ("null" if args.null else "on", "off")
    folder = tempfile.mkdtemp(prefix="lathe-bench-")
    home = args.home or os.path.join(folder, "home")
    try:
        if not os.path.exists(os.path.join(home, "lathe.db")):
            prepare(folder, home)
        for name in names:
            make_requests(os.path.join(folder, name + ".bin"), name)
        tell(measure(home, folder, names, args), *names)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
