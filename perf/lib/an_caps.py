#!/usr/bin/env python3
"""an_caps.py FOUND DIR: what caps found, as caps.txt and caps.json."""
import json
import os
import sys

import report

features, tools = {}, {}
with open(sys.argv[1]) as f:
    for line in f:
        kind, name, value, text = line.rstrip("\n").split("\t", 3)
        if kind == "feature":
            features[name] = {"available": value == "yes", "why": text or None}
        else:
            tools[name] = {"available": value == "0", "degraded": " instead of " in text,
                           "text": text}
doc = {"tool": "caps", "machine": report.machine(), "features": features, "tools": tools,
       "settings": {k: report.read("/proc/sys/kernel/" + k) or None
                    for k in ("perf_event_paranoid", "kptr_restrict", "perf_event_mlock_kb")}}
with open(os.path.join(sys.argv[2], "caps.json"), "w") as f:
    json.dump(doc, f, indent=1)
    f.write("\n")
with open(os.path.join(sys.argv[2], "caps.txt"), "w") as f:
    f.write("kernel %s, %s CPUs, %s\n\n" % tuple(doc["machine"].values()))
    for name, v in tools.items():
        word = "no" if not v["available"] else "degraded" if v["degraded"] else "yes"
        f.write("perf/%-9s %-9s %s\n" % (name, word, v["text"]))
    f.write("\n")
    for name, v in features.items():
        f.write("%-36s %-4s %s\n" % (name, "yes" if v["available"] else "no", v["why"] or ""))
