"""`lathe serve` for its operator: configuration by file, environment and flags; TLS; a service manager's sockets and
notifications, as systemd gives them; models that come with their first request; an orderly stop."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

from liblathe import BIN, DATA, SLOWER, Checks, Lathe, wait_until
from libserve import Service
from libtls import TlsService, ask_tls, certificate, trust

checks = Checks()
ROW = {"island": "Biscoe", "bill_length_mm": 45.0, "bill_depth_mm": 14.0, "flipper_length_mm": 215,
       "body_mass_g": 5000, "sex": "male", "year": 2008}
BODY = json.dumps({"inputs": [{"name": k, "shape": [1, 1], "datatype": "BYTES" if isinstance(v, str) else "FP64",
                               "data": [v]} for k, v in ROW.items()]})


def train(lathe, name):
    code, result, err = lathe.pipeline({
        "lathe": 1, "name": name, "seed": 1,
        "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
        "prepare": {"source": {"csv": {"path": os.path.join(DATA, "penguins.csv"), "missing": ["NA"]}}},
        "train": {"candidates": {"trees": {"gbdt": {"rounds": 3}}}},
        "deploy": {"endpoint": name + "-live", "when": "always"}})
    checks.equal("training", code, 0)
    return result["model"]["file"]


def check_configuration(lathe):
    def check(config, *flags, env=None):
        path = lathe.write("checked.json", config)
        return lathe.run("serve", "--check-config", "--config", path, *flags, env=env)

    r = check({"workers": 2, "tls": {"certificate": "/c.pem", "key": "/k.pem"}, "log": {"level": "warn"}})
    checks.equal("good configuration", (r.returncode, r.stderr), (0, ""))
    r = check({"worker": 2, "listen": "nowhere", "limits": {"body_mb": 0}, "tls": {"certificate": "c.pem"}})
    checks.equal("bad configuration", r.returncode, 2)
    checks.has("all of its faults", r.stderr, "checked.json:2:", '"workers"', "/listen", "/limits/body_mb",
               "absolute path")
    checks.has("half of TLS", check({"tls": {"key": "/k.pem"}}).stderr, "both a certificate and its key")
    r = check({}, "--workers", "99", "--log-level", "inof", env={"LATHE_SERVE_BODY_MB": "x"})
    checks.equal("bad flags", r.returncode, 2)
    checks.has("faults of flags and environment", r.stderr, "workers", "1 to 64", '"info"', "environment", "body-mb")
    checks.equal("a flag wins over the environment",
                 check({}, "--workers", "2", env={"LATHE_SERVE_WORKERS": "99"}).returncode, 0)
    checks.equal("the environment counts", check({}, env={"LATHE_SERVE_WORKERS": "99"}).returncode, 2)
    help = lathe.run("serve", "--help").stdout
    checks.has("help", help, "--tls-certificate", "--check-config", "SIGHUP")
    r = check(json.loads(help[help.index("{"):]))
    checks.equal("the file that it shows is a good one", (r.returncode, r.stderr), (0, ""))


def check_tls(lathe):
    if shutil.which("openssl") is None:
        print("there is no openssl program: TLS is not checked")
        return
    first, second = certificate(lathe, "first"), certificate(lathe, "second")
    cert, key = lathe.path("used.pem"), lathe.path("used.key")
    shutil.copy(first[0], cert)
    shutil.copy(first[1], key)
    TlsService.context = context = trust(first[0], second[0])
    with TlsService(lathe, "--workers", "1", "--tls-certificate", cert, "--tls-key", key) as service:
        ports = service.ports
        status, name = ask_tls(ports["infer"], "/v2/models/birds-live/infer", context, "POST", BODY)
        checks.equal("inference over TLS", (status, name), (200, "first"))
        with socket.create_connection(("127.0.0.1", ports["infer"]), 20 * SLOWER) as plain:
            plain.sendall(b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\n\r\n")
            checks.lacks("plain HTTP on a TLS port", plain.recv(1000), b"HTTP/1.1 200")
        old = trust(first[0])
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        try:
            ask_tls(ports["infer"], "/v2/health/live", old)
            checks.that("TLS 1.1 is refused", False)
        except (ssl.SSLError, OSError):
            checks.that("TLS 1.1 is refused", True)
        shutil.copy(second[0], cert)  # with the wrong key
        service.process.send_signal(signal.SIGHUP)
        checks.that("a broken pair is told", service.until(lambda: "stays as it was" in service.text()))
        checks.equal("the old one stays", ask_tls(ports["infer"], "/v2/health/live", context), (200, "first"))
        shutil.copy(second[1], key)
        service.process.send_signal(signal.SIGHUP)
        for port in ports.values():
            path = "/v2/health/live" if port == ports["infer"] else "/api/v1/health"
            checks.that("the new certificate is in use", service.until(
                lambda: ask_tls(port, path, context) == (200, "second")))
        checks.equal("stop", service.stop(), 0)


def check_hangup(lathe):
    config = lathe.write("serve.json", {"log": {"level": "info"}})
    with Service(lathe, "--workers", "1", "--config", config) as service:
        lathe.write("serve.json", {"log": {"level": "inof"}})
        service.process.send_signal(signal.SIGHUP)
        checks.that("a broken file is told", service.until(lambda: "stays as it was" in service.text()))
        lathe.write("serve.json", {"tls": {"certificate": "/c.pem", "key": "/k.pem"}, "log": {"format": "json"}})
        service.process.send_signal(signal.SIGHUP)
        checks.that("read again", service.until(lambda: '"the configuration was read again"' in service.text()))
        checks.has("what waits for the next start", service.text(), 'tls', 'stays off until the next start')
        start = time.monotonic()
        checks.equal("stop", service.stop(), 0)
        checks.that("idle: within a second", time.monotonic() - start < 1 * SLOWER)


def hang_up(lathe, service, config):
    """Has the settings read again."""
    told = '"the configuration was read again"' if config.get("log") else "the configuration was read again"
    before = service.text().count(told)
    lathe.write("serve.json", config)
    service.process.send_signal(signal.SIGHUP)
    checks.that("read again", service.until(lambda: service.text().count(told) > before))


def announces(port, path, length):
    """What the announcement of a body is answered: 100, or a refusal."""
    with socket.create_connection(("127.0.0.1", port), 20 * SLOWER) as sock:
        sock.sendall(b"POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\nexpect: 100-continue\r\n\r\n"
                     % (path.encode(), length))
        return int(sock.recv(100).split(b" ")[1])


def executions(service, n=2):
    """How often the model ran for so many requests at a time."""
    def count():
        stats = service.infer("GET", "/v2/models/birds-live/stats")[1]["model_stats"][0]
        return stats["execution_count"], stats["inference_count"]
    before = count()
    threads = [threading.Thread(target=service.infer, args=("POST", "/v2/models/birds-live/infer", BODY)) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = count()
    checks.equal("rows", after[1] - before[1], n)
    return after[0] - before[0]


def check_limits(lathe):
    """Bounds of HTTP, queues and batching follow the file without a restart, and a key that is gone has its default again."""
    mb = 1 << 20
    config = lathe.write("serve.json", {"limits": {"body_mb": 1}})
    with Service(lathe, "--workers", "1", "--config", config) as service:
        ports = service.ports["infer"], service.ports["control"]
        paths = "/v2/models/birds-live/infer", "/api/v1/runs"

        def bodies(length):
            return [announces(port, path, length) for port, path in zip(ports, paths)]
        checks.equal("bodies of 2 MB", bodies(2 * mb), [413, 413])
        hang_up(lathe, service, {"limits": {"body_mb": 2, "idle_seconds": 1}})
        checks.that("are taken now", service.until(lambda: bodies(2 * mb) == [100, 100]))
        checks.equal("larger ones are not", bodies(2 * mb + 1), [413, 413])
        for port in ports:
            with socket.create_connection(("127.0.0.1", port), 20 * SLOWER) as one, \
                    socket.create_connection(("127.0.0.1", port), 20 * SLOWER) as two:
                checks.equal("idle ones are closed", (one.recv(1), two.recv(1)), (b"", b""))
        hang_up(lathe, service, {"limits": {"connections": 2}})
        for port in ports:
            held = [socket.create_connection(("127.0.0.1", port), 20 * SLOWER) for _ in range(2)]
            checks.that("a third connection is refused", service.until(lambda: announces(port, "/", 1) == 503))
            for sock in held:
                sock.close()
        hang_up(lathe, service, {"batching": {"max_rows": 2, "delay_us": 1000000}})
        checks.that("without the key the default is back", service.until(lambda: bodies(64 * mb) == [100, 100]))
        checks.equal("which ends", bodies(64 * mb + 1), [413, 413])
        executions(service)  # loads the model
        checks.that("two requests are one run of the model", service.until(lambda: executions(service) == 1))
        hang_up(lathe, service, {"queue": {"timeout_ms": 60000}})
        checks.that("and two again", service.until(lambda: executions(service) == 2))
        checks.equal("stop", service.stop(), 0)


def check_kept(lathe):
    """What sockets and processes are made from waits for the next start, and the log names it."""
    path = lathe.write("kept.json", {"listen": "127.0.0.1:0", "inference": "127.0.0.1:0", "workers": 1})
    log = lathe.path("kept.log")
    with open(log, "w") as out:
        process = subprocess.Popen([BIN, "serve", "--config", path], env=lathe.env, stderr=out, stdout=out)

    def told(*texts):
        with open(log) as f:
            text = f.read()
        return all(t in text for t in texts)
    try:
        checks.that("it starts", wait_until(lambda: told("/v2")))
        lathe.write("kept.json", {"listen": "127.0.0.1:1", "inference": "127.0.0.1:2", "workers": 2, "insecure": True})
        process.send_signal(signal.SIGHUP)
        checks.that("each key is named", wait_until(lambda: told(
            '"listen" stays 127.0.0.1:0', '"inference" stays 127.0.0.1:0', '"workers" stays 1', '"insecure" stays false',
            "until the next start", "read again")))
        process.send_signal(signal.SIGTERM)
        checks.equal("stop", process.wait(20 * SLOWER), 0)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def check_manager(lathe):
    """Sockets and notifications as systemd hands them over; an abstract socket too."""
    for name in (lathe.path("notify"), "@lathe-test-%d" % os.getpid()):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(name.replace("@", "\0", 1))
        notify.settimeout(20 * SLOWER)
        sockets = []
        for _ in range(2):
            s = socket.socket()
            s.bind(("127.0.0.1", 0))
            s.listen(16)
            sockets.append(s)
        ports = [s.getsockname()[1] for s in sockets]
        waiting = socket.create_connection(("127.0.0.1", ports[1]))  # before there is a service
        waiting.sendall(b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        script = 'exec 3<&"$1" 4<&"$2"; LISTEN_PID=$$ exec "${@:3}"'
        env = dict(lathe.env, NOTIFY_SOCKET=name, LISTEN_FDS="2", LISTEN_FDNAMES="control:inference",
                   WATCHDOG_USEC="1000000")
        env.pop("WATCHDOG_PID", None)
        process = subprocess.Popen(["bash", "-c", script, "bash", *[str(s.fileno()) for s in sockets], BIN, "serve",
                                    "--workers", "2"], env=env, pass_fds=[s.fileno() for s in sockets],
                                   stderr=subprocess.DEVNULL)
        try:
            told = []

            def hears(state):
                while state not in "\n".join(told):
                    told.append(notify.recv(4096).decode())
                return True
            checks.that("ready is told", hears("READY=1"))
            checks.has("a connection that waited", waiting.recv(4096).decode(), "200 OK")
            c = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=20 * SLOWER)
            c.request("GET", "/api/v1/health")
            checks.equal("ready when it is told", c.getresponse().status, 200)
            c.close()
            checks.that("the watchdog is fed", hears("WATCHDOG=1"))
            process.send_signal(signal.SIGHUP)
            checks.that("a reload is told", hears("RELOADING=1") and hears("MONOTONIC_USEC="))
            process.send_signal(signal.SIGTERM)
            checks.that("the stop is told", hears("STOPPING=1"))
            checks.equal("exit code", process.wait(20 * SLOWER), 0)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            for s in [notify, waiting, *sockets]:
                s.close()
    r = lathe.run("serve", env={"LISTEN_FDS": "0"} | {"LATHE_SERVE_LISTEN": "127.0.0.1:0:0"})
    checks.equal("a bad address in the environment", r.returncode, 2)


def check_cold_models(lathe, broken, headless):
    """A model comes with its first request, headers soon after the start; a damaged one is told, and harms no other."""
    for file in (broken, headless):
        os.chmod(file, 0o644)
    with open(headless, "r+b") as f:
        f.write((1 << 40).to_bytes(8, "little"))  # a header longer than the file
    with open(broken, "r+b") as f:
        start = 8 + int.from_bytes(f.read(8), "little")  # of the tensors: the learner's first
        f.seek(start)
        byte = f.read(1)
        f.seek(start)
        f.write(bytes([byte[0] ^ 1]))
    with Service(lathe, "--workers", "1") as service:
        for _ in range(2):
            status, answer, headers = service.infer("POST", "/v2/models/hurt-live/infer", BODY)
            checks.equal("a damaged model", status, 503)
            checks.has("why", answer["error"], "could not be loaded")
            checks.equal("another model", service.infer("POST", "/v2/models/birds-live/infer", BODY)[0], 200)
        checks.that("the log names it", service.until(lambda: 'cannot load "hurt-live"' in service.text()))
        checks.that("a damaged header is told unasked", service.until(lambda: "cannot load \"headless@1\"" in service.text()))
        for method, path, body in (("GET", "", None), ("GET", "/ready", None), ("POST", "/infer", BODY)):
            status, answer, _ = service.infer(method, "/v2/models/headless-live" + path, body)
            checks.equal("a damaged header " + path, status, 503)
            checks.has("why", answer["error"], "could not be loaded", "its header claims")
        checks.equal("stop", service.stop(), 0)


with Lathe() as lathe:
    train(lathe, "birds")
    hurt = train(lathe, "hurt")
    headless = train(lathe, "headless")
    check_configuration(lathe)
    check_manager(lathe)
    check_hangup(lathe)
    check_limits(lathe)
    check_kept(lathe)
    check_tls(lathe)
    check_cold_models(lathe, hurt, headless)
checks.end()
