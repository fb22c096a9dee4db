#!/usr/bin/env python3
"""an_faults.py DIR: page faults by stack and by time."""
import collections
import sys

import charts
import flamegraph
import fold
import report


def counters(path):
    """{event: value} of a file of perf stat -x ';'."""
    out = {}
    for line in report.read(path).splitlines():
        c = line.split(";")
        if len(c) > 2 and c[0] and not line.startswith("#"):
            try:
                out[c[2].split(":")[0]] = float(c[0])
            except ValueError:
                pass  # <not supported>
    return out


def main():
    r = report.Report(sys.argv[1])
    stages = fold.Stages()
    folded, by_stage = collections.Counter(), collections.Counter()
    times = []
    for s in fold.samples(r.path("faults.data")):
        frames = stages.mark([f for f in s.frames[::-1] if not f.endswith("_[k]")])
        folded[";".join([fold.thread_name(s.comm)] + frames)] += 1
        by_stage[stages.last(frames)] += 1
        times.append(fold.ns(s.time))
    fold.write(folded, r.path("folded.txt"))
    first = min(times) if times else 0
    span = (max(times) - first) / 1e9 if times else 0
    # The first quarter of the run is the start: pools, rings, the first of each size.
    warm = sum(1 for t in times if t - first > r.seconds * 1e9 / 4)
    kinds = counters(r.path("kinds.csv"))
    r.result = {"faults": len(times), "after_first_quarter": warm,
                "major": kinds.get("major-faults", 0), "stages": dict(by_stage.most_common())}
    r.line("%d page faults (%d from disk) within %.2f s, %d of them after the first quarter of the "
           "run", len(times), r.result["major"], span, warm)
    r.line()
    r.table(list(by_stage.most_common()), ("stage", "%s"), ("faults", "%d"))
    if times:
        slots = collections.Counter(min(19, int((t - first) / 1e9 / (r.seconds or 1) * 20))
                                    for t in times)
        charts.save(r.path("time.svg"), charts.bars(
            "Page faults in the course of the run",
            [("%d %%" % (5 * i), slots.get(i, 0)) for i in range(20)]))
        with open(r.path("faults.svg"), "w") as f:
            f.write(flamegraph.svg(folded, "Who touches memory for the first time",
                                   "page faults", "faults"))
        r.picture("faults.svg")
        r.picture("time.svg")
    r.write()


if __name__ == "__main__":
    main()
