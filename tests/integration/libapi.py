"""A running `lathe serve` for the tests of its control API: starts again on the same home, follows streams of events."""

import http.client
import json
import os
import re
import signal
import subprocess
import time

from liblathe import BIN, SLOWER


class Service:
    """`lathe serve` on free ports, on the home of a liblathe.Lathe; killed at the end of the block."""

    def __init__(self, lathe, config=None, *args):
        self.lathe = lathe
        self.args = list(args)
        self.process = None
        self.ports = {}
        if config is not None:
            self.args += ["--config", lathe.write("serve.json", config)]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        self.log = self.lathe.path("serve.log")
        with open(self.log, "a") as out:
            at = out.tell()
            self.process = subprocess.Popen([BIN, "serve", "--listen", "127.0.0.1:0", "--inference", "127.0.0.1:0",
                                             "--workers", "1", *self.args], env=self.lathe.env, stderr=out, stdout=out)
        end = time.monotonic() + 30 * SLOWER
        while time.monotonic() < end and self.process.poll() is None:
            with open(self.log) as file:
                file.seek(at)
                text = file.read()
            for name, pattern in (("control", r"control plane on port (\d+)"), ("infer", r"http://[\d.]+:(\d+)/v2")):
                found = re.search(pattern, text)
                if found:
                    self.ports[name] = int(found.group(1))
            if len(self.ports) == 2 and self.is_ready():
                return
            time.sleep(0.02)
        raise RuntimeError("the service did not start: " + self.text())

    def is_ready(self):
        try:
            return self.call("GET", "/api/v1/health")[0] == 200
        except OSError:
            return False

    def text(self):
        with open(self.log) as file:
            return file.read()

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40 * SLOWER)

    def call(self, method, path, body=None, headers=None, port="control"):
        """(status, JSON or text) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=30 * SLOWER)
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read()
        self.headers = dict((k.lower(), v) for k, v in answer.getheaders())
        connection.close()
        if self.headers.get("content-type", "").startswith("application/json"):
            return answer.status, json.loads(text)
        return answer.status, text.decode("utf-8", "replace")

    def stream(self, path, headers=None, timeout=30):
        """Events of a stream to its end, as (id, event, data)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["control"], timeout=timeout * SLOWER)
        connection.request("GET", path, headers={"Accept": "text/event-stream", **(headers or {})})
        answer = connection.getresponse()
        if answer.status != 200:
            yield answer.status, "status", answer.read().decode()
            connection.close()
            return
        number = event = None
        for line in answer:
            line = line.decode().rstrip("\n")
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                yield number, event, json.loads(line[6:])
                number = event = None
        connection.close()
