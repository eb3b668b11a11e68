"""What watching costs: requests a second of one inference worker with validation and per-feature statistics on, against the
same model with both off. JSON bodies of one row, 28 numbers, boosted trees (100 of at most 63 leaves), 64 connections of
wrk on the same machine. Pairs alternate, so that a machine that slows down slows both; the median of the pairs' ratios
counts. Beside the rate stands the worker's own processor time a request, which other programs on the machine disturb
less. The bar is at most 3 % of the throughput.

    ./dev bench overhead [--pairs 20] [--seconds 1]
"""

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BIN = os.environ["LATHE_BIN"]
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


def make_script(path, name):
    """A Lua script for wrk: bodies drawn from the training's distribution, one after the other."""
    rng = random.Random(2)
    lines = []
    for _ in range(BODIES):
        data = [round(v, 6) for v in features(rng)]
        lines.append(json.dumps({"inputs": [{"name": "x", "shape": [1, FEATURES], "datatype": "FP64", "data": data}]},
                                separators=(",", ":")))
    with open(path, "w") as out:
        out.write("local bodies = {\n" + ",\n".join(f"[[{line}]]" for line in lines) + "}\nlocal made, at = {}, 0\n")
        out.write(f"""function init()
  for i, body in ipairs(bodies) do
    made[i] = wrk.format("POST", "/v2/models/{name}/infer", {{["Content-Type"] = "application/json"}}, body)
  end
end
function request()
  at = at % #made + 1
  return made[at]
end
""")


def document(name, data, validation):
    deploy = {"endpoint": name, "when": "always"}
    if validation is not None:
        deploy["validation"] = validation
    return {"lathe": 1, "name": "m-" + name, "seed": 1,
            "goal": {"task": "classification", "target": "y", "metric": "auc"},
            "prepare": {"source": {"csv": {"path": data}}, "split": {"random": {"test": 0.2}}, "profile": False},
            "train": {"candidates": {"trees": {"gbdt": {"rounds": 100, "base": {"tree": {"max_leaves": 63}}}}}},
            "deploy": deploy}


def load(port, script, seconds):
    text = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{port}/"],
                          capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit("requests failed:\n" + text)
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
            int(re.search(r"(\d+) requests in", text).group(1)))


def cpu_seconds(pid):
    """Of a process, user and system, to the nanosecond (sum over its threads)."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        total += int(open(f"/proc/{pid}/task/{thread}/schedstat").read().split()[0])
    return total * 1e-9


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=1)
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is needed: apt-get install wrk")
    folder = tempfile.mkdtemp(prefix="lathe-bench-")
    home, data = os.path.join(folder, "home"), os.path.join(folder, "data.csv")
    make_data(data)
    for name, validation in (("on", None), ("off", QUIET)):
        path = os.path.join(folder, name + ".json")
        with open(path, "w") as out:
            json.dump(document(name, data, validation), out)
        subprocess.run([BIN, "run", path], env=dict(os.environ, LATHE_HOME=home), check=True, capture_output=True)
        make_script(os.path.join(folder, name + ".lua"), name)
    server, port = start(home, os.path.join(folder, "log"))
    try:
        worker = int(subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True).stdout.split()[0])
        rates, costs = {"on": [], "off": []}, {"on": [], "off": []}
        for name in rates:
            load(port, os.path.join(folder, name + ".lua"), 1)
        for pair in range(args.pairs):
            for name in (("on", "off"), ("off", "on"))[pair % 2]:
                before = cpu_seconds(worker)
                rate, requests = load(port, os.path.join(folder, name + ".lua"), args.seconds)
                rates[name].append(rate)
                costs[name].append((cpu_seconds(worker) - before) / requests * 1e6)
        for what, values, unit in (("rate", rates, "requests/s"), ("processor time", costs, "us a request")):
            ratios = [a / b for a, b in zip(values["on"], values["off"])]
            middle = statistics.median(ratios)
            cost = 100 * (1 - middle if what == "rate" else middle - 1)
            print(f"{what}: on {statistics.median(values['on']):.6g}, off {statistics.median(values['off']):.6g} {unit}; "
                  f"on/off pair by pair: median {middle:.4f} ({min(ratios):.3f} to {max(ratios):.3f}): cost {cost:.2f} %")
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
