#!/usr/bin/env python3
"""an_topdown.py DIR: what became of the slots of the cores, from the level 1 metrics of perf stat.

Intel calls them tma_retiring and so on, AMD retiring; with the unit "%..." they are per cent, without
one they are parts of 1. With hyperthreads AMD has a fifth: slots that the other thread took.
"""
import re
import sys

import charts
import report

# Name, what it is in words, what to do when it is the largest.
PARTS = [
    ("retiring", "did useful work",
     "the cores are busy with useful work: only fewer or wider instructions make this faster "
     "(perf/flame names the functions)"),
    ("bad_speculation", "worked in vain (mispredicted branches)",
     "branches are mispredicted: perf/stat tells their share, perf/flame where the code is"),
    ("frontend_bound", "waited for instructions",
     "the cores wait for instructions: code that is too large for its caches, or many short "
     "branches"),
    ("backend_bound", "waited for data or for a unit",
     "the cores wait for data or for a busy unit: perf/mem tells which accesses are slow"),
    ("smt_contention", "went to the other thread of the core",
     "the other thread of the core takes the slots: one thread for each core has them alone"),
]
METRIC = re.compile(r"(%\S*\s+)?(?:tma_)?(" + "|".join(p[0] for p in PARTS) + ")", re.I)


def shares(text):
    """({name: per cent}, the smallest share of the time that a counter was running)."""
    found, running = {}, 100.0
    for line in text.splitlines():
        f = line.split(";")
        m = METRIC.fullmatch(f[-1].strip()) if len(f) > 2 else None
        if len(f) > 4 and re.fullmatch(r"[\d.]+", f[4]):
            running = min(running, float(f[4]))
        try:
            if m:
                found[m[2].lower()] = float(f[-2]) * (1 if m[1] else 100)
        except ValueError:
            pass  # nan, or nothing was counted
    return found, running


def main():
    r = report.Report(sys.argv[1])
    found, running = shares(report.read(r.path("topdown.csv")))
    if len(set(found) & {p[0] for p in PARTS[:4]}) < 4:
        sys.exit("topdown.csv has no level 1 metrics: %s" % (", ".join(found) or "none"))
    parts = [p for p in PARTS if p[0] in found]
    name, words, hint = max(parts, key=lambda p: found[p[0]])
    total = sum(found.values())
    r.result = {"percent": found, "sum": total, "largest": name, "counters_running": running}
    r.line("Most slots %s: %.1f %% (%s).", words, found[name], name)
    r.line()
    r.table([(p[0], found[p[0]], p[1]) for p in parts], ("slots", "%s"), ("%", "%.1f"), ("", "%s"))
    if abs(total - 100) > 5:
        r.hint("the shares add up to %.0f %%: they were not counted at the same time" % total)
    if running < 99:
        r.hint("the counters took turns and saw %.0f %% of the run" % running)
    r.hint(hint)
    charts.save(r.path("topdown.svg"), charts.bars(
        "What became of the slots", [("%s: %s" % p[:2], found[p[0]]) for p in parts],
        lambda v: "%.1f %%" % v))
    r.picture("topdown.svg")
    r.write()


if __name__ == "__main__":
    main()
