#!/usr/bin/env python3
"""an_syscalls.py DIR: system calls by name: how often, how long, how many failed."""
import glob
import json
import platform
import re
import sys

import charts
import records
import report

CALL = re.compile(r"NR (\d+) (?:\(|= (-?\d+))")
# Used when the machine has no C headers; x86-64.
USUAL = {0: "read", 1: "write", 3: "close", 9: "mmap", 11: "munmap", 12: "brk", 17: "pread64",
         28: "madvise", 202: "futex", 230: "clock_nanosleep", 257: "openat", 281: "epoll_pwait",
         425: "io_uring_setup", 426: "io_uring_enter", 427: "io_uring_register"}


def names():
    out = dict(USUAL) if platform.machine() == "x86_64" else {}
    for path in glob.glob("/usr/include/*/asm/unistd_64.h") + ["/usr/include/asm/unistd_64.h",
                                                              "/usr/include/asm-generic/unistd.h"]:
        for line in report.read(path).splitlines():
            m = re.match(r"#define __NR_(\w+)\s+(\d+)$", line)
            if m:
                out[int(m[2])] = m[1]
        if len(out) > len(USUAL):
            break
    return out


def collect(data):
    """{name: [calls, errors, total ms, longest ms]}"""
    calls, open_, name = {}, {}, names()
    for s in records.records(data):
        m = CALL.search(s.rest)
        if not m:
            continue
        if s.name == "sys_enter":
            c = calls.setdefault(name.get(int(m[1]), "call %s" % m[1]), [0, 0, 0.0, 0.0])
            c[0] += 1
            open_[s.tid] = (c, s.at)
        elif s.tid in open_ and m[2]:
            c, since = open_.pop(s.tid)
            ms = (s.at - since) / 1e6
            c[1] += -4096 < int(m[2]) < 0
            c[2] += ms
            c[3] = max(c[3], ms)
    return calls


def main():
    r = report.Report(sys.argv[1])
    calls = collect(r.path("syscalls.data"))
    io = json.loads(report.read(r.path("watch.json"), "{}") or "{}")
    moved = io.get("read_bytes", 0) + io.get("write_bytes", 0)
    moved = moved or io.get("rchar", 0) + io.get("wchar", 0)
    total = sum(c[0] for c in calls.values())
    r.result = {"calls": total, "io": io, "mib_moved": moved / (1 << 20),
                "calls_per_mib": total / (moved / (1 << 20)) if moved else None,
                "syscalls": {k: {"n": c[0], "errors": c[1], "total_ms": c[2], "max_ms": c[3]}
                             for k, c in calls.items()}}
    r.line("%d system calls in %.2f s%s", total, r.seconds,
           ", %.1f for each of %.0f MiB read and written" % (
               r.result["calls_per_mib"], moved / (1 << 20)) if moved else "")
    r.line()
    top = sorted(calls.items(), key=lambda i: -i[1][0])
    r.table([(k, c[0], c[1], c[2], c[3]) for k, c in top[:25]], ("call", "%s"), ("n", "%d"),
            ("errors", "%d"), ("total ms", "%.2f"), ("max ms", "%.3f"))
    charts.save(r.path("syscalls.svg"), charts.bars(
        "System calls by number", [(k, c[0]) for k, c in top[:20]], lambda v: "%d" % v))
    r.picture("syscalls.svg")
    r.write()


main()
