#!/usr/bin/env python3
"""an_stat.py DIR: counters of perf stat and what /proc said, with what follows from them."""
import json
import sys

from an_faults import counters
import charts
import report


def main():
    r = report.Report(sys.argv[1])
    c = counters(r.path("stat.csv"))
    io = json.loads(report.read(r.path("watch.json"), "{}") or "{}")
    cpu = c.get("task-clock", 0) / 1e3
    derived = {"cores_used": cpu / r.seconds if r.seconds else 0}
    if c.get("cycles"):
        derived["instructions_per_cycle"] = c.get("instructions", 0) / c["cycles"]
        derived["ghz"] = c["cycles"] / 1e9 / cpu if cpu else 0
    if c.get("branches"):
        derived["branch_miss_percent"] = 100 * c.get("branch-misses", 0) / c["branches"]
    if c.get("cache-references"):
        derived["cache_miss_percent"] = 100 * c.get("cache-misses", 0) / c["cache-references"]
    for k in ("read_bytes", "write_bytes"):
        if io.get(k) and r.seconds:
            derived[k + "_per_second"] = io[k] / r.seconds
    if cpu and io.get("read_bytes"):
        derived["cpu_ns_per_byte_read"] = cpu * 1e9 / io["read_bytes"]
    r.result = {"counters": c, "io": io, "derived": derived, "cpu_seconds": cpu}
    r.line("%.3f s of CPU time in %.2f s: %.2f cores", cpu, r.seconds, derived["cores_used"])
    r.line()
    r.table([(k, v) for k, v in sorted(c.items())], ("counter", "%s"), ("value", "%.0f"))
    r.line()
    for k in ("read_bytes", "write_bytes"):
        if k in io:
            r.line("  %-12s %s, %s/s", k, report.size(io[k]),
                   report.size(derived.get(k + "_per_second", 0)))
    if io:
        r.line("  memory at most %s, %d threads", report.size(io["peak_rss_kib"] * 1024),
               io["threads"])
    for k, v in derived.items():
        if k.endswith("percent") or k in ("instructions_per_cycle", "ghz", "cpu_ns_per_byte_read"):
            r.line("  %-24s %.2f", k, v)
    if r.head["degraded_from"]:
        r.hint("no hardware counters here: instructions per cycle and cache misses are not known")
    charts.save(r.path("stat.svg"), charts.bars(
        "Time of the run", [("elapsed s", r.seconds), ("CPU s", cpu)], lambda v: "%.3f" % v))
    r.picture("stat.svg")
    r.write()


main()
