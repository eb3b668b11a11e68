"""What a shadow costs the clients of an endpoint. One inference worker serves two models of a kind (100 boosted trees, 28 numbers
as JSON) under two names; the endpoint "on" has the other model as a shadow, "off" has none. Load alternates between the two in
slices over the same connections, as of `./dev bench overhead`; then wrk alternates between them for latencies.

    64 connections, as fast as they can    nothing is idle: the shadow works by stretches and rests between, and what it
                                           does not come to is dropped, which is counted
    1 connection                           the same on two processors, which the client and the worker keep busy; with a
                                           third one the shadow has time for every copy
    serving thread                         its own processor time a request: copying body and prediction, which is all
                                           that an answer waits for

    ./dev bench shadow [--pairs 100] [--slice-ms 80] [--wrk-pairs 5] [--home D]     --home keeps the models for the next time
"""

import argparse
import json
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile

from serve_overhead import BIN, CLIENT, call, control_port, document, interval, make_data, make_requests, start

UNITS = {"us": 1, "ms": 1000, "s": 1e6}


def load(port, script, connections, seconds):
    """Requests a second, their number, latencies in us at 50 and 99 %."""
    text = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script,
                           f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit("requests failed:\n" + text)
    latency = {q: float(n) * UNITS[unit] for q, n, unit in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)\b", text)}
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
            int(re.search(r"(\d+) requests in", text).group(1)), latency["50"], latency["99"])


def thread_seconds(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
        return int(file.read().split()[0]) * 1e-9


def other_seconds(pid):
    return sum(thread_seconds(pid, t) for t in os.listdir(f"/proc/{pid}/task") if t != str(pid))


def slices(port, worker, folder, connections, args):
    """Requests a second: {"on": […], "off": […]}, pair by pair."""
    text = subprocess.run([CLIENT, str(port), str(connections), str(args.slice_ms), str(args.pairs), str(worker),
                           os.path.join(folder, "on.bin"), os.path.join(folder, "off.bin")],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {"on": [], "off": []}
    for line in text.splitlines():
        kind, answers, seconds, _ = line.split()
        found["off" if kind == "1" else "on"].append(int(answers) / float(seconds))
    return found


def make_script(folder, name):
    """The same requests for wrk."""
    with open(os.path.join(folder, name + ".bin"), "rb") as file:
        data = file.read()
    texts, at = [], 0
    while at < len(data):
        size = struct.unpack_from("=I", data, at)[0]
        texts.append(data[at + 4:at + 4 + size].decode())
        at += 4 + size
    path = os.path.join(folder, name + ".lua")
    with open(path, "w") as out:
        out.write("local made, at = {\n" + ",\n".join(json.dumps(t) for t in texts) + "}, 0\n"
                  "function request()\n  at = at % #made + 1\n  return made[at]\nend\n")
    return path


def with_wrk(port, worker, folder, connections, args):
    """Latencies, and processor time a request."""
    found = {"on": [], "off": []}
    scripts = {name: make_script(folder, name) for name in found}
    for pair in range(args.wrk_pairs):
        for name in (("on", "off"), ("off", "on"))[pair % 2]:
            before, others = thread_seconds(worker, worker), other_seconds(worker)
            _, n, p50, p99 = load(port, scripts[name], connections, 1)
            found[name].append({"p50 us": p50, "p99 us": p99,
                                "serving thread, us a request": (thread_seconds(worker, worker) - before) / n * 1e6,
                                "other threads, us a request": (other_seconds(worker) - others) / n * 1e6})
    return found


def tell(what, on, off, worse):
    """worse: -1 where less is worse."""
    if min(off) <= 0:
        print(f"  {what}: with {statistics.median(on):.6g}, without {statistics.median(off):.6g}")
        return
    ratios = [a / b for a, b in zip(on, off)]
    ends = sorted(100 * worse * (end - 1) for end in interval(ratios))
    print(f"  {what}: with {statistics.median(on):.6g}, without {statistics.median(off):.6g}; "
          f"cost {100 * worse * (statistics.median(ratios) - 1):.2f} % (95 %: {ends[0]:.2f} to {ends[1]:.2f}; {len(on)} pairs)")


def copies(control, before=None):
    got = call(control, "GET", "/endpoints/on")["shadow"]["measured"]
    if before is not None:
        print("  copies: " + ", ".join(f"{got[k] - before[k]:.0f} {what}" for k, what in (
            ("offered", "offered"), ("dropped", "dropped"), ("requests", "compared"), ("failures", "failed"))))
    return got


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--slice-ms", type=int, default=80)
    parser.add_argument("--wrk-pairs", type=int, default=5)
    parser.add_argument("--home")
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="lathe-bench-")
    home = args.home or os.path.join(folder, "home")
    server = None
    try:
        data = os.path.join(folder, "data.csv")
        if not os.path.exists(os.path.join(home, "lathe.db")):
            make_data(data)
            for name in ("on", "off"):
                path = os.path.join(folder, name + ".json")
                with open(path, "w") as out:
                    json.dump(document(name, data), out)
                subprocess.run([BIN, "run", path], env=dict(os.environ, LATHE_HOME=home), check=True, capture_output=True)
        for name in ("on", "off"):
            make_requests(os.path.join(folder, name + ".bin"), name)
        server, port = start(home, os.path.join(folder, "log"))
        control = control_port(os.path.join(folder, "log"))
        worker = int(subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True).stdout.split()[0])
        call(control, "POST", "/endpoints/on/shadow", {"model": "m-off"})
        for connections in (64, 1):
            before = copies(control)
            found = slices(port, worker, folder, connections, args)
            print(f"{connections} connection{'s' * (connections > 1)}:")
            tell("requests/s", found["on"], found["off"], -1)
            copies(control, before)
        for connections in (64, 1) if shutil.which("wrk") is not None and args.wrk_pairs > 0 else ():
            print(f"{connections} connection{'s' * (connections > 1)} of wrk:")
            before = copies(control)
            found = with_wrk(port, worker, folder, connections, args)
            for what in found["on"][0]:
                tell(what, [r[what] for r in found["on"]], [r[what] for r in found["off"]], 1)
            copies(control, before)
    finally:
        if server is not None:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
