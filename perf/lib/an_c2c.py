#!/usr/bin/env python3
"""an_c2c.py DIR: the cache lines that cores take from one another, and whose code it is.

Reads c2c.txt, what perf c2c report prints: totals as "name : number", the table of the lines under
"Shared Data Cache Line Table", and for each line of it a block of accesses under "... Pareto". A HITM
is a load whose line another core had changed and still held.
"""
import re
import sys

import charts
import report

ACCESS = re.compile(r"\s+([\d.]+)%\s+([\d.]+)%\s.*?(0x[0-9a-f]+)\s.*\[[.\w]\] (.*?)\s{2,}(\S+)(?:\s+(\S+))?")


def parts(text):
    """{title: lines below it} of the report; titles stand between lines of ===."""
    out, lines = {}, text.splitlines()
    for i in range(len(lines) - 2):
        if lines[i].startswith("=====") and lines[i + 2].startswith("====="):
            out[lines[i + 1].strip()] = below = []
            for line in lines[i + 3:]:
                if line.startswith("====="):
                    break
                below.append(line)
    return out


def totals(lines):
    found = (re.fullmatch(r"\s*(.*?)\s*:\s*([\d.]+)%?", x) for x in lines)
    return {m[1]: float(m[2]) for m in found if m}


def shared_lines(lines):
    """The table, a dict for each line; the first "Total" of perf's columns is the number of HITMs."""
    names, out = [], []
    for line in lines:
        if re.match(r"#\s*Index", line):
            names = re.split(r"\s{2,}", line.lstrip("# ").strip())
        cells = line.split()
        if not names or not cells or not cells[0].isdigit() or len(cells) != len(names):
            continue
        row = {}
        for name, cell in zip(names, cells):
            row.setdefault(name, cell)
        out.append({"address": row["Address"], "percent": float(row.get("Hitm", "0").rstrip("%")),
                    "local_hitm": int(row["LclHitm"]), "remote_hitm": int(row["RmtHitm"]),
                    "loads": int(row["Loads"]), "stores": int(row["Stores"]), "accesses": []})
    return out


def accesses(lines, table):
    """Adds to each line of the table who touches it, those with most HITMs first."""
    at = None
    for line in lines:
        head = re.match(r"\s+(\d+)\s+\d+\s.*\s0x[0-9a-f]+\s*$", line)
        if head:
            at = table[int(head[1])] if int(head[1]) < len(table) else None
        m = ACCESS.match(line)
        if m and at:
            remote, local = at["remote_hitm"], at["local_hitm"]
            hitm = (float(m[1]) * remote + float(m[2]) * local) / (remote + local or 1)
            a = {"function": m[4].strip(), "object": m[5], "where": m[6], "offset": int(m[3], 16)}
            # Several instructions of one line of source are one access here.
            same = [x for x in at["accesses"] if dict(x, percent=0) == dict(a, percent=0)]
            if not same:
                at["accesses"].append(dict(a, percent=0.0))
            (same or at["accesses"][-1:])[0]["percent"] += hitm
    for x in table:
        x["accesses"].sort(key=lambda a: -a["percent"])


def hints(r, hitm, loads, table):
    if loads and 100 * hitm / loads >= 1:
        top = table[0] if table else {"accesses": []}
        offsets = {a["offset"] for a in top["accesses"]}
        if len(offsets) > 1:
            r.hint("the first line is used at %d different offsets: what different cores write "
                   "should have lines of their own" % len(offsets))
        elif offsets:
            r.hint("the first line is used at one offset: the value itself is shared; write it "
                   "less often, or one for each core")
    if any(x["remote_hitm"] for x in table):
        r.hint("lines travel between nodes: keep the threads that share them on one")


def main():
    r = report.Report(sys.argv[1])
    p = parts(report.read(r.path("c2c.txt")))
    t = totals(p.get("Trace Event Information", []))
    if "Total records" not in t:
        sys.exit("c2c.txt has no totals")
    table = shared_lines(p.get("Shared Data Cache Line Table", []))
    accesses(p.get("Shared Cache Line Distribution Pareto", []), table)
    loads = int(t.get("Load Operations", 0))
    hitm = {k: int(t.get("Load %s HITM" % k, 0)) for k in ("Local", "Remote")}
    both = sum(hitm.values())
    r.result = {"records": int(t["Total records"]), "loads": loads,
                "stores": int(t.get("Store Operations", 0)), "local_hitm": hitm["Local"],
                "remote_hitm": hitm["Remote"],
                "hitm_percent_of_loads": 100 * both / loads if loads else 0, "lines": table}
    if not both:
        r.line("Cores do not fight for cache lines: none of %d loads found one changed elsewhere.",
               loads)
    else:
        r.line("%.1f %% of %d loads found their line changed by another core (%d here, %d on "
               "another node).", 100 * both / loads if loads else 0, loads, hitm["Local"],
               hitm["Remote"])
    for x in table[:8]:
        r.line()
        r.line("%s: %.1f %% of them, %d loads, %d stores", x["address"], x["percent"], x["loads"],
               x["stores"])
        for a in x["accesses"][:4]:
            r.line("  offset %-3d %5.1f %%  %s (%s)%s", a["offset"], a["percent"], a["function"],
                   a["object"], " " + a["where"] if a["where"] else "")
    hints(r, both, loads, table)
    if table:
        charts.save(r.path("c2c.svg"), charts.bars(
            "Lines that cores take from one another",
            [("%s %s" % (x["address"], x["accesses"][0]["function"] if x["accesses"] else ""),
              x["local_hitm"] + x["remote_hitm"]) for x in table[:20]]))
        r.picture("c2c.svg")
    r.line()
    r.line("c2c.txt has the tables as perf shows them.")
    r.write()


if __name__ == "__main__":
    main()
