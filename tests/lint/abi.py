#!/usr/bin/python3
# abi.py - what the public headers (io/canp.h, what it includes, and PLUS) promise, read by the compiler
# itself: prototypes from gcc's -aux-info, layouts and enumerators from debug information.
#
# usage: abi.py map     the version script of libcanp.so
#        abi.py table   one line per function, variable, struct, field and enumerator
#        abi.py check MAP TABLE   says what disagrees; nothing: all well
import os
import re
import subprocess
import sys
import tempfile

VERSION = "CANP_0.1"
PLUS = ["core/process/process_pool.h"]
CC = os.environ.get("CC", "gcc").split()


def compile_header(tmp):
    """Compiles a program that is nothing but the header; returns (aux-info, debug dump)."""
    src, aux, obj = [os.path.join(tmp, n) for n in ("x.c", "x.aux", "x.o")]
    with open(src, "w") as f:
        f.writelines('#include "%s"\n' % h for h in ["io/canp.h"] + PLUS)
    subprocess.run(CC + ["-std=gnu11", "-I.", "-O0", "-gdwarf-4", "-fno-eliminate-unused-debug-types",
                         "-aux-info", aux, "-c", "-o", obj, src], check=True)
    dump = subprocess.run(["readelf", "--debug-dump=info", "--wide", obj], check=True,
                          capture_output=True, text=True).stdout
    with open(aux) as f:
        return f.read(), dump


def functions(aux):
    """name -> prototype of what a header of ours declares and does not define."""
    out = {}
    for path, text in re.findall(r"^/\* (?:\./)?([^:]+):\d+:\w+ \*/ extern (.*);", aux, re.M):
        if path.startswith("/"):
            continue  # the system's
        name = re.search(r"(\w+) \(", text).group(1)
        out[name] = re.sub(r"\s+", " ", text)
    return out


def variables():
    """name -> declaration of `extern` objects; inline functions use them."""
    out = {}
    deps = subprocess.run(CC + ["-MM", "-I.", "io/canp.h"] + PLUS, check=True, capture_output=True,
                          text=True).stdout
    for path in re.findall(r"\S+\.h", deps):
        with open(path) as f:
            for text in re.findall(r"^extern ([^\"(;]*);", f.read(), re.M):
                out[re.search(r"(\w+)(\[.*\])?$", text).group(1)] = text
    return out


def entries(dump):
    """Debug information as (depth, tag, attributes) in order."""
    cur = None
    for line in dump.splitlines():
        m = re.match(r" *<(\w+)><(\w+)>: Abbrev Number: \d+ \(DW_TAG_(\w+)\)", line)
        if m:
            if cur:
                yield cur
            cur = (int(m.group(1), 16), m.group(3), {})
            continue
        m = re.match(r" *<\w+> +DW_AT_(\w+) *: (?:\(.*?\): |\(.*?\) )?(.*)", line)
        if m and cur:
            cur[2][m.group(1)] = m.group(2).strip()
    if cur:
        yield cur


def layouts(dump):
    out, stack = [], []
    for depth, tag, at in entries(dump):
        del stack[depth:]
        name = at.get("name", "")
        path = ".".join(s for s in stack if s)
        if tag in ("structure_type", "union_type") and "byte_size" in at:
            if name.startswith("canp_"):
                out.append("%s %s size %d" % (tag[:-5], name, int(at["byte_size"], 0)))
        elif tag == "member" and path.startswith("canp_"):
            out.append("field %s.%s at %d" % (path, name, int(at.get("data_member_location", "0"), 0)))
        # How many there are (.._NR, .._NR_..) grows with what is added.
        elif tag == "enumerator" and re.match(r"CANP_(?!.*_NR(_|$))", name):
            out.append("enumerator %s = %d" % (name, int(at["const_value"], 0)))
        stack += [""] * (depth - len(stack)) + [name if tag in ("structure_type", "union_type") else ""]
    return out


def collect():
    with tempfile.TemporaryDirectory() as tmp:
        aux, dump = compile_header(tmp)
    funcs, objs = functions(aux), variables()
    table = ["function " + p for p in funcs.values()] + ["variable " + p for p in objs.values()]
    return sorted(set(funcs) | set(objs)), sorted(set(table + layouts(dump)))


def map_text(names):
    return ("# What libcanp.so exports: generated from the public headers by `make abi`.\n"
            "%s {\nglobal:\n%s\nlocal:\n\t*;\n};\n" % (VERSION, "\n".join("\t%s;" % n for n in names)))


def main():
    names, table = collect()
    if sys.argv[1] == "map":
        sys.stdout.write(map_text(names))
    elif sys.argv[1] == "table":
        print("\n".join(table))
    else:
        have = set(re.findall(r"^\t(\w+);", open(sys.argv[2]).read(), re.M))
        for n in sorted(set(names) - have):
            print(n, "is declared in a public header and not exported: make abi")
        for n in sorted(have - set(names)):
            print(n, "is exported and not declared in a public header")
        for line in open(sys.argv[3]).read().splitlines():
            if line not in table:
                print("version 1 promised:", line)


main()
