"""A running `lathe serve` for the integration scripts: ports from its log, requests, an orderly stop.

    from libserve import Service
    with Service(lathe, "--workers", "1") as service:
        status, answer, headers = service.infer("POST", "/v2/models/species/infer", body)
"""

import http.client
import json
import os
import re
import signal
import subprocess
import time

from liblathe import BIN, SLOWER


class Service:
    def __init__(self, lathe, *args, config=None, token=None):
        self.lathe = lathe
        self.log = os.path.join(lathe.dir, f"serve{time.monotonic_ns()}.log")
        more = ["--config", lathe.write("serve.json", config)] if config is not None else []
        with open(self.log, "w") as out:
            self.process = subprocess.Popen([BIN, "serve", "--listen", "127.0.0.1:0", "--inference", "127.0.0.1:0",
                                             *args, *more], env=lathe.env, stderr=out, stdout=out)
        self.ports = {}
        self.token = token
        if not self.until(self.started) or not self.until(self.ready):
            self.kill()
            raise RuntimeError("the service does not start:\n" + self.text())

    def text(self):
        with open(self.log) as file:
            return file.read()

    def started(self):
        for name, pattern in (("control", r"control plane on port (\d+)"), ("infer", r"http://[\d.]+:(\d+)/v2")):
            found = re.search(pattern, self.text())
            if found:
                self.ports[name] = int(found.group(1))
        if self.process.poll() is not None:
            raise RuntimeError("the service ended:\n" + self.text())
        return len(self.ports) == 2

    def ready(self):
        return self.control("GET", "/api/v1/health")[0] == 200

    @staticmethod
    def until(good, seconds=20):
        end = time.monotonic() + seconds * SLOWER
        while time.monotonic() < end:
            try:
                if good():
                    return True
            except OSError:
                pass
            time.sleep(0.02)
        return False

    def call(self, port, method, path, body=None, token=None, headers=(), raw=False):
        """Status, body (JSON where it is; bytes where raw), headers in lower case."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20 * SLOWER)
        send = dict(headers)
        if token or self.token:
            send["authorization"] = "Bearer " + (token or self.token)
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        try:
            connection.request(method, path, body, send)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        got = {k.lower(): v for k, v in response.getheaders()}
        if raw:
            return response.status, content, got
        text = content.decode("utf-8", "replace")
        is_json = got.get("content-type", "").startswith("application/json")
        return response.status, json.loads(text) if is_json else text, got

    def infer(self, method, path, body=None, **more):
        return self.call(self.ports["infer"], method, path, body, **more)

    def control(self, method, path, body=None, **more):
        return self.call(self.ports["control"], method, path, body, **more)

    def metric(self, name, *labels):
        """The sum of the samples of a metric that have all these labels, as name="value" texts."""
        total = 0.0
        for line in self.control("GET", "/metrics", token=self.token)[1].splitlines():
            head, _, value = line.rpartition(" ")
            if (head == name or head.startswith(name + "{")) and all(label in head for label in labels):
                total += float(value)
        return total

    def metric_of(self, token, name="lathe_worker_restarts_total"):
        """The same for a service that needs a token."""
        before, self.token = self.token, token
        try:
            return self.metric(name)
        finally:
            self.token = before

    def workers(self):
        text = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout
        return [int(pid) for pid in text.split()]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=35 * SLOWER)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
