#!/usr/bin/env python3
"""Speed of Lathe against other programs, on the same files, with the same settings and threads; see README.md.

    ./dev bench --setup               make the environment of the other programs (build/bench-venv)
    ./dev bench                       everything
    ./dev bench gbdt logistic-higgs   benchmarks by group or name; --list shows them
    ./dev bench gbdt --rows 1000000   another size of the generated set
    ./dev bench --quick               a few rounds and one thread each: shows that everything works, no more

Writes build/bench/results.json, and results.svg where matplotlib is installed. Exit code: 0; 1 when a result of ours
is worse than its fastest peer's by more than the tolerance, so that their times do not compare; 2 when one failed.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "bench"
MODULE_OF = {"lightgbm": "lightgbm", "xgboost": "xgboost", "torch_mlp": "torch"}  # else scikit-learn
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LATHE_THREADS")


class Failure(Exception):
    pass


def run_timed(command, env=None, ok=(0,)):
    """(stdout, wall seconds, peak megabytes of the largest process); raises Failure with the end of stderr."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=errors, env=env)
        _, status, usage = os.wait4(child.pid, 0)
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
        import sets
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
        import sets
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
        return json.loads(text) | self.ask({"predictions": out}) | {"wall": wall, "peak_mb": peak, "bins_mb": bins,
                                                                    "version": ""}


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


# ---- one case ----

def measure(case, args, lathe):
    """{"case", "rows", "lathe": […], "peers": {label: […]}} of every repetition's figures, by turns."""
    import sets
    rows = args.rows or case.rows
    path = sets.prepare(case.data, rows)
    if path is None:
        print(f"{case.name}: left out, its data is not installed", file=sys.stderr)
        return None
    goal = sets.goal_of(case.data)
    if case.kind in ("batch", "row"):
        if not available("lightgbm"):
            print(f"{case.name}: left out, LightGBM is not installed", file=sys.stderr)
            return None
        scorer = RowScorer(lathe, case, path, goal, args.threads, args.repeats)
        return {"case": case.name, "kind": case.kind, "metric": goal["metric"], "note": case.note, "rows": rows,
                "lathe": scorer.runs("lathe"), "peers": {"lightgbm C API": scorer.runs("lightgbm")}}
    ours = (Scorer(lathe, case, path) if case.kind == "score" else
            Fitter(lathe, case, goal, path, args.threads) if case.kind == "memory" else
            lambda: lathe.fit(case, path))
    peers = variants(case, args.threads, args.quick)
    result = {"case": case.name, "kind": case.kind, "metric": goal["metric"], "note": case.note, "lathe": [],
              "rows": rows if case.data in sets.GENERATED else None, "peers": {v[0]: [] for v in peers}}
    for turn in range(case.repeats or args.repeats):
        lathe.seed = turn + 1
        result["lathe"].append(ours())
        tell(case, turn, "lathe", result["lathe"])
        for variant in peers:
            runs = result["peers"][variant[0]]
            runs.append(ours(variant[2]["threads"]) if variant[1] == "lathe" else
                        run_peer(case, goal, path, variant, lathe.work, lathe.seed))
            tell(case, turn, variant[0], runs)
    return result


def tell(case, turn, label, runs):
    print(f"{case.name} {turn + 1}: {label} {runs[-1]['seconds']:.3f} s", file=sys.stderr, flush=True)


def median(runs, key="seconds"):
    return statistics.median(r[key] for r in runs)


def compare(metric, ours, peer, tolerance):
    """How our result is: "equal", "better" or "worse"."""
    gain = (peer - ours) / peer if metric == "rmse" else ours - peer
    return "equal" if abs(gain) <= tolerance else "better" if gain > 0 else "worse"


def summarise(result, tolerance):
    metric, ours = result["metric"], result["lathe"]
    summary = {"seconds": median(ours), "quality": median(ours, "quality"), "peers": {}}
    for label, runs in result["peers"].items():
        seconds, quality = median(runs), median(runs, "quality")
        summary["peers"][label] = {
            "seconds": seconds, "quality": quality, "ratio": seconds / summary["seconds"],
            "verdict": ("extrapolated" if runs[0].get("extrapolated") else
                        compare(metric, summary["quality"], quality, tolerance)),
            "version": runs[0]["version"]}
    if summary["peers"]:
        summary["fastest"] = min(summary["peers"], key=lambda k: summary["peers"][k]["seconds"])
    result["summary"] = summary
    return result


def show(result):
    summary, metric = result["summary"], result["metric"]
    size = f", {result['rows']} rows" if result["rows"] else ""
    print(f"\n{result['case']} ({result['kind']}{size}; {metric})"
          + (f": {result['note']}" if result["note"] else ""))
    digits = 2 if metric == "rmse" else 4

    scale, unit = (1e6, "µs") if result["kind"] == "row" else (1, "s")

    def line(label, one, more):
        peak = [r["peak_mb"] for r in one["runs"] if "peak_mb" in r]
        spread = (f"{min(r['seconds'] for r in one['runs']) * scale:.3f}–"
                  f"{max(r['seconds'] for r in one['runs']) * scale:.3f}")
        print(f"  {label:32} {one['seconds'] * scale:9.3f} {unit:2} {spread:>17}  {one['quality']:9.{digits}f}  "
              f"{f'{statistics.median(peak):.0f} MB' if peak else '':>9}  {more}")

    memory = ""
    if "gbdt" in result["case"] and "fit_mb" in result["lathe"][0]:
        used, bins = median(result["lathe"], "fit_mb"), median(result["lathe"], "bins_mb")
        memory = f"{used:.0f} MB beyond the matrix, {used / bins:.2f}× the bins"
    line("lathe", summary | {"runs": result["lathe"]}, memory)
    for label, peer in summary["peers"].items():
        words = {"equal": "", "better": "; ours is better", "worse": "; OURS IS WORSE",
                 "extrapolated": "; EXTRAPOLATED from a part of the fit, whose quality says nothing"
                 }[peer["verdict"]]
        line(label, peer | {"runs": result["peers"][label]}, f"{peer['ratio']:6.2f}×{words}")
    sys.stdout.flush()


def plot(results, path):
    """Bars of the fastest peer's time over ours; nothing without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("svg")
    from matplotlib import pyplot
    bars = [(r["case"], r["summary"]["peers"][r["summary"]["fastest"]]["ratio"], r["summary"]["fastest"])
            for r in results if "fastest" in r["summary"]][::-1]
    if not bars:
        return False
    figure, axes = pyplot.subplots(figsize=(8, 0.4 * len(bars) + 1), layout="constrained")
    axes.barh([b[0] for b in bars], [b[1] for b in bars])
    for i, (_, ratio, peer) in enumerate(bars):
        axes.text(ratio, i, f" {ratio:.1f}× {peer}", va="center", fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.margins(x=0.25)
    axes.set_xlabel("time of the fastest peer / time of Lathe")
    figure.savefig(path)
    return True


def machine():
    model = "unknown"
    try:
        with open("/proc/cpuinfo") as f:
            model = next(line.split(":")[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.platform(),
            "load": os.getloadavg()[0]}


def parse(cases):
    parser = argparse.ArgumentParser(description="speed against other programs", prog="./dev bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help="groups or benchmarks; default: all")
    parser.add_argument("--rows", type=int, help="training rows of the generated set")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: the cores")
    parser.add_argument("--quick", action="store_true",
                        help="a trial: 20000 rows, few rounds, one repetition, one thread")
    parser.add_argument("--list", action="store_true", help="show the benchmarks and end")
    parser.add_argument("--lathe", default=os.environ.get("LATHE_BIN", ROOT / "build/bin/lathe"))
    args = parser.parse_args()
    if args.rows is not None and args.rows < 5000:
        parser.error("--rows must be at least 5000")
    if args.repeats < 1 or args.threads < 1:
        parser.error("--repeats and --threads must be at least 1")
    try:
        args.cases = cases.select(args.names)
    except ValueError as error:
        parser.error(str(error))
    if args.quick:
        args.rows, args.repeats, args.threads = args.rows or 20000, 1, 1
        args.cases = [cases.shorten(case) for case in args.cases]
    return args


def main():
    import cases
    args = parse(cases)
    if args.list:
        for case in args.cases:
            print(f"{case.name:16} {case.group:9} {case.kind:8} {', '.join(case.peers)}")
        return 0
    if not available("sklearn") or importlib.util.find_spec("numpy") is None:
        print("the other programs are not installed: run `./dev bench --setup` first", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    results, failed, about = [], [], machine()
    if about["load"] > 0.5:
        print(f"the machine is busy (load {about['load']:.1f}): the times will not mean much", file=sys.stderr)
    for case in args.cases:
        with tempfile.TemporaryDirectory(prefix="work-", dir=FOLDER) as work:
            try:
                result = measure(case, args, Lathe(args.lathe, args.threads, pathlib.Path(work)))
            except Failure as failure:
                print(f"{case.name}: {failure}", file=sys.stderr)
                failed.append(case.name)
                continue
        if result is not None:
            tolerance = case.tolerance or cases.TOLERANCE[result["metric"]]
            results.append(summarise(result, tolerance))
            show(results[-1])
        (FOLDER / "results.json").write_text(json.dumps(
            {"machine": about, "quick": args.quick, "threads": args.threads, "repeats": args.repeats, "failed": failed,
             "results": results}, indent=1))
    print(f"\nfigures: {FOLDER / 'results.json'}")
    if plot(results, FOLDER / "results.svg"):
        print(f"plot:    {FOLDER / 'results.svg'}")
    worse = [r["case"] for r in results if "fastest" in r["summary"]
             and r["summary"]["peers"][r["summary"]["fastest"]]["verdict"] == "worse"]
    if worse:
        print(f"worse than the fastest peer, so not comparable: {', '.join(worse)}", file=sys.stderr)
    return 2 if failed else 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
