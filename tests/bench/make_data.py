"""Makes one set of data: make_data.py NAME ROWS PATH. It is written as PATH.csv, which Lathe reads, and as PATH.npz, the
matrix that the other programs load, with the same rows in the same parts.

A column `part` says where a row belongs: train, validation (a few hundred rows that nobody trains on: without any,
Lathe would cross-validate) or test. Numbers of the CSV parse to exactly the matrix's values.

The arrays of the .npz: x [rows, features] float32, missing values NaN, categories as codes in the order of their
bytes; y [rows], class codes or values; part [rows], 0 train, 1 validation, 2 test; categorical, the indices of the
category columns.
"""
import csv
import gzip
import math
import pathlib
import sys

import numpy as np

from sets import FASHION, PARTS, REAL, file_of


# ---- the generated sets ----

def higgs_features(n, rng):
    """21 measured quantities of two leptons' and jets' worth of momenta and angles, and 7 derived ones [n, 28]."""
    pt = rng.lognormal(0.0, 0.5, (n, 5))        # transverse momenta
    eta = rng.normal(0.0, 1.0, (n, 5))          # pseudo-rapidities
    phi = rng.uniform(-math.pi, math.pi, (n, 5))
    tag = rng.choice([0.0, 1.0, 2.0], (n, 4), p=[0.5, 0.25, 0.25])
    missing_pt = rng.exponential(1.0, (n, 2))

    def mass(i, j):  # of two massless particles
        return np.sqrt(2 * pt[:, i] * pt[:, j] *
                       (np.cosh(eta[:, i] - eta[:, j]) - np.cos(phi[:, i] - phi[:, j])))

    derived = [mass(0, 1), mass(1, 2), mass(2, 3), mass(3, 4), mass(0, 4),
               np.abs(np.angle(np.exp(1j * (phi[:, 0] - phi[:, 2])))),
               pt.sum(axis=1) + missing_pt[:, 0]]
    return np.column_stack([pt, eta, phi, tag, missing_pt, *derived])


def higgs_target(x, rng):
    """A resonance in one mass, thresholds, products and angles; the noise leaves an AUC of about 0.85 to the best."""
    pt, eta, phi, tag, missing_pt, d = np.split(x, [5, 10, 15, 19, 21], axis=1)
    score = (2.2 * np.exp(-(d[:, 1] - 1.6) ** 2 / 0.3) + 1.5 * (d[:, 3] > 2.2) * (tag[:, 0] > 0)
             - 1.2 * np.tanh(d[:, 0] - d[:, 2]) + 0.9 * np.cos(phi[:, 1] - phi[:, 3]) * pt[:, 1]
             + 0.8 * np.sin(2 * d[:, 5]) + 0.6 * (np.abs(eta[:, 2]) < 0.7) * missing_pt[:, 0]
             - 0.5 * tag[:, 1] * tag[:, 2] + 0.4 * np.log(d[:, 6]) - 1.4)
    return rng.random(len(x)) < 1 / (1 + np.exp(-1.3 * score))


def write_higgs(path, rows):
    """rows to train, 1 000 to validate, a fifth (at least 10 000) to test."""
    rng = np.random.default_rng(20120704)
    n_test = max(rows // 5, 10000)
    n = rows + 1000 + n_test
    x = np.round(higgs_features(n, rng), 4)
    y = higgs_target(x, rng)
    part = np.repeat(np.arange(3, dtype=np.int8), [rows, 1000, n_test])
    line = ",".join(["%.4f"] * 28) + ",%s,%s\n"
    with open(path.with_suffix(".csv.new"), "w", encoding="ascii") as out:
        out.write(",".join(f"f{i}" for i in range(28)) + ",signal,part\n")
        for at in range(0, n, 10000):
            block = zip(x[at:at + 10000].tolist(), y[at:at + 10000], part[at:at + 10000])
            out.write("".join(line % (*values, "yes" if signal else "no", PARTS[p])
                              for values, signal, p in block))
    save(path, x, y.astype(np.int64), part, [])


def write_sparse(path, rows):
    """Forty categories of 25 values each in one-hot code, and 8 measured quantities: 1 008 columns, 48 values a row."""
    rng = np.random.default_rng(20170412)
    groups, values = 40, 25
    n_test = max(rows // 5, 5000)
    n = rows + 1000 + n_test
    codes = rng.integers(0, values, (n, groups))
    x = np.zeros((n, groups * values + 8), np.float32)
    x[np.arange(n)[:, None], np.arange(groups) * values + codes] = 1
    x[:, -8:] = np.round(rng.random((n, 8)), 4)
    effect = rng.normal(0, 1, (groups, values)) * (rng.random((groups, 1)) < 0.5)
    score = 0.4 * effect[np.arange(groups), codes].sum(axis=1) + 2 * np.sin(6 * x[:, -8]) + 2 * x[:, -7]
    y = rng.random(n) < 1 / (1 + np.exp(np.median(score) - score))
    part = np.repeat(np.arange(3, dtype=np.int8), [rows, 1000, n_test])
    with open(path.with_suffix(".csv.new"), "w", encoding="ascii") as out:
        out.write(",".join(f"f{i}" for i in range(x.shape[1])) + ",clicked,part\n")
        for row, clicked, p in zip(x, y, part):
            out.write(",".join(["0" if v == 0 else "1" if v == 1 else f"{v:.4f}" for v in row.tolist()]) +
                      f",{'yes' if clicked else 'no'},{PARTS[p]}\n")
    save(path, x, y.astype(np.int64), part, [])


# ---- the shipped sets ----

def read_rows(name):
    one, file = REAL[name], file_of(name)
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8", newline="") as f:
        header, *rows = csv.reader(f)
    keep = [i for i, name in enumerate(header) if name not in one.get("drop", ())]
    missing = one.get("missing")
    return [header[i] for i in keep], [["" if r[i] == missing else r[i] for i in keep] for r in rows]


def parts_of(one, n):
    """The published test part, else a fifth at random; 500 of the other rows validate."""
    rng = np.random.default_rng(7)
    part = np.zeros(n, dtype=np.int8)
    if "test" in one:
        part[one["test"]] = 2
    else:
        part[rng.permutation(n)[:n // 5]] = 2
    part[rng.choice(np.flatnonzero(part == 0), 500, replace=False)] = 1
    return part


def encode(column):
    """(float values, whether they are codes of categories); empty text is missing."""
    try:
        return np.array([float(v) if v else math.nan for v in column]), False
    except ValueError:
        codes = {v: i for i, v in enumerate(sorted({v for v in column if v}, key=str.encode))}
        return np.array([codes.get(v, math.nan) for v in column]), True


def write_real(path, name):
    one = REAL[name]
    header, rows = read_rows(name)
    at = header.index(one["target"])
    part = parts_of(one, len(rows))
    with open(path.with_suffix(".csv.new"), "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header + ["part"])
        writer.writerows(r + [PARTS[p]] for r, p in zip(rows, part))
    columns = [encode(c) for c in zip(*rows)]
    y = columns.pop(at)[0]
    if one["positive"]:
        y = np.array([r[at] == one["positive"] for r in rows])
    x = np.column_stack([values for values, _ in columns])
    save(path, x, y if one["task"] == "regression" else y.astype(np.int64), part,
         [i for i, (_, is_category) in enumerate(columns) if is_category])


def write_fashion(path):
    """Only the matrix, scaled to 0…1: Lathe reads the idx files. 600 rows of the train part validate."""
    def read(name, offset):
        with gzip.open(FASHION / name) as f:
            return np.frombuffer(f.read(), np.uint8, offset=offset)

    x = np.concatenate([read(f"{p}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
                        for p in ("train", "t10k")])
    y = np.concatenate([read(f"{p}-labels-idx1-ubyte.gz", 8) for p in ("train", "t10k")])
    part = np.repeat(np.array([0, 1, 2], np.int8), [59400, 600, 10000])
    save(path, x / np.float32(255), y.astype(np.int64), part, [])


def save(path, x, y, part, categorical):
    with open(path.with_suffix(".npz.new"), "wb") as out:
        np.savez(out, x=np.ascontiguousarray(x, np.float32), y=y, part=part,
                 categorical=np.array(categorical, np.int64))


# ---- for all ----

def main():
    name, rows, path = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    if name == "higgs":
        write_higgs(path, rows)
    elif name == "sparse":
        write_sparse(path, rows)
    elif name == "fashion":
        write_fashion(path)
    else:
        write_real(path, name)
    for ending in (".csv", ".npz"):  # the .npz last: it says that both are whole
        new = path.with_suffix(ending + ".new")
        if new.exists():
            new.rename(path.with_suffix(ending))


if __name__ == "__main__":
    main()
