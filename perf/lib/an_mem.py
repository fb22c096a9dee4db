#!/usr/bin/env python3
"""an_mem.py DIR: which part of the memory answered the sampled accesses, and whose they were.

Reads mem.csv, the table of perf mem report with the columns overhead; samples; memory access; snoop;
TLB access; symbol; object, one table for each event. The overhead is the share of the weight, and the
weight of a load is the cycles it took. Stores have no weight, and perf counts each of theirs as 1.
"""
import collections
import re
import sys

import charts
import report

# A pattern of perf's words for a level (they differ by version and maker), our name for it.
LEVELS = [
    (r"remote.*core, same node", "cache of another core"),
    (r"(remote|hop).*(ram|pmem|cxl)", "RAM of another node"),
    (r"remote|hop", "cache of another node"),
    (r"\b(ram|pmem|cxl)\b", "RAM"),
    (r"\bl1\b.*miss", "beyond L1"),
    (r"\bl1\b", "L1"),
    (r"lfb|mab", "on its way to L1"),
    (r"\bl2\b.*miss", "beyond L2"),
    (r"\bl2\b", "L2"),
    (r"\bl[34]\b.*miss", "beyond L3"),
    (r"\bl[34]\b|any cache", "L3"),
    (r"uncached|i/o", "not cached"),
]


def level(text):
    text = text.lower()
    for pattern, name in LEVELS:
        if re.search(pattern, text):
            return name
    return "unknown"


def tables(text):
    """(event, total weight, rows of seven fields) for each event with samples."""
    out = []
    for line in text.splitlines():
        if line.startswith("# Samples:"):
            out.append([line.split("'")[1] if "'" in line else "?", 0, []])
        elif line.startswith("# Total weight"):
            out[-1][1] = int(line.split(":")[1])
        elif out and line and not line.startswith("#"):
            f = [x.strip() for x in line.split(";")]
            if len(f) >= 7 and f[0].endswith("%"):
                out[-1][2].append(f)
    return [t for t in out if t[2]]


def kind(event):
    """loads, stores or, where one event has both, accesses."""
    for k in ("load", "store"):
        if k in event:
            return k + "s"
    return "accesses"


def analysed(weight, rows):
    levels, functions, extra = collections.defaultdict(lambda: [0, 0.0]), collections.Counter(), {}
    hitm = walks = 0.0
    for overhead, samples, access, snoop, tlb, symbol, dso in (f[:7] for f in rows):
        share = float(overhead.rstrip(" %"))
        slot = levels[level(access)]
        slot[0] += int(samples)
        slot[1] += share
        functions[re.sub(r"^\[\S\] ", "", symbol) + " (%s)" % dso] += share
        hitm += share if snoop == "HitM" else 0
        walks += share if "Walker" in tlb or tlb.startswith("L2 miss") else 0
    n = sum(v[0] for v in levels.values())
    extra["levels"] = {k: {"samples": c, "percent_of_samples": 100 * c / n, "percent": p,
                           "mean_weight": weight * p / 100 / c}
                       for k, (c, p) in sorted(levels.items(), key=lambda x: -x[1][1])}
    extra["functions"] = dict(functions.most_common(15))
    return dict(extra, samples=n, weight=weight, hitm_percent=hitm, page_walk_percent=walks)


def hints(r, v):
    p = {k: x["percent"] for k, x in v["levels"].items()}
    far = p.get("RAM of another node", 0) + p.get("cache of another node", 0)
    if p.get("RAM", 0) >= 30:
        r.hint("%.0f %% of the waiting is for RAM: what is worked on at a time is larger than the "
               "caches, or is touched once" % p["RAM"])
    if far >= 5:
        r.hint("%.0f %% of the waiting is for another node: keep threads and memory on one" % far)
    if v["hitm_percent"] >= 5:
        r.hint("%.0f %% of the waiting is for lines that another core had changed: perf/c2c names "
               "them" % v["hitm_percent"])
    if v["page_walk_percent"] >= 10:
        r.hint("%.0f %% of the waiting is on accesses that missed the TLB: larger pages "
               "(--hugepages)" % v["page_walk_percent"])


def main():
    r = report.Report(sys.argv[1])
    for event, weight, rows in tables(report.read(r.path("mem.csv"))):
        r.result[kind(event)] = analysed(weight, rows)
    if not r.result:
        r.line("No access was sampled: the process did too little.")
    for name, v in r.result.items():
        first = next(iter(v["levels"]))
        # The weight of stores says nothing, so theirs is the count.
        r.line("Of the stores, %.1f %% were answered by: %s." if name == "stores" else
               "Of the time that " + name + " took, %.1f %% went to those answered by: %s.",
               v["levels"][first]["percent"], first)
        r.line("%d %s were sampled, most of it in:", v["samples"], name)
        for f, p in list(v["functions"].items())[:5]:
            r.line("  %5.1f %%  %s", p, f)
        r.line()
        columns = (("answered by", "%s"), ("samples", "%d"), ("% of samples", "%.1f"),
                   ("% of time", "%.1f"), ("cycles each", "%.0f"))[:3 if name == "stores" else 5]
        r.table([(k, x["samples"], x["percent_of_samples"], x["percent"],
                  x["mean_weight"])[:len(columns)] for k, x in v["levels"].items()], *columns)
        r.line()
        if name != "stores":
            hints(r, v)
            charts.save(r.path(name + ".svg"), charts.bars(
                "Who answered the %s, by the time they took" % name,
                [(k, x["percent"]) for k, x in v["levels"].items()], lambda v: "%.1f %%" % v))
            r.picture(name + ".svg")
    r.line("mem.txt has every access as perf shows it.")
    r.write()


if __name__ == "__main__":
    main()
