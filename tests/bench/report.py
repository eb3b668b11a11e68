"""What a benchmark's figures come to: medians, ratios, mean quality; the table and the plot."""
import statistics
import sys


def median(runs, key="seconds"):
    return statistics.median(r[key] for r in runs)


def compare(metric, ours, peer, tolerance, error):
    """How our result is: "equal", "better" or "worse"; "undecided" where the difference is more than the tolerance, but
    by less than two standard errors."""
    gain, error = ((peer - ours) / peer, error / peer) if metric == "rmse" else (ours - peer, error)
    if abs(gain) <= tolerance:
        return "equal"
    if abs(gain) <= tolerance + 2 * error:
        return "undecided"
    return "better" if gain > 0 else "worse"


def mean_of(runs):
    """Mean quality over the seeds, and its standard error (0 of one run)."""
    values = [r["quality"] for r in runs]
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def ratio_of(peer, ours):
    """The median of the turns' ratios where every turn has one: what slows the machine down for a while slows both."""
    if len(peer) != len(ours):
        return median(peer) / median(ours)
    return statistics.median(p["seconds"] / o["seconds"] for p, o in zip(peer, ours))


def summarise(result, tolerance):
    metric, ours = result["metric"], result["lathe"]
    quality, error = mean_of(ours)
    summary = {"seconds": median(ours), "quality": quality, "error": error, "peers": {}}
    for label, runs in result["peers"].items():
        if not runs:
            continue
        quality, error = mean_of(runs)
        summary["peers"][label] = {
            "seconds": median(runs), "quality": quality, "error": error, "ratio": ratio_of(runs, ours),
            "verdict": ("extrapolated" if runs[0].get("extrapolated") else
                        compare(metric, summary["quality"], quality, tolerance, (error ** 2 + summary["error"] ** 2) ** 0.5)),
            "version": runs[0]["version"]}
    if summary["peers"]:
        summary["fastest"] = min(summary["peers"], key=lambda k: summary["peers"][k]["seconds"])
    result["summary"] = summary
    return result


def remark(result):
    """What is told beside our own time: memory of boosting, the share of the machine's rate that a network reaches."""
    ours = result["lathe"]
    if "gbdt" in result["case"] and "fit_mb" in ours[0]:
        used, bins = median(ours, "fit_mb"), median(ours, "bins_mb")
        return f"{used:.0f} MB beyond the matrix, {used / bins:.2f}× the bins"
    if ours[0].get("gflop"):
        def share(of):
            return statistics.median(r["gflop"] / r["seconds"] / r[of] for r in ours)
        peak = max(r["peak_gflops"] for r in ours)
        rate = statistics.median(r["gflop"] / r["seconds"] for r in ours)
        return (f"{rate:.0f} GFLOP/s, {share('peak_gflops'):.0%} of the best large matrix product's beside it, "
                f"{median(ours, 'peak_gflops'):.0f} ({rate / peak:.0%} of all turns' best, {peak:.0f}), "
                f"{share('product_gflops'):.0%} of products of 1024's {median(ours, 'product_gflops'):.0f}, "
                f"{share('fma_gflops'):.0%} of bare multiply-adds' {median(ours, 'fma_gflops'):.0f}")
    return ""


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
        error = f"±{one['error']:.{digits}f}" if one["error"] else ""
        print(f"  {label:32} {one['seconds'] * scale:9.3f} {unit:2} {spread:>17}  {one['quality']:9.{digits}f}{error:8}"
              f"{f'{statistics.median(peak):.0f} MB' if peak else '':>9}  {more}")

    line("lathe", summary | {"runs": result["lathe"]}, remark(result))
    for label, peer in summary["peers"].items():
        words = {"equal": "", "better": "; ours is better", "worse": "; OURS IS WORSE",
                 "undecided": "; quality not told apart by these seeds",
                 "extrapolated": "; EXTRAPOLATED from a part of the fit, whose quality says nothing"
                 }[peer["verdict"]]
        line(label, peer | {"runs": result["peers"][label]}, f"{peer['ratio']:6.2f}×{words}")
    for label in result["failed"]:
        print(f"  {label:32} FAILED")
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
