"""`lathe bench`: load on a served endpoint: the curve, its gates, and what it says when it cannot."""

import os
import shutil
import socket
import threading

from liblathe import DATA, Checks, Lathe, parse
from libserve import Service
from libtls import TlsService, certificate, trust

checks = Checks()
SHORT = ("--seconds", "0.2", "--connections", "3")
PENGUINS = os.path.join(DATA, "penguins.csv")


def scripted(*answers):
    """A server that gives each of these answers to one request of one connection after the other, and closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for answer in answers:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()
        listener.close()

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def http(body, status="200 OK", more=""):
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{more}\r\n{body}".encode()


def check_usage(lathe):
    for args, words in (((), ["one endpoint"]), (("a", "b"), ["one endpoint"]), (("a", "--seconds", "0"), ["--seconds", "0.01"]),
                        (("a", "--connections", "1.5"), ["--connections", "whole"]), (("a", "--p99-ms", "nan"), ["--p99-ms"]),
                        (("a", "--rate", "x"), ["--rate"]), (("a", "--missing", "NA"), ["--rows"]),
                        (("a", "--url", "ftp://localhost"), ["ftp://localhost", "http://HOST:PORT"]),
                        (("a", "--rows", "x.csv", "--zeros"), ["--rows", "--zeros"]),
                        (("a", "--url", "https://localhost", "--ca", "none.pem"), ["none.pem", "certificates"]),
                        (("a", "--url", "http://localhost:99999"), ["http://HOST:PORT"]),
                        (("a", "--url", "http://[::1"), ["http://HOST:PORT"]), (("a", "--token", "a\nb"), ["token"]),
                        (("a", "--speed"), ["--speed"])):
        r = lathe.run("bench", *args)
        checks.equal(f"bad usage {args}", (r.returncode, r.stdout), (2, ""))
        checks.has(f"message {args}", r.stderr, *words)
    checks.has("help", lathe.run("bench", "--help").stdout, "--p99-ms", "--rows")


def check_failures(lathe):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        r = lathe.run("bench", "a", "--url", f"http://127.0.0.1:{free.getsockname()[1]}")
    checks.equal("no service", r.returncode, 1)
    checks.has("what to do", r.stderr, "cannot connect", "lathe serve", "--url")
    meta = http('{"inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 1]}]}', more="connection: close\r\n")
    for name, answers, words in (
            ("closes", [b""], ["closed the connection"]), ("no HTTP", [b"SSH-2.0-OpenSSH\r\n\r\n"], ["no HTTP/1.1"]),
            ("cut short", [http("{}")[:-1]], ["closed the connection"]), ("too much", [http("{}") + b"more"], ["more than"]),
            ("no JSON", [http("hello")], ["no metadata"]), ("no inputs", [http('{"inputs": []}')], ["no metadata"]),
            ("inputs of what", [http('{"inputs": [{"name": 1}]}')], ["no metadata"]),
            ("no model", [http('{"error": "there is no model \\"a\\""}', "404 Not Found")], ["404", 'no model "a"']),
            ("bad row", [meta, http('{"error": "x is out of range"}', "400 Bad Request")], ["400", "out of range", "--rows"]),
            ("dies later", [meta, http("{}", more="connection: close\r\n")], ["cannot connect"])):
        r = lathe.run("bench", "a", "--url", scripted(*answers), *SHORT)
        checks.equal(f"{name}: exit", r.returncode, 1)
        checks.has(f"{name}: message", r.stderr, *words)


def check_overload(lathe):
    """Answers that fail under load: counted, told, and not the best."""
    meta = http('{"inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 1]}]}', more="connection: close\r\n")
    good, busy = (http("{}", more="connection: close\r\n"),
                  http('{"error": "the queue is full"}', "503 Service Unavailable", "connection: close\r\n"))
    r = lathe.run("bench", "a", "--url", scripted(meta, good, *[busy] * 100000), *SHORT, "--json")
    out = parse(r.stdout) or {}
    checks.equal("all fail", (r.returncode, out.get("end"), out.get("best")), (1, "errors", None))
    checks.that("they are counted", out["steps"][0]["errors"] > 0 and out["steps"][0]["requests"] == 0, out)
    checks.has("the service's text", r.stderr, "503", "the queue is full")
    r = lathe.run("bench", "a", "--url", scripted(meta, good, good, *[busy] * 100000), *SHORT, "--rate", "1", "--json")
    out = parse(r.stdout) or {}
    checks.equal("one is good", (r.returncode, out.get("met"), out["steps"][0]["requests"]), (3, False, 1))


def check_rows(lathe, url):
    head = open(PENGUINS).readline().strip()
    for name, text, words in (
            ("empty", "", [":1", "no column"]), ("head alone", head + "\n", ["no rows"]), ("other", "a,b\n1,2\n", [":1", "no column"]),
            ("cells", head + "\n1,2\n", [":2", "as many cells"]), ("quote", head + '\n"a,2\n', [":2", "quote"]),
            ("after", head + '\n"a"b,2\n', [":2", "closing quote"]), ("binary", "\x00\x01", ["UTF-8"]),
            ("text", head + "\n" + ",".join(["x"] * (head.count(",") + 1)) + "\n", [":2", '"x"', "--missing"])):
        r = lathe.run("bench", "birds", "--url", url, "--rows", lathe.write("rows.csv", text))
        checks.equal(f"rows, {name}: exit", r.returncode, 1)
        checks.has(f"rows, {name}: message", r.stderr, *words)
    r = lathe.run("bench", "birds", "--url", url, "--rows", lathe.path("none.csv"))
    checks.equal("no such file", r.returncode, 1)
    checks.has("its name", r.stderr, "none.csv")


def check_profile(lathe, service, url):
    """Rows like those of training: their columns' distributions, missing values, categories; the door lets them in."""
    before = service.metric("lathe_validation_rows_total")
    for args in ((), ("--server", f"http://127.0.0.1:{service.ports['control']}")):
        r = lathe.run("bench", "birds", "--url", url, *SHORT, "--json", *args)
        out = parse(r.stdout) or {}
        checks.equal(f"from the profile {args}", (r.returncode, r.stderr, out.get("source"), out.get("rows")),
                     (0, "", "profile", 1000))
    checks.equal("nothing to flag", service.metric("lathe_validation_rows_total"), before)
    path = "/api/v1/models/birds/versions/1/features?bins=true"
    served = {f["name"]: f for f in service.control("GET", path)[1]["features"]}
    bill, sex = served["bill_length_mm"], served["sex"]
    far = max(abs(a / max(1, bill["present"]) - b / bill["training"]["present"])
              for a, b in zip(bill["counts"], bill["training"]["counts"]))
    checks.that("numbers as in training", far < 0.05, (far, bill))
    shares = [f["missing"] / (f["missing"] + f["present"]) for f in (sex, sex["training"])]
    checks.that("missing values, too", abs(shares[0] - shares[1]) < 0.03 and shares[0] > 0, shares)
    checks.equal("no category that training lacks", sex["unseen"], 0)
    r = lathe.run("bench", "birds", "--url", url, *SHORT, "--json", "--zeros")
    checks.equal("zeros", ((parse(r.stdout) or {}).get("source"), r.stderr), ("zeros", ""))
    r = lathe.run("bench", "birds", "--url", url, *SHORT, "--json", "--home", lathe.path("elsewhere"))
    checks.equal("nobody tells the profile", (r.returncode, (parse(r.stdout) or {}).get("source")), (0, "zeros"))
    checks.has("it says so", r.stderr, "rows of zeros", "--server")


def check_tls(lathe):
    if shutil.which("openssl") is None:
        print("there is no openssl program: TLS is not checked")
        return
    cert, key = certificate(lathe, "own")
    TlsService.context = trust(cert)
    with TlsService(lathe, "--workers", "1", "--tls-certificate", cert, "--tls-key", key) as service:
        url = f"https://127.0.0.1:{service.ports['infer']}"
        r = lathe.run("bench", "birds", "--url", url, "--ca", cert, *SHORT, "--json")
        out = parse(r.stdout) or {"steps": [{"requests": 0}]}
        checks.equal(f"TLS: {r.stderr}", (r.returncode, out.get("source"), sum(s.get("errors", 1) for s in out["steps"])),
                     (0, "profile", 0))
        checks.that("TLS: requests", out["steps"][0]["requests"] > 10, out)
        r = lathe.run("bench", "birds", "--url", url, *SHORT, env={"LATHE_CA_FILE": cert})
        checks.equal("TLS: by the environment", r.returncode, 0)
        r = lathe.run("bench", "birds", "--url", url, *SHORT)
        checks.equal("TLS: an unknown certificate", r.returncode, 1)
        checks.has("TLS: says why", r.stderr, "not trusted", "self-signed", "--ca")
        r = lathe.run("bench", "birds", "--url", url.replace("127.0.0.1", "localhost"), "--ca", cert, *SHORT)
        checks.equal("TLS: a certificate for another name", r.returncode, 1)
        checks.has("TLS: says why", r.stderr, "not trusted", "ostname")
        r = lathe.run("bench", "birds", "--url", url.replace("https", "http"), *SHORT)
        checks.equal("TLS: asked without", r.returncode, 1)
        r = lathe.run("bench", "birds", "--url", scripted(http("{}")).replace("http", "https"), "--ca", cert, *SHORT)
        checks.equal("TLS: asked of a plain service", r.returncode, 1)
        checks.has("TLS: says so", r.stderr, "TLS failed")
        checks.equal("TLS: an orderly stop", service.stop(), 0)


def answered(service):
    return service.metric("lathe_inference_requests_total")


def check_curve(lathe, service, url):
    before = answered(service)
    r = lathe.run("bench", "birds", "--url", url, *SHORT, "--json", "--rows", PENGUINS, "--missing", "NA")
    out = parse(r.stdout) or {"steps": []}
    checks.equal("a curve", (r.returncode, r.stderr, out.get("met")), (0, "", True))
    steps = out["steps"]
    checks.that("connections", [s["connections"] for s in steps] in ([1, 2, 3], [1, 2]), steps)
    checks.equal("rows", out.get("rows"), 344)
    checks.that("quantiles", all(0 < s["p50_ms"] <= s["p99_ms"] <= s["p999_ms"] <= s["max_ms"] for s in steps), steps)
    checks.that("rates", all(abs(s["rate"] * s["seconds"] - s["requests"]) < 1e-6 * s["requests"] for s in steps), steps)
    checks.equal("errors", sum(s["errors"] for s in steps), 0)
    checks.that("the best is the fastest", out["best"]["rate"] == max(s["rate"] for s in steps), out)
    sent = sum(s["requests"] for s in steps) + 1  # the first tries whether they are taken
    checks.that("as many as the service has answered", Service.until(lambda: answered(service) - before == sent),
                (answered(service) - before, sent))


with Lathe() as lathe:
    check_usage(lathe)
    check_failures(lathe)
    check_overload(lathe)
    code, _, _ = lathe.pipeline({
        "lathe": 1, "name": "birds", "seed": 1,
        "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
        "prepare": {"source": {"csv": {"path": PENGUINS, "missing": ["NA"]}}},
        "train": {"candidates": {"trees": {"gbdt": {"rounds": 3}}}}, "deploy": {"endpoint": "birds", "when": "always"}})
    checks.equal("training", code, 0)
    check_tls(lathe)
    with Service(lathe, "--workers", "1") as service:
        url = f"http://127.0.0.1:{service.ports['infer']}"
        check_curve(lathe, service, url)
        check_rows(lathe, url)
        check_profile(lathe, service, url)
        r = lathe.run("bench", "birds", "--url", url, *SHORT)
        checks.equal("rows of its own making", (r.returncode, r.stderr), (0, ""))
        checks.has("a table", r.stdout, "connections", "requests/s", "p999 ms", "best: ")
        r = lathe.run("bench", "birds", "--url", url, *SHORT, "--p99-ms", "0.001")
        checks.equal("a gate that cannot be met", r.returncode, 3)
        checks.has("which one", r.stderr, "p99 within 0.001 ms")
        r = lathe.run("bench", "birds", "--url", url, *SHORT, "--rate", "1e9", "--json")
        checks.equal("a rate that cannot be met", (r.returncode, (parse(r.stdout) or {}).get("met")), (3, False))
        checks.equal("gates that are met", lathe.run("bench", "birds", "--url", url, *SHORT, "--rate", "1", "--p99-ms",
                                                     "60000").returncode, 0)
        r = lathe.run("bench", "cats", "--url", url)
        checks.equal("no such endpoint", r.returncode, 1)
        checks.has("its name", r.stderr, "404", "cats")
        secret = lathe.run("tokens", "create", "ci", "--role", "admin").stdout.strip()
        refused = lambda: lathe.run("bench", "birds", "--url", url, *SHORT).returncode == 1
        checks.that("a token is asked for", Service.until(refused), "")
        checks.has("and how to give it", lathe.run("bench", "birds", "--url", url).stderr, "401", "--token")
        checks.equal("with it", lathe.run("bench", "birds", "--url", url, *SHORT, "--token", secret).returncode, 0)
        checks.equal("an orderly stop", service.stop(), 0)

checks.end()
