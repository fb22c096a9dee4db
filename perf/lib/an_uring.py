#!/usr/bin/env python3
"""an_uring.py DIR: operations, latencies, batches and kernel workers of io_uring."""
import collections
import sys

import charts
import records
import report

# Operations that Linux always gives to a worker, whatever the caller does.
ALWAYS = {"FSYNC", "FTRUNCATE", "RENAMEAT", "UNLINKAT", "STATX", "FALLOCATE", "MKDIRAT", "LINKAT"}


def main():
    r = report.Report(sys.argv[1])
    open_, ops, punts, lat = {}, collections.Counter(), collections.Counter(), {}
    batches, seen, depth_max = [], collections.Counter(), 0
    rings, workers = set(), set()
    for s in records.records(r.path("uring.data")):
        mine = s.pid == r.head["pid"]
        seen[s.name] += mine
        req = records.pair(s, "req") or records.pair(s, "request")
        if s.name == "io_uring_submit_req" and mine:
            op = records.pair(s, "opcode")
            rings.add(records.pair(s, "ring"))
            ops[op] += 1
            open_[req] = (op, s.at)
            depth_max = max(depth_max, len(open_))
        elif s.name == "io_uring_queue_async_work" and req in open_:
            punts[open_[req][0]] += 1
        elif s.name == "io_uring_complete" and req in open_:
            op, since = open_.pop(req)
            lat.setdefault(op, []).append(s.at - since)
            if s.comm.startswith("iou-"):
                workers.add(s.tid)
        elif s.name == "sys_enter_io_uring_enter" and mine:
            batches.append(int(records.pair(s, "to_submit") or "0", 16))
    total = sum(ops.values())
    odd = sum(n for op, n in punts.items() if op not in ALWAYS)
    filled = [b for b in batches if b]
    r.result = {
        "operations": total, "per_second": total / r.seconds if r.seconds else 0,
        "rings": len(rings), "enters": len(batches), "submitted_per_enter":
            report.percentiles(filled), "depth_max": depth_max,
        "opcodes": {op: {"n": n, "punted": punts[op],
                         "latency_ns": report.percentiles(lat.get(op, []))}
                    for op, n in ops.most_common()},
        "punted": sum(punts.values()), "punted_avoidable": odd,
        "overflows": seen["io_uring_cqe_overflow"], "short_writes": seen["io_uring_short_write"],
    }
    if not total:
        r.line("no operation through io_uring (--ring=sync, or the process did no I/O)")
        r.write()
        return
    r.line("%d operations (%.0f/s) on %d rings, %d io_uring_enter, %.1f operations in one that "
           "submits, at most %d under way", total, r.result["per_second"], len(rings),
           len(batches), sum(filled) / len(filled) if filled else 0, depth_max)
    r.line("%d went to kernel workers, %d of them not by their nature; %d overflows, %d short "
           "writes", r.result["punted"], odd, r.result["overflows"], r.result["short_writes"])
    r.line()
    rows = []
    for op, n in ops.most_common():
        p = report.percentiles(lat.get(op, []))
        rows.append((op, n, punts[op]) + tuple(
            report.duration(p[k]) if p else "-" for k in ("p50", "p99", "max")))
    r.table(rows, ("operation", "%s"), ("n", "%d"), ("workers", "%d"), ("p50", "%s"),
            ("p99", "%s"), ("max", "%s"))
    if r.result["overflows"]:
        r.hint("the completion queue overflowed: a slow path of the kernel")
    if odd > total / 20:
        r.hint("%.0f %% of the operations fell to kernel workers that need not: files that grow, "
               "or a file system that blocks" % (100 * odd / total))
    read = lat.get("READ_FIXED") or lat.get("READ") or sum(lat.values(), [])
    charts.save(r.path("uring.svg"), charts.bars(
        "io_uring: time from submission to completion of reads (operations)",
        charts.log2_rows(read, report.duration)))
    r.picture("uring.svg")
    r.write()


main()
