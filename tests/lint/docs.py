#!/usr/bin/env python3
"""docs.py CC MAP HEADER...: every function that MAP exports is described where a header that HEADER
reaches declares it: by a comment right above it or above its group (declarations without an empty
line between them), or at the end of its line. Prints "header: function" for each that is not."""
import re
import subprocess
import sys


def described(lines, at):
    end = at
    while end < len(lines) - 1 and ";" not in lines[end]:
        end += 1
    if any("/*" in text for text in lines[at:end + 1]):
        return True
    while at >= 0 and lines[at].strip():
        if "*/" in lines[at]:
            return True
        at -= 1
    return False


def main():
    cc, exports, tops = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(exports, encoding="utf-8") as f:
        names = [n for n in re.findall(r"^\t(\w+);", f.read(), re.M)]
    deps = subprocess.run([cc, "-MM", "-I.", *tops], capture_output=True, text=True, check=True).stdout
    where = {}
    for header in sorted(set(re.findall(r"\S+\.h\b", deps))):
        with open(header, encoding="utf-8") as f:
            lines = f.read().split("\n")
        for at, line in enumerate(lines):
            m = re.match(r"^(?:[A-Za-z][\w *]*?\b(\w+)\(|extern [\w *]*?\b(\w+)[\[;])", line)
            name = m and (m.group(1) or m.group(2))
            if name in names and name not in where:
                where[name] = (header, described(lines, at))
    for name in names:
        header, good = where.get(name, ("no header", False))
        if not good:
            print(f"{header}: {name}")
    sys.exit("docs.py: the map is empty" if not names else None)


main()
