#!/usr/bin/python3
# gen.py - what the build reads from a configuration: the C header, the make fragment and the run
# profile canp.conf. The stock generator is not used because it would put the run options into the
# header, and every change of the profile would then rebuild everything.
#
# usage: gen.py [--config FILE] --header H --conf MK --profile CONF
import argparse
import os
import sys

import kconfiglib

RUN = "CANP_RT_"


def write_if_changed(path, text):
    try:
        with open(path) as f:
            if f.read() == text:
                return
    except FileNotFoundError:
        pass
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path + ".new", "w") as f:
        f.write(text)
    os.replace(path + ".new", path)


def build_symbols(kconf):
    return [s for s in kconf.unique_defined_syms if not s.name.startswith(RUN)]


def header(kconf):
    out = ["/* Generated from the configuration; do not edit. */"]
    for sym in build_symbols(kconf):
        value = sym.str_value
        if sym.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE):
            if value != "n":
                out.append("#define CONFIG_%s 1" % sym.name)
        elif sym.orig_type == kconfiglib.STRING:
            out.append('#define CONFIG_%s "%s"' % (sym.name, kconfiglib.escape(value)))
        elif value:
            out.append("#define CONFIG_%s %s" % (sym.name, value))
    return "\n".join(out) + "\n"


def fragment(kconf):
    out = ["# Generated from the configuration; do not edit."]
    for sym in build_symbols(kconf):
        if sym.str_value not in ("", "n"):
            out.append("CONFIG_%s := %s" % (sym.name, sym.str_value))
    return "\n".join(out) + "\n"


def run_options(kconf):
    """Yields (key, value, default, help) in menu order; the prompt of a symbol is the key."""
    for node in kconf.node_iter():
        item = node.item
        if (isinstance(item, (kconfiglib.Symbol, kconfiglib.Choice))
                and not kconfiglib.expr_value(item.direct_dep)):
            continue  # of something that is not built
        if isinstance(item, kconfiglib.Choice) and (item.name or "").startswith(RUN):
            value = item.selection.nodes[0].prompt[0]
            default = item.defaults[0][0].nodes[0].prompt[0]
        elif (isinstance(item, kconfiglib.Symbol) and item.name.startswith(RUN)
              and item.choice is None):
            value, default = item.str_value, item.defaults[0][0].str_value
            if item.orig_type == kconfiglib.BOOL:
                value, default = ["yes" if v == "y" else "no" for v in (value, default)]
        else:
            continue
        yield node.prompt[0], value, default, node.help or ""


def profile(kconf):
    out = ["# Run profile of canp-appliance, written from the configuration. An option that has",
           "# its default is commented out. CANP_* variables and the command line override this.",
           "[global]"]
    for key, value, default, text in run_options(kconf):
        out.append("")
        out += ["# " + line for line in text.splitlines()]
        out.append("%s%s = %s" % ("# " if value == default else "", key, value))
    return "\n".join(out) + "\n"


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--kconfig", default="kconfig/Kconfig")
    ap.add_argument("--config")
    ap.add_argument("--header", required=True)
    ap.add_argument("--conf", required=True)
    ap.add_argument("--profile", required=True)
    args = ap.parse_args()
    kconf = kconfiglib.Kconfig(args.kconfig, warn_to_stderr=False)
    kconf.warn_assign_undef = True
    if args.config:
        kconf.load_config(args.config)
    write_if_changed(args.header, header(kconf))
    write_if_changed(args.profile, profile(kconf))
    write_if_changed(args.conf, fragment(kconf))
    # The fragment is the make target: it has to be newer than the configuration.
    os.utime(args.conf)
    for warning in kconf.warnings:
        print(warning, file=sys.stderr)


main()
