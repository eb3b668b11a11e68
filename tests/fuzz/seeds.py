#!/usr/bin/env python3
"""Writes the seeds of the fuzzing harnesses: tests/fuzz/seeds.py FOLDER. $LATHE_BIN trains the small model that two of them
need (FOLDER/model/seed and FOLDER/fuzz.model)."""
import glob
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DATA = SOURCE / "pipelines" / "data"


def put(folder, name, *seeds):
    os.makedirs(folder / name, exist_ok=True)
    for i, seed in enumerate(seeds):
        (folder / name / f"seed{i}").write_bytes(seed.encode() if isinstance(seed, str) else seed)


def http():
    body = b'{"inputs":[]}'
    packed = gzip.compress(body, mtime=0)
    heads = [
        b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /v2/models/m/infer?x=%41 HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n" + body,
        b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0;a=b\r\nx: y\r\n\r\n",
        b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed,
        b"GET / HTTP/1.0\r\n\r\nGET /a HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nCookie: a\r\nCookie: b\r\n\r\n",
    ]
    return [bytes([i]) + head for i, head in enumerate(heads)]


def oip():
    row = {"island": "Biscoe", "bill_length_mm": 45.0, "bill_depth_mm": 14.5, "flipper_length_mm": 215,
           "body_mass_g": 5000, "sex": "male", "year": 2008}

    def inputs(n):
        return [{"name": k, "shape": [n, 1], "datatype": "BYTES" if isinstance(v, str) else "FP64", "data": [v] * n}
                for k, v in row.items()]
    seeds = [b"\0" + json.dumps({"id": "a", "inputs": inputs(n)}).encode() for n in (1, 3)]
    seeds.append(b"\0" + json.dumps({"inputs": inputs(1), "outputs": [
        {"name": "probability", "parameters": {"classification": 2}}, {"name": "prediction"}]}).encode())
    binary, tail = [], b""
    for k, v in row.items():
        data = struct.pack("<I", len(v)) + v.encode() if isinstance(v, str) else struct.pack("<d", v)
        binary.append({"name": k, "shape": [1, 1], "datatype": "BYTES" if isinstance(v, str) else "FP64",
                       "parameters": {"binary_data_size": len(data)}})
        tail += data
    text = json.dumps({"inputs": binary, "parameters": {"binary_data_output": True}}).encode()
    text += b" " * (-len(text) % 16)
    seeds.append(bytes([len(text) // 16 + 1]) + text + tail)
    seeds.append(b"\1" + struct.pack("<7d", *range(7)))
    return seeds


def config():
    whole = {"listen": "127.0.0.1:8080", "inference": "[::1]:8000", "workers": 2, "data_roots": ["/srv/data"],
             "runs": {"concurrent": 1, "queue": 10, "threads": 2},
             "limits": {"body_mb": 64, "connections": 100, "head_seconds": 10, "body_seconds": 60, "idle_seconds": 75,
                        "worker_memory_mb": 4096, "hang_seconds": 10},
             "tls": {"certificate": "/etc/c.pem", "key": "/etc/k.pem"},
             "insecure": False, "log": {"format": "json", "level": "warn"}}
    return [json.dumps(whole), json.dumps({"workers": 0, "limit": {}}), "{}"]


def csv():
    text = b'a,b,"c d"\n1,x,2020-01-01\n2.5,"y ""z""",\nNA,?,2021-02-03T04:05:06\n'
    return [b"\0" + text, b"\1" + text.replace(b",", b";"), b"\2" + text.replace(b",", b";"), b"\3" + text,
            b"\0" + gzip.compress(text, mtime=0), b"\0\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")]


def idx():
    images = bytes([0, 0, 8, 3]) + struct.pack(">III", 2, 1, 3) + bytes([1, 2, 3, 255, 0, 9])
    labels = bytes([0, 0, 8, 1]) + struct.pack(">I", 2) + bytes([10, 7])
    packed = gzip.compress(images, mtime=0)
    return [struct.pack(">H", len(x)) + x + y for x, y in ((images, labels), (packed, gzip.compress(labels, mtime=0)))]


def cron():
    return ["* * * * *", "*/15 8-18 * jan-mar,7 1-5", "0 0 29 2 *", "@daily", "30 2 * * sun", "0 0 30 2 *", "5-2 * * * *"]


def timezones():
    """Files of the system's, as far as there are any, and the smallest one."""
    found = [pathlib.Path("/usr/share/zoneinfo") / name for name in ("Europe/Berlin", "Asia/Kolkata", "UTC")]
    head = b"TZif2" + bytes(15) + struct.pack(">6I", 0, 0, 0, 0, 1, 4) + struct.pack(">iBB", 3600, 0, 0) + b"CET\0"
    return [p.read_bytes() for p in found if p.exists()] + [head + head + b"\nCET-1CEST,M3.5.0,M10.5.0/3\n"]


def inflate():
    body = b'{"inputs":[' + b"1," * 3000 + b"1]}"
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = gzip.compress(bytes(1000000), mtime=0)
    return [b"\0" + gzip.compress(body, mtime=0), b"\1" + zlib.compress(body), b"\3" + raw.compress(body) + raw.flush(),
            b"\4" + bomb, b"\2" + gzip.compress(body, mtime=0) + b"tail", b"\0plain"]


def api():
    """The route, a query, a body."""
    pairs = [("limit=10&cursor=a%20b", ""), ("", '{"model": "m", "version": 3, "traffic": [{"model": "m"}], "sticky": "id"}'),
             ("of=00&limit=1", '{"name": "n", "role": "infer", "rate": 1.5, "expires_seconds": 60}'), ("a=%zz&a=1", "[1]"),
             ("open=true&since_us=5", '{"name": "n", "name": "m"}'), ("from=2026-01-31&to=x", '{"days": 1e400, "dry_run": true}')]
    return [bytes([route]) + f"{query}\n{body}".encode() for query, body in pairs for route in range(0, 60, 4)]


def auth():
    secret = "lathe_" + "0123456789abcdef" * 4
    return [f"Bearer {secret}\n\nlocalhost:8000\nhttp://localhost:8000", f"\n{secret}\n127.0.0.1\nnull",
            f"bearer  {secret}\n{secret}\n[::1]:80\nhttps://evil.example", "Basic YTpi\n\nexample.org\n", "Bearer a,b\n\n\n://"]


def plugins():
    """What the scan says of plugins: as an entry of the cache, and by itself."""
    work = tempfile.mkdtemp()
    try:
        r = subprocess.run([os.environ["LATHE_BIN"], "plugins", "list", "--home", work], capture_output=True, text=True)
        if r.returncode != 0:
            sys.exit(f"the plugins cannot be listed: {r.stderr[-600:]}")
        files = json.loads((pathlib.Path(work) / "plugins.json").read_text())["files"]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    seeds = ['{"path":"/p/a.so","size":1,"mtime_ns":2,"inode":"3","digest":"","status":"crashed","reason":"why"}']
    for entry in files:
        if entry["path"].rsplit("/", 1)[-1] in ("mlp.so", "csv.so", "relu.so", "impute.so"):
            fixed = dict(entry, path="/p/a.so", size=1, mtime_ns=2, inode="3")
            seeds += [json.dumps(fixed, separators=(",", ":")), entry["plugins"]]
    return seeds


def crumbs():
    """Bytes for several places of the page."""
    return [struct.pack("<H", at) + bytes(range(256)) * 8 for at in (2, 8, 64, 1024, 4096, 40000, 65535)] + [b"\0\0" + b"\xff" * 5000]


def lines():
    """Of an inference worker (even first byte), of a run's (odd)."""
    said = ['{"ready": true}', '{"generation": 3, "loaded": true}', '{"event": "a plugin was refused"}',
            '{"generation": 3, "failed": [{"name": "m", "endpoint": "e", "shadow": true, "error": "why"}]}',
            '{"generation": 1e300, "forward": -1}',
            '{"forward": 7, "verb": "load", "token": "lathe_00", "body": {"name": "m"}}']
    key = hashlib.sha256(b"k").hexdigest()
    sha = hashlib.sha256(b"content\n").hexdigest()
    asks = [{"event": "step_get", "key": key}, {"event": "step_put", "key": key, "path": "STAGING/file", "metadata": {"m": 1}},
            {"event": "commit", "name": "model.safetensors", "path": "STAGING/file", "sha256": sha},
            {"event": "register", "model": "m", "sha256": sha, "move": True, "endpoint": "e", "goal": {"met": True},
             "metrics": {"validation": {"auc": 0.9}}, "document": {"lathe": 1}},
            {"event": "alerts", "alerts": [{"severity": "warning", "kind": "drift", "message": "a", "version": 1, "model": "m",
                                            "endpoint": "e", "feature": "f", "detail": {"psi": 0.3}}]},
            {"event": "facts", "data": {"d.csv": {"bytes": 1}}, "plugins": {}, "machine": {"cpu": "x"}}]
    asked = [json.dumps(dict(ask, ask=i + 1)) for i, ask in enumerate(asks)]
    hostile = [json.dumps(dict(ask, ask=1)) for ask in (
        {"event": "commit", "name": "x", "path": "STAGING/link"}, {"event": "commit", "name": "x", "path": "STAGING/../../lathe.db"},
        {"event": "step_put", "key": "../../etc", "path": "/etc/passwd"}, {"event": "what"}, {"event": "alerts", "alerts": [1, None, {}]})]
    events = ['{"event": "hello"}', '{"event": "step", "step": "train/a", "state": "started"}', '{"event": "progress", "done": 0.5}',
              '{"event": "failed", "code": 1e300, "where": "/goal", "message": "no"}', '{"event": "result", "result": {"selected": "a"}}',
              "no event \x1b[31m"]
    talks = ["\n".join(events[:2] + asked + events[4:5]), "\n".join(asked), "\n".join(hostile), "\n".join(events), *asked, *hostile]
    return [b"\0" + line.encode() for line in said] + [bytes([1 + 2 * (i * 9 % 128)]) + talk.encode() for i, talk in enumerate(talks)]


def live():
    return [b"", b"\xff" * 20000, bytes(range(256)) * 100, struct.pack("<d", float("nan")) * 3000, struct.pack("<q", 1) * 3000]


def models(folder):
    """A model of trees with categories for the requests, and small ones of several kinds as files."""
    learners = {"fuzz": {"gbdt": {"rounds": 3}}, "linear": {"linear": {}}, "stack": {"stacking": {
        "base": [{"linear": {}}, {"tree": {"max_leaves": 4}}], "final": {"linear": {}}, "folds": 2}},
        "mlp": {"mlp": {"layers": [{"units": 3}], "epochs": 1}}}
    for name, learner in learners.items():
        document = {"lathe": 1, "name": name, "seed": 1,
                    "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
                    "prepare": {"source": {"csv": {"path": str(DATA / "penguins.csv"), "missing": ["NA"]}},
                                "transforms": [{"impute": {}}] if name != "fuzz" else []},
                    "train": {"candidates": {"a": learner}}}
        work = tempfile.mkdtemp()
        try:
            path = os.path.join(work, "p.json")
            with open(path, "w") as f:
                json.dump(document, f)
            r = subprocess.run([os.environ["LATHE_BIN"], "run", path, "--json", "--home", os.path.join(work, "home")],
                               capture_output=True, text=True)
            if r.returncode != 0:
                sys.exit(f"the seed model {name} cannot be trained: {r.stdout[-300:]}{r.stderr[-600:]}")
            file = json.loads(r.stdout)["model"]["file"]
            put(folder, "model")
            shutil.copy(file, folder / "model" / name)
            if name == "fuzz":
                shutil.copy(file, folder / "fuzz.model")
        finally:
            shutil.rmtree(work, ignore_errors=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    put(folder, "http", *http())
    put(folder, "oip", *oip())
    put(folder, "config", *config())
    put(folder, "csv", *csv())
    put(folder, "idx", *idx())
    put(folder, "pipeline", *[pathlib.Path(p).read_bytes() for p in sorted(glob.glob(str(SOURCE / "pipelines" / "*.json")))])
    put(folder, "cron", *cron())
    put(folder, "timezone", *timezones())
    put(folder, "inflate", *inflate())
    put(folder, "api", *api())
    put(folder, "auth", *auth())
    put(folder, "plugins", *plugins())
    put(folder, "crumbs", *crumbs())
    put(folder, "lines", *lines())
    put(folder, "live", *live())
    models(folder)
    for name in os.listdir(SOURCE / "tests" / "fuzz" / "regressions"):  # what was found once
        put(folder, name.split("-")[0])
        shutil.copy(SOURCE / "tests" / "fuzz" / "regressions" / name, folder / name.split("-")[0] / name)


if __name__ == "__main__":
    main()
