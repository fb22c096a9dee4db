#!/usr/bin/env python3
"""an_usdt.py DIR PROGRAM: what the static probes saw."""
import json
import sys

import charts
import report
import sdt


def maps(path):
    """{map name without @: value}; histograms are lists of {min, max, count}."""
    out = {}
    for line in report.read(path).splitlines():
        try:
            d = json.loads(line)
        except ValueError:
            continue
        if d.get("type") in ("map", "hist"):
            for k, v in d["data"].items():
                out[k.lstrip("@")] = v
    return out


def bucket(b, text):
    return "%s .. %s" % (text(b.get("min", 0)), text(b.get("max", b.get("min", 0)) + 1))


def main():
    r = report.Report(sys.argv[1])
    m = maps(r.path("probes.json"))
    counts = {p: 0 for p in sdt.probes(sys.argv[2])}
    counts.update(m.pop("n", {}))
    hists = {k: v for k, v in m.items() if isinstance(v, list)}
    sums = {k: v for k, v in m.items() if k not in hists}
    r.result = {"probes": counts, "sums": sums, "histograms": hists}
    r.table([(k, v, v / r.seconds if r.seconds else 0)
             for k, v in sorted(counts.items(), key=lambda i: -i[1])],
            ("probe", "%s"), ("hits", "%d"), ("per second", "%.1f"))
    if sums:
        r.line()
    for k, v in sorted(sums.items()):
        r.line("  %-16s %s", k, v)
    if sums.get("inflated_in") and sums.get("inflated_out"):
        r.line("  members inflate to %.2f times their size",
               sums["inflated_out"] / sums["inflated_in"])
    for k, v in sorted(hists.items()):
        show = report.duration if k.endswith("_ns") else lambda x: "%d" % x
        r.line()
        r.line("%s", k)
        r.table([(bucket(b, show), b["count"]) for b in v if b["count"]],
                ("range", "%s"), ("n", "%d"))
    if counts.get("stall"):
        r.hint("%d turns of a reactor took too long" % counts["stall"])
    if counts.get("page_pause"):
        r.hint("units waited for page slots %d times: --mem-per-core" % counts["page_pause"])
    charts.save(r.path("usdt.svg"), charts.bars(
        "Hits of the static probes", sorted(counts.items(), key=lambda i: -i[1]),
        lambda v: "%d" % v))
    r.picture("usdt.svg")
    r.write()


main()
