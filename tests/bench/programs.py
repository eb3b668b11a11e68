"""Running the programs: ours in each kind of benchmark, and the peers."""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import sets

MODULE_OF = {"lightgbm": "lightgbm", "xgboost": "xgboost", "torch_mlp": "torch"}  # else scikit-learn
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LATHE_THREADS")


class Failure(Exception):
    pass


def run_timed(command, env=None, ok=(0,)):
    """(stdout, wall seconds, peak megabytes of the largest process); raises Failure with the end of stderr."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=errors, env=env)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:  # stopped: the child too
            child.kill()
            raise
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if child.returncode not in ok:
            text = errors.read().decode(errors="replace").strip()
            raise Failure(f"{command[0]} ended with {child.returncode}: {text[-600:]}")
        return out.read().decode(), wall, usage.ru_maxrss / 1024


# ---- ours ----

class Lathe:
    def __init__(self, program, threads, work):
        self.program, self.threads, self.work = str(program), str(threads), work
        self.seed = 1  # of the repetition

    def document(self, case, path, learner):
        return {"lathe": 1, "name": f"bench-{case.name}", "seed": self.seed, "goal": sets.goal_of(case.data),
                "prepare": sets.pipeline_input(case.data, path),
                "train": {"candidates": {"ours": learner}}}

    def run(self, case, path, learner, home):
        file = self.work / f"{case.name}.json"
        file.write_text(json.dumps(self.document(case, path, learner), indent=1))
        text, wall, peak = run_timed([self.program, "run", str(file), "--json", "--threads",
                                      self.threads, "--home", str(home)])
        result = json.loads(text)
        ours = result["candidates"]["ours"]
        if "test" not in ours:
            raise Failure(ours.get("error", "there is no score of the test part"))
        return result, {"seconds": wall if case.kind == "process" else ours["seconds"],
                        "quality": ours["test"][self.document(case, path, learner)["goal"]["metric"]],
                        "wall": wall, "peak_mb": peak}

    def fit(self, case, path):
        home = pathlib.Path(tempfile.mkdtemp(prefix="home-", dir=self.work))  # no cache of an earlier run
        try:
            return self.run(case, path, case.learner, home)[1]
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def model(self, case, path, learner, label):
        """The file of a model that is made once, and its quality."""
        home = self.work / f"home-{label}"
        result, figures = self.run(case, path, learner, home)
        return result["model"]["file"], figures["quality"]

    def predict(self, model, rows):
        return run_timed([self.program, "predict", model, str(rows), "-o", str(self.work / "out.csv"),
                          "--threads", self.threads, "--home", str(self.work / "home-predict")])[1]


class Scorer:
    """Ours of a "score" case: `lathe predict` with the model less the same with a model of one tree, so that reading,
    the matrix and writing, which both do, are left out."""

    def __init__(self, lathe, case, path):
        self.lathe, one = lathe, json.loads(json.dumps(case.learner))
        one["gbdt"]["rounds"] = 1
        self.full, self.quality = lathe.model(case, path, case.learner, "full")
        self.small, _ = lathe.model(case, path, one, "small")
        self.rows = lathe.work / "test.csv"
        with open(path.with_suffix(".csv")) as source, open(self.rows, "w") as out:
            out.write(next(source))
            out.writelines(line for line in source if line.endswith(",test\n"))

    def __call__(self):
        small = self.lathe.predict(self.small, self.rows)
        full = self.lathe.predict(self.full, self.rows)
        return {"seconds": max(full - small, 1e-6), "quality": self.quality, "wall": full}


class RowScorer:
    """Cases "batch" and "row": score_rows.c has both models in one process and takes turns."""

    def __init__(self, lathe, case, path, goal, threads, repeats):
        import numpy
        import lightgbm
        self.case, work = case, lathe.work
        model, self.quality = lathe.model(case, path, case.learner, "rows")
        variant = ("lightgbm", "lightgbm", {}, threads)
        self.peer = run_peer(case, goal, path, variant, work)
        library = next(pathlib.Path(lightgbm.__file__).parent.rglob("lib_lightgbm.so"))
        rows = work / "rows.f32"
        with numpy.load(sets.prepare(case.data, case.params["scored"]).with_suffix(".npz")) as data:
            x = data["x"][:case.params["scored"]]
            x.tofile(rows)
        program = pathlib.Path(lathe.program).parents[1] / "tests/bench/score_rows"
        self.figures = json.loads(run_timed([str(program), model, str(rows), str(x.shape[1]), str(threads),
                                             str(repeats), str(library), str(work / "lightgbm.txt")])[0])

    def runs(self, side):
        figures = self.figures[side]
        seconds = (figures["batch"] if self.case.kind == "batch" else
                   [ns / 1e9 for ns in figures["row_median_ns"]])
        about = {"quality": self.quality} if side == "lathe" else {
            "quality": self.peer["quality"], "version": self.peer["version"]}
        return [about | {"seconds": s, "p99_us": p / 1e3} for s, p in zip(seconds, figures["row_p99_ns"])]


class Fitter:
    """Ours of a "memory" case: fit_rows.c, on the very matrix that the peers get."""

    def __init__(self, lathe, case, goal, path, threads):
        self.case, self.threads, self.work, self.lathe = case, threads, lathe.work, lathe
        self.program = pathlib.Path(lathe.program).parents[1] / "tests/bench/fit_rows"
        self.spec = {"name": case.data, "task": goal["task"], "metric": goal["metric"],
                     "data": str(path.with_suffix(".npz")), "scaled": "gbdt" not in case.learner}
        self.shape = self.ask({"export": str(self.work)})

    def ask(self, more):
        program = str(pathlib.Path(__file__).with_name("peers.py"))
        return json.loads(run_timed([sys.executable, program, json.dumps(self.spec | more)])[0])

    def __call__(self, threads=None):
        out = str(self.work / "out.f32")
        text, wall, peak = run_timed([
            str(self.program), json.dumps(self.case.learner), str(self.work / "rows.f32"),
            str(self.work / "target.f32"), str(self.shape["train"]), str(self.shape["features"]),
            str(self.shape["classes"]), str(threads or self.threads), out, str(self.lathe.seed), self.shape["categories"]])
        bins = self.shape["train"] * self.shape["features"] / 2**20
        return json.loads(text) | self.ask({"predictions": out}) | {
            "wall": wall, "peak_mb": peak, "bins_mb": bins, "gflop": self.gflop(), "version": ""}

    def gflop(self):
        """Of a network's matrix products: forward, and backward to the weights and (but for the first layer) the inputs."""
        if "mlp" not in self.case.learner:
            return 0
        outputs = self.shape["classes"] if self.shape["classes"] > 2 else 1
        sizes = [self.shape["features"], *(layer["units"] for layer in self.case.learner["mlp"]["layers"]), outputs]
        weights = [a * b for a, b in zip(sizes, sizes[1:])]
        return self.shape["train"] * self.case.learner["mlp"]["epochs"] * (6 * sum(weights) - 2 * weights[0]) * 1e-9


# ---- peers ----

def available(function):
    return importlib.util.find_spec(MODULE_OF.get(function, "sklearn")) is not None


def variants(case, threads, quick):
    """[(label, function, settings, threads or None for its default)]: at our number of threads, and at its default
    where that is another."""
    cores = os.cpu_count()
    found = []
    for label, (function, default, settings) in case.peers.items():
        if not available(function):
            print(f"{case.name}: {label} is not installed and left out", file=sys.stderr)
            continue
        found.append((label, function, settings, threads))
        default = cores if default == "cores" else default
        if default is not None and default != threads and not quick:
            found.append((f"{label} (default threads)", function, settings, None))
    return found


def run_peer(case, goal, path, variant, work, seed=1):
    label, function, settings, threads = variant
    spec = {"peer": function, "name": case.data, "task": goal["task"], "metric": goal["metric"],
            "threads": threads, "settings": settings, "params": case.params, "seed": seed, "share": case.share}
    if case.kind == "process":
        spec |= {"csv": str(path.with_suffix(".csv")), "target": goal["target"],
                 "positive": goal.get("positive")}
    else:
        spec["data"] = str(path.with_suffix(".npz"))
    if case.kind in ("score", "batch", "row"):
        spec["model"] = str(work / f"{label.replace(' ', '-')}.txt")
    env = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    if threads:
        env |= {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    program = str(pathlib.Path(__file__).with_name("peers.py"))
    text, wall, peak = run_timed([sys.executable, program, json.dumps(spec)], env)
    result = json.loads(text.splitlines()[-1])
    if case.kind == "process":
        result["seconds"] = wall
    return result | {"wall": wall, "peak_mb": peak}
