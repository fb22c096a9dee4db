#!/usr/bin/env python3
"""an_lock.py DIR: waits for kernel locks and in futex calls, by kind and by stack."""
import collections
import re
import sys

import flamegraph
import fold
import records
import report

WAIT_OPS = {0, 9, 6, 11, 13}  # FUTEX_WAIT, WAIT_BITSET, LOCK_PI, WAIT_REQUEUE_PI, LOCK_PI2


def main():
    r = report.Report(sys.argv[1])
    stages = fold.Stages()
    begun, futex = {}, {}
    waits, folded = collections.defaultdict(list), collections.Counter()
    calls = 0

    def over(kind, frames, ns):
        waits[kind].append(ns)
        folded[";".join(["(%s)" % kind] + stages.mark(frames[::-1]))] += max(1, round(ns / 1000))

    for s in records.records(r.path("lock.data"), stacks=True):
        if s.name == "contention_begin":
            m = re.search(r"flags=(\S+?)\)", s.rest)
            begun[s.tid] = (m[1].lower() if m else "lock", s.frames, s.at)
        elif s.name == "contention_end" and s.tid in begun:
            kind, frames, since = begun.pop(s.tid)
            over(kind, frames, s.at - since)
        elif s.name == "sys_enter_futex":
            calls += 1
            op = int(records.pair(s, "op") or "0", 16) & 0x7f
            if op in WAIT_OPS:
                futex[s.tid] = (s.frames, s.at)
        elif s.name == "sys_exit_futex" and s.tid in futex:
            frames, since = futex.pop(s.tid)
            over("futex", frames, s.at - since)
    fold.write(folded, r.path("folded.txt"))
    kernel = sum(len(v) for k, v in waits.items() if k != "futex")
    hot = sum(n for k, n in folded.items()
              if fold.Stages.last(k.split(";")) in ("inflate", "decode", "extract", "encode", "crc"))
    r.result = {"kernel_lock_waits": kernel, "futex_calls": calls,
                "hot_path_wait_seconds": hot / 1e6,
                "kinds": {k: {"seconds": sum(v) / 1e9, "wait_ns": report.percentiles(v)}
                          for k, v in waits.items()}}
    r.line("%d waits for locks of the kernel, %d futex calls (%d of them waits) in %.2f s",
           kernel, calls, len(waits.get("futex", [])), r.seconds)
    r.line("%.3f ms of waiting below inflate, decode, extract and encode", hot / 1e3)
    r.line()
    for k in sorted(waits, key=lambda k: -sum(waits[k])):
        r.percent_line(k, report.percentiles(waits[k]))
    if folded:
        with open(r.path("lock.svg"), "w") as f:
            f.write(flamegraph.svg(folded, "Where threads wait for locks", "microseconds", "us"))
        r.picture("lock.svg")
    r.write()


main()
