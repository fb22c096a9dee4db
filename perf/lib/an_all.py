#!/usr/bin/env python3
"""an_all.py DIR: one page over the reports of several scripts on the same run."""
import html
import json
import os
import re
import sys

import flamegraph
import report

ABOUT = {
    "read": "asking the disk through the ring", "inflate": "decompressing members",
    "crc": "checksums", "decode": "finding frames and grouping them by message",
    "extract": "raw bits of the signals", "encode": "packing columns, pages, dictionaries, footers",
    "write": "placing page runs into files", "start": "reading databases, making arenas",
    "runtime": "the reactor itself: turns, lanes, timers", "other": "what no stage claims",
}
TITLE = {
    "flame": "CPU time by function", "offcpu": "Waiting", "sched": "Getting a CPU",
    "uring": "io_uring", "blk": "Disks", "lock": "Locks", "faults": "Page faults",
    "syscalls": "System calls", "stat": "Counters", "usdt": "Probes of the program",
    "mem": "Slow memory accesses", "c2c": "Shared cache lines", "topdown": "CPU slots",
}
STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1220px;padding:0 1em;
color:#222;background:#fff}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-top:1px solid
#ddd;padding-top:1em}pre{background:#f6f6f6;padding:.8em;overflow:auto;font-size:12.5px}
.bar{display:flex;height:2.2em;margin:.6em 0}.bar div{overflow:hidden;white-space:nowrap;
font-size:12.5px;padding:.4em .3em;box-sizing:border-box}table{border-collapse:collapse}
td,th{padding:.15em .9em .15em 0;text-align:left}td.n{text-align:right}object,img{width:100%}
.v{background:#fff7df;padding:.6em 1em;border-left:4px solid #e0b030}code{word-break:break-all}"""


def reactors(sched):
    """Threads that do the work: the reactors of the appliance, else all that ran much."""
    t = sched.get("threads", {})
    out = {k: v for k, v in t.items() if re.fullmatch(r"canp-\d+", k)}
    most = max([v["run_seconds"] for v in t.values()] or [0])
    return out or {k: v for k, v in t.items() if v["run_seconds"] > most / 2}


def verdict(r, d):
    """Sentences: what limited the run, from the strongest evidence on."""
    out = []
    sched, flame = d.get("sched", {}).get("result", {}), d.get("flame", {}).get("result", {})
    t = reactors(sched)
    stages = flame.get("stages", {})
    work = [s for s in stages if s not in ("other", "runtime", "start")]
    if t and r.seconds:
        n = len(t)
        run = sum(v["run_seconds"] for v in t.values()) / n / r.seconds
        wait = sum(v["wait_seconds"] for v in t.values()) / n / r.seconds
        out.append("Its %d working thread%s ran %.0f %% of the time, %.0f %% they could have run "
                   "but had no CPU, %.0f %% they slept." % (
                       n, "" if n == 1 else "s", 100 * run, 100 * wait,
                       max(0, 100 * (1 - run - wait))))
        if wait > .15:
            out.append("Other work shares the CPUs: the run would take about %.0f %% less time "
                       "alone." % (100 * wait))
        if run > .8:
            out.append("The CPU is the limit.")
        elif run + wait < .6:
            out.append("The CPU is not the limit: the threads waited for something else, "
                       "most likely for the disk or for the end of publishing.")
    if work:
        out.append("Most CPU time went into %s (%.0f %%)." % (work[0], stages[work[0]]["percent"]))
    ring = d.get("uring", {}).get("result", {})
    reads = ring.get("opcodes", {}).get("READ_FIXED") or ring.get("opcodes", {}).get("READ")
    if reads and reads["latency_ns"]:
        out.append("A read through the ring took %s (median), %s at the 99th percentile." % (
            report.duration(reads["latency_ns"]["p50"]),
            report.duration(reads["latency_ns"]["p99"])))
    return out


def stage_bar(flame):
    stages = flame.get("stages", {})
    out = ['<div class="bar">']
    for s, v in stages.items():
        out.append('<div title="%s %.1f %%" style="width:%.2f%%;background:%s">%s</div>' % (
            s, v["percent"], v["percent"], flamegraph.hex_color(*flamegraph.STAGE_HUE[s]), s))
    out.append("</div><table><tr><th>stage<th>CPU time<th>seconds<th>what it does</tr>")
    for s, v in stages.items():
        out.append('<tr><td>%s<td class="n">%.1f %%<td class="n">%.3f<td>%s</tr>' % (
            s, v["percent"], flame["cpu_seconds"] * v["percent"] / 100, ABOUT.get(s, "")))
    out.append("</table>")
    return out


def section(folder, name, doc):
    out = ['<h2 id="%s">%s</h2><p>%s</p>' % (name, TITLE.get(name, name),
                                           html.escape(doc["question"]))]
    for p in doc["pictures"]:
        # An object runs the picture's script (zoom, search), an img does not.
        out.append('<p><object type="image/svg+xml" data="%s/%s">%s</object><br>'
                   '<a href="%s/%s">%s alone</a></p>' % (name, p, p, name, p, p))
    out += ['<p class="v">%s</p>' % html.escape(h) for h in doc["hints"]]
    text = report.read(os.path.join(folder, name, "report.txt"))
    body = text.split("\n\n", 1)
    out.append("<details><summary>numbers</summary><pre>%s</pre></details>"
               % html.escape(body[-1]))
    return out


def page(r, docs, skipped, story):
    flame = docs.get("flame", {}).get("result", {})
    out = ["<!doctype html><html lang=en><meta charset=utf-8>",
           "<title>Where the time went</title><style>%s</style>" % STYLE,
           "<h1>Where the time of this run went</h1>"]
    if r.head["command"]:
        out.append("<p><code>%s</code></p>" % html.escape(" ".join(r.head["command"])))
    out.append('<p class="v">%s</p>' % "<br>".join(map(html.escape, story)))
    if flame.get("stages"):
        out += stage_bar(flame)
    out.append("<p>%s</p>" % " · ".join('<a href="#%s">%s</a>' % (n, TITLE.get(n, n))
                                        for n in docs))
    for name, doc in docs.items():
        out += section(r.dir, name, doc)
    if skipped:
        out.append("<h2>Not measured here</h2><table>")
        out += ["<tr><td>%s<td>%s</tr>" % (n, html.escape(why)) for n, why in skipped.items()]
        out.append("</table>")
    m = report.machine()
    out.append("<h2>Machine</h2><p>%s, %d CPUs, Linux %s. %d watchers ran beside the run and cost "
               "it time; a figure that matters is measured with canp-bench.</p></html>" % (
                   html.escape(m["cpu"]), m["cpus"], m["kernel"], len(docs)))
    return "\n".join(out) + "\n"


def main():
    r = report.Report(sys.argv[1])
    docs, skipped = {}, {}
    for line in report.read(r.path("scripts.tsv")).splitlines():
        name, rc, why = (line.split("\t") + [""])[:3]
        text = report.read(r.path(name + "/report.json"))
        if text and rc == "0":
            docs[name] = json.loads(text)
        else:
            skipped[name] = re.sub(r"^perf/\S+: (not supported here: )?", "", why) or "exit " + rc
    flame = docs.get("flame", {}).get("result", {})
    story = ["The run took %.2f s%s." % (r.seconds, ", and %.2f s of CPU time (%.2f cores)" % (
        flame["cpu_seconds"], flame["cpu_seconds"] / r.seconds)
        if flame and r.seconds else "")] + verdict(r, docs)
    r.result = {"scripts": {n: d["result"] for n, d in docs.items()}, "skipped": skipped,
                "story": story}
    for s in story:
        r.line(s)
    if flame.get("stages"):
        r.line()
        r.table([(s, v["percent"], flame["cpu_seconds"] * v["percent"] / 100, ABOUT.get(s, ""))
                 for s, v in flame["stages"].items()],
                ("stage", "%s"), ("%", "%.1f"), ("CPU s", "%.3f"), ("", "%s"))
    r.line()
    for n, why in skipped.items():
        r.line("not measured: %-8s %s", n, why)
    r.hints = ["%s: %s" % (n, h) for n, d in docs.items() for h in d["hints"]]
    with open(r.path("index.html"), "w") as f:
        f.write(page(r, docs, skipped, story))
    r.picture("index.html")
    r.write()


main()
