"""Certificates of one's own and a `lathe serve` with TLS, for the integration scripts. They need the program openssl."""

import http.client
import re
import ssl
import subprocess

from liblathe import SLOWER
from libserve import Service


def certificate(lathe, name):
    cert, key = lathe.path(name + ".pem"), lathe.path(name + ".key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


def ask_tls(port, path, context, method="GET", body=None):
    """Status and the certificate's common name."""
    c = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20 * SLOWER)
    c.connect()
    name = dict(x[0] for x in c.sock.getpeercert()["subject"])["commonName"]
    c.request(method, path, body)
    r = c.getresponse()
    r.read()
    c.close()
    return r.status, name


def trust(*files):
    context = ssl.create_default_context()
    for file in files:
        context.load_verify_locations(file)
    return context


class TlsService(Service):
    """Over TLS, its ports found by the same log lines."""
    context = None

    def started(self):
        text = self.text()
        control = re.search(r"control plane on port (\d+)", text)
        infer = re.search(r"https://[\d.]+:(\d+)/v2", text)
        if self.process.poll() is not None:
            raise RuntimeError("the service ended:\n" + text)
        if control and infer:
            self.ports = {"control": int(control.group(1)), "infer": int(infer.group(1))}
        return len(self.ports) == 2

    def ready(self):
        return ask_tls(self.ports["control"], "/api/v1/health", self.context)[0] == 200
