#!/usr/bin/env python3
"""an_blk.py DIR: size, latency and depth of block requests, by device and direction."""
import collections
import re
import sys

import charts
import records
import report

RQ = re.compile(r"(?P<dev>\d+,\d+) (?P<rw>\S+) (?:(?P<bytes>\d+) )?\(.*?\) (?P<at>\d+) \+ (?P<n>\d+)")


def main():
    r = report.Report(sys.argv[1])
    open_ = {}
    lat, sizes = collections.defaultdict(list), collections.defaultdict(list)
    depth = []
    for s in records.records(r.path("blk.data")):
        m = RQ.search(s.rest)
        if not m:
            continue
        key = (m["dev"], m["at"])
        if s.name == "block_rq_issue":
            open_[key] = (m["rw"], s.at, int(m["bytes"] or 0) or int(m["n"]) * 512)
            depth.append(len(open_))
        elif key in open_:
            rw, since, n = open_.pop(key)
            kind = "read" if "R" in rw else "discard" if "D" in rw else \
                "flush" if rw.startswith("F") and "W" not in rw else "write"
            lat[kind].append(s.at - since)
            sizes[kind].append(n)
    r.result = {"requests": sum(map(len, lat.values())), "depth": report.percentiles(depth),
                "kinds": {k: {"bytes": sum(sizes[k]), "latency_ns": report.percentiles(lat[k]),
                              "size": report.percentiles(sizes[k]),
                              "bytes_per_second": sum(sizes[k]) / r.seconds if r.seconds else 0}
                          for k in lat}}
    r.line("%d requests of the whole machine, %.1f under way on average", r.result["requests"],
           sum(depth) / len(depth) if depth else 0)
    for k in sorted(lat):
        r.line()
        r.line("%s: %s, %s/s", k, report.size(sum(sizes[k])),
               report.size(sum(sizes[k]) / r.seconds if r.seconds else 0))
        r.percent_line("latency", report.percentiles(lat[k]))
        r.percent_line("size", report.percentiles(sizes[k]), report.size)
    if not lat:
        r.hint("no block request: the data came from the page cache or another kind of storage")
    charts.save(r.path("blk.svg"), charts.bars(
        "Block requests: time from issue to completion (requests)",
        charts.log2_rows(sum(lat.values(), []), report.duration)))
    r.picture("blk.svg")
    r.write()


main()
