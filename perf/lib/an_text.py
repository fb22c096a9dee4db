#!/usr/bin/env python3
"""an_text.py DIR FILE: a report whose body is what perf itself printed."""
import sys

import report

r = report.Report(sys.argv[1])
text = report.read(r.path(sys.argv[2])).splitlines()
r.result = {"text": sys.argv[2], "lines": len(text)}
for line in text[:200]:
    r.line("%s", line)
r.write()
