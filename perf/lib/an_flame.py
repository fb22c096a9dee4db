#!/usr/bin/env python3
"""an_flame.py DIR [--user] [--per-core] [--diff OLD]: report and pictures of flame.data."""
import argparse
import collections

import flamegraph
import fold
import report


def function_of(frames):
    """The function at the leaf, stage frames aside."""
    for f in reversed(frames):
        if f[0] != "[" or f[-1] != "]":
            return f
    return frames[-1]


def shares(folded, stages):
    """Samples by stage, by function (self, total), by thread; how many were in the kernel."""
    by_stage, own, total = collections.Counter(), collections.Counter(), collections.Counter()
    threads, kernel = collections.Counter(), 0
    for stack, n in folded.items():
        frames = stack.split(";")
        by_stage[stages.last(frames)] += n
        own[function_of(frames)] += n
        threads[frames[1] if frames[0].startswith("cpu ") and len(frames) > 1 else frames[0]] += n
        for f in set(frames):
            total[f] += n
        kernel += n if frames[-1].endswith("_[k]") else 0
    return by_stage, own, total, threads, kernel


def write_top(path, own, total, whole):
    with open(path, "w") as f:
        f.write("self %   with callees %   function\n")
        for name, n in own.most_common(60):
            f.write("%6.2f   %6.2f           %s\n"
                    % (100 * n / whole, 100 * total[name] / whole, name))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("dir")
    ap.add_argument("--user", action="store_true")
    ap.add_argument("--per-core", action="store_true")
    ap.add_argument("--diff")
    a = ap.parse_args()
    r = report.Report(a.dir)
    stages = fold.Stages()
    folded, periods = fold.fold(r.path("flame.data"), a.user, a.per_core, stages)
    fold.write(folded, r.path("folded.txt"))
    whole = sum(folded.values())
    by_stage, own, total, threads, kernel = shares(folded, stages)
    clock = r.head["capability"] == "cpu-clock"
    cpu = periods / 1e9 if clock else whole / r.head["hz"]
    r.result = {
        "samples": whole, "cpu_seconds": cpu, "cores_used": cpu / r.seconds if r.seconds else 0,
        "kernel_percent": 100 * kernel / whole if whole else 0,
        "stages": {s: {"samples": n, "percent": 100 * n / whole}
                   for s, n in by_stage.most_common()},
        "functions": [{"name": f, "self_percent": 100 * n / whole,
                       "total_percent": 100 * total[f] / whole} for f, n in own.most_common(40)],
        "threads": {t: 100 * n / whole for t, n in threads.most_common()},
    }
    r.line("%d samples, %.2f s of CPU time (%.2f cores on average), %.1f %% of it in the kernel",
           whole, cpu, r.result["cores_used"], r.result["kernel_percent"])
    if whole:
        r.line()
        r.table([(s, 100 * n / whole, cpu * n / whole) for s, n in by_stage.most_common()],
                ("stage", "%s"), ("%", "%.1f"), ("CPU s", "%.3f"))
        r.line()
        r.table([(f, 100 * n / whole, 100 * total[f] / whole) for f, n in own.most_common(15)],
                ("function", "%s"), ("self %", "%.1f"), ("with callees %", "%.1f"))
    write_top(r.path("top.txt"), own, total, whole or 1)
    command = " ".join(r.head["command"]) or "process %d" % r.head["pid"]
    sub = "%s: %.2f s of CPU time, %s" % (command[:120], cpu, r.head["capability"])
    with open(r.path("flame.svg"), "w") as f:
        f.write(flamegraph.svg(folded, "Where the CPU time goes", sub))
    r.picture("flame.svg")
    if a.diff:
        with open(r.path("diff.svg"), "w") as f:
            f.write(flamegraph.svg(folded, "What changed", sub + ", against " + a.diff,
                                   old=fold.load(a.diff)))
        r.picture("diff.svg")
    if whole < 200:
        r.hint("only %d samples: take a longer run or a higher -F" % whole)
    unknown = sum(n for s, n in folded.items() if ":?" in s)
    if whole and unknown > whole / 20:
        r.hint("%.0f %% of the stacks are go through code without names: --dwarf"
               % (100 * unknown / whole))
    r.write()


main()
