"""What the scripts about `lathe serve` share: a service that runs, requests to it, small models to register.

    with Lathe() as lathe, Service(lathe, workers=2) as service:
        status, body = service.api("POST", "/models/m/promote", {"version": 2})
"""

import http.client
import json
import os
import re
import signal
import subprocess
import time

from liblathe import BIN, SLOWER, children, wait_until


class Service:
    """`lathe serve` on a home. ports: (control, inference); 0: any."""

    def __init__(self, lathe, workers=2, ports=(0, 0), config=None, wait=True, nice=None):
        self.lathe = lathe
        self.log = lathe.path("serve.log")
        args = list(nice or []) + [BIN, "serve", "--listen", f"127.0.0.1:{ports[0]}", "--inference", f"127.0.0.1:{ports[1]}",
                                   "--workers", str(workers)]
        if config is not None:
            args += ["--config", lathe.write("serve.json", config)]
        with open(self.log, "a") as out:
            self.start_of_log = out.tell()
            self.process = subprocess.Popen(args, env=lathe.env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.control = self.inference = 0
        if wait:
            self.wait()

    def text(self):
        with open(self.log, errors="replace") as file:
            file.seek(self.start_of_log)
            return file.read()

    def has_ports(self):
        text = self.text()
        control = re.search(r"control plane on port (\d+)", text) or re.search(r"control plane on \S*:(\d+)", text)
        inference = re.search(r"http://[\d.]+:(\d+)/v2", text)
        if control and inference:
            self.control, self.inference = int(control.group(1)), int(inference.group(1))
        return self.control != 0

    def is_ready(self):
        try:
            return self.has_ports() and self.api("GET", "/health")[0] == 200
        except OSError:
            return False

    def wait(self, seconds=20):
        """Until it is ready; it fails with the log where it is not."""
        if not wait_until(lambda: self.process.poll() is not None or self.is_ready(), seconds) or self.process.poll() is not None:
            raise RuntimeError(f"the service did not start:\n{self.text()}")

    def ask(self, port, method, path, body=None, headers=None, timeout=20):
        """Status, headers and text of one request on a connection of its own."""
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout * SLOWER)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
                headers = dict({"Content-Type": "application/json"}, **(headers or {}))
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def api(self, method, path, body=None, headers=None, timeout=40):
        status, _, text = self.ask(self.control, method, "/api/v1" + path, body, headers, timeout)
        return status, json.loads(text) if text else None

    def infer(self, method, path, body=None, headers=None):
        status, _, text = self.ask(self.inference, method, "/v2" + path, body, headers)
        return status, json.loads(text) if text else None

    def metric(self, name):
        """The sum of a metric's series."""
        text = self.ask(self.control, "GET", "/metrics")[2].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if line.startswith(name + "{") or line.startswith(name + " "))

    def workers(self):
        return children(self.pid)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=35):
        """Its exit code after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds * SLOWER)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()


def constant(name, value, folder, **deploy):
    """A document whose model predicts `value` for every row; its data are written to the folder."""
    path = os.path.join(folder, f"const{value}.csv")
    if not os.path.exists(path):
        with open(path + ".tmp", "w") as file:
            file.write("x,y\n" + "".join(f"{i},{value}\n" for i in range(20)))
        os.rename(path + ".tmp", path)
    return {"lathe": 1, "name": name, "seed": 1, "goal": {"task": "regression", "target": "y", "metric": "rmse"},
            "prepare": {"source": {"csv": {"path": path}}, "split": {"random": {"test": 0.2}}},
            "train": {"candidates": {"c": "constant"}}, "deploy": deploy or {"when": "never"}}


def train(lathe, document):
    """Its model: {"name", "version", "sha256", "file"}."""
    code, result, err = lathe.pipeline(document, "--threads", "1")
    if code != 0:
        raise RuntimeError(f"training ended with {code}: {err}")
    return result["model"]


ONE = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}


def usage(pid):
    """Resident bytes beside the files that are mapped, open descriptors, threads of a process."""
    resident = 0
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("RssAnon"):
                resident = int(line.split()[1]) * 1024
    return resident, len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))
