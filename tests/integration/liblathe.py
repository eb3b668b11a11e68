"""What the integration scripts share: a home of one's own, running the program, checks that name what failed.

    from liblathe import Lathe, Checks
    checks = Checks()
    with Lathe() as lathe:
        r = lathe.run("validate", path)
        checks.equal("exit code", r.returncode, 0)
    checks.end()
"""

import copy
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

BIN = os.environ["LATHE_BIN"]
SOURCE = os.environ["LATHE_SOURCE"]
DATA = os.path.join(SOURCE, "pipelines", "data")
FIXTURES = os.environ.get("LATHE_FIXTURE_PLUGINS", "")
SANITIZED = os.environ.get("LATHE_SANITIZE", "")
SLOWER = 10 if SANITIZED else 1


class Checks:
    """Counts checks; failed ones are told at once and make the script fail at its end."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def that(self, what, good, detail=""):
        self.count += 1
        if not good:
            self.failed += 1
            print(f"FAILED: {what}: {detail}", flush=True)
        return good

    def equal(self, what, got, want):
        return self.that(what, got == want, f"got {got!r}, expected {want!r}")

    def has(self, what, text, *pieces):
        return all([self.that(what, piece in text, f"{piece!r} is not in {text!r}") for piece in pieces])

    def lacks(self, what, text, piece):
        return self.that(what, piece not in text, f"{piece!r} is in {text!r}")

    def end(self):
        print(f"{self.count} checks, {self.failed} failed")
        sys.exit(1 if self.failed else 0)


class Lathe:
    """A temporary folder with a home in it, and the program running there."""

    def __init__(self, plugins=(), home=None):
        self.dir = tempfile.mkdtemp(prefix="lathe-test-")
        self.home = home or os.path.join(self.dir, "home")
        self.env = dict(os.environ, LATHE_HOME=self.home)
        self.env.pop("LATHE_THREADS", None)
        self.env.pop("LATHE_PLUGIN_PATH", None)
        if plugins:
            self.use_fixtures(*plugins)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def use_fixtures(self, *names):
        """Some of the built tests/fixtures/plugins beside the usual plugins."""
        folder = os.path.join(self.dir, "plugins")
        os.makedirs(folder, exist_ok=True)
        for name in names:
            shutil.copy(os.path.join(FIXTURES, name + ".so"), folder)
        self.env["LATHE_PLUGIN_PATH"] = folder

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, content):
        """A file in the folder: text, bytes, or anything else as JSON. Gives its path."""
        path = self.path(name)
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content, indent=1)
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return path

    def run(self, *args, timeout=120, env=None, cwd=None):
        """Runs to the end; stdout and stderr are texts."""
        full = dict(self.env, **(env or {}))
        return subprocess.run([BIN, *args], capture_output=True, timeout=timeout * SLOWER, env=full,
                              cwd=cwd, encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL)

    def start(self, *args, env=None):
        """Starts it in a process group of its own, as a shell does."""
        full = dict(self.env, **(env or {}))
        return subprocess.Popen([BIN, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=full,
                                stdin=subprocess.DEVNULL, start_new_session=True, encoding="utf-8",
                                errors="replace")

    def start_until(self, step, *args):
        """Starts a run and waits until it has begun a step; the home's readers work beside its owner."""
        before = self.latest()
        p = self.start("run", *args)

        def begun():
            run = self.latest()
            events = self.run("runs", "events", run).stdout if run != before else ""
            return p.poll() is not None or any(
                f'"step":"{step}"' in line and '"started"' in line for line in events.splitlines())

        wait_until(begun, 60)
        return p

    def latest(self):
        """The id of the newest run; None: there is none."""
        record = parse(self.run("runs", "show", "latest", "--json").stdout)
        return record and record["run"]

    def pipeline(self, document, *args, **kwargs):
        """`lathe run --json` of a document; gives (exit code, the JSON object or None, stderr)."""
        path = self.write("pipeline.json", document)
        r = self.run("run", path, "--json", *args, **kwargs)
        return r.returncode, parse(r.stdout), r.stderr


class ModelFile:
    """A model file taken apart. The sums are made anew by bytes(), so that what lies behind them is reached."""

    def __init__(self, raw):
        (size,) = struct.unpack("<Q", raw[:8])
        self.header = json.loads(raw[8:8 + size])
        self.data = bytearray(raw[8 + size:])
        self.meta = self.header.pop("__metadata__")

    def copy(self):
        return copy.deepcopy(self)

    def json(self, key):
        return json.loads(self.meta[key])

    def change(self, key, change):
        """Applies change() to a JSON document of the metadata."""
        tree = self.json(key)
        result = change(tree)
        self.meta[key] = json.dumps(tree if result is None else result, separators=(",", ":"))

    def array(self, name, values=None):
        """Elements of a tensor; or sets them."""
        entry = self.header[name]
        begin, end = entry["data_offsets"]
        form = {"F32": "f", "F64": "d", "I32": "i", "U32": "I", "I64": "q", "U8": "B", "I8": "b", "U16": "H",
                "U64": "Q"}[entry["dtype"]]
        n = (end - begin) // struct.calcsize(form)
        if values is None:
            return list(struct.unpack(f"<{n}{form}", self.data[begin:end]))
        self.data[begin:end] = struct.pack(f"<{n}{form}", *values)
        return None

    def bytes(self, sums=True):
        meta = {k: v for k, v in self.meta.items() if k != "crc32"}
        total = 0
        for key in sorted(meta):
            if isinstance(meta[key], str):
                total = zlib.crc32(key.encode() + b"\0" + meta[key].encode() + b"\0", total)
        found = {}
        for name, entry in sorted(self.header.items()):
            try:
                begin, end = entry["data_offsets"]
                if not name.startswith("pad."):
                    found[name] = f"{zlib.crc32(bytes(self.data[begin:end])):08x}"
                    shape = "".join(f"{n}," for n in entry["shape"])
                    total = zlib.crc32(name.encode() + b"\0" + entry["dtype"].encode() + b"\0" + shape.encode(), total)
            except (TypeError, ValueError, KeyError, AttributeError):
                pass
        found["__metadata__"] = f"{total:08x}"
        meta["crc32"] = json.dumps(found) if sums else self.meta["crc32"]
        text = json.dumps({"__metadata__": dict(sorted(meta.items())), **self.header}, separators=(",", ":")).encode()
        text += b" " * (-(len(text) + 8) % 64)
        return struct.pack("<Q", len(text)) + text + bytes(self.data)


def parse(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def wait_until(what, seconds=20):
    """Waits for a condition; gives its value, false at the end of the time."""
    end = time.monotonic() + seconds * SLOWER
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.02)


def children(pid):
    """Process ids of the children of a process."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def finish(process, timeout=60):
    """Waits for a started process; gives (exit code, stdout, stderr)."""
    try:
        out, err = process.communicate(timeout=timeout * SLOWER)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return None, out, err
    return process.returncode, out, err
