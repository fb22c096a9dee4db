#!/bin/sh
# kconfig.sh: the configuration tree is complete and honest: every symbol has a prompt, a help text
# and, if a number, a range; the help of build choices says the effect and when to change it; every run option of the profile has a symbol and the other way round;
# every configuration loads without a warning, holds only what differs from the defaults, and comes
# back the same through savedefconfig; a value that is out of range or unknown is told.
# Usage: kconfig.sh ROWS   (the generator built from kconfig/rows.c)
lint=kconfig
. tests/lint/lib.sh
rows=$1

py=
for p in $CANP_PYTHON /usr/bin/python3 python3; do
	"$p" -c 'import kconfiglib' 2>/dev/null && { py=$p; break; }
done
if [ -z "$py" ]; then
	echo "  SKIP: python3-kconfiglib not found: configurations not checked"
	lint_end
	exit
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

gen() {
	$py kconfig/gen.py --config "$1" --header "$tmp/h" --conf "$tmp/mk" --profile "$tmp/conf" 2>&1
}

"$rows" profile | sort >"$tmp/options"
cat >"$tmp/complete.py" <<'PY'
import sys
import kconfiglib

k = kconfiglib.Kconfig("kconfig/Kconfig", warn_to_stderr=False)
for w in k.warnings:
    print(w)
for s in k.unique_defined_syms + k.unique_choices:
    n = s.nodes[0]
    name = s.name or "a choice without a name"
    if not n.prompt:
        print(name, "has no prompt")
    if not n.help:
        print(name, "has no help")
    if s.orig_type == kconfiglib.INT and not s.ranges:
        print(name, "has no range")
    # A choice of the build is made once, by somebody who reads this text and no other.
    if not name.startswith("CANP_RT_") and not (
            "Effect: " in (n.help or "") and "When to change: " in (n.help or "")):
        print(name, "does not say its effect and when to change it")
    if not s.name.startswith("CANP_"):
        print(name, "does not begin with CANP_")
# Run options: the prompt is the key in canp.conf.
keys = [s.nodes[0].prompt[0] for s in k.unique_choices + k.unique_defined_syms
        if (s.name or "").startswith("CANP_RT_") and not getattr(s, "choice", None)]
options = open(sys.argv[1]).read().split()
for o in options:
    if o not in keys:
        print("option", o, "has no symbol")
for key in keys:
    if key not in options:
        print("symbol for", key, "has no option row")
PY
findings "tree" "$($py "$tmp/complete.py" "$tmp/options" 2>&1)"

cat >"$tmp/round.py" <<'PY'
import sys
import kconfiglib


def load(path):
    k = kconfiglib.Kconfig("kconfig/Kconfig", warn_to_stderr=False)
    k.load_config(path)
    return k, {s.name: s.str_value for s in k.unique_defined_syms}


path, saved = sys.argv[1:]
k, before = load(path)
k.write_min_config(saved, header="")
after = load(saved)[1]
for name in before:
    if before[name] != after[name]:
        print(path, name, "was", before[name], "and came back as", after[name])


def lines(p):
    return sorted(x.strip() for x in open(p)
                  if x.strip() and (not x.startswith("#") or x.endswith(" is not set\n")))


if lines(path) != lines(saved):
    print(path, "is not what savedefconfig writes:", " ".join(lines(saved)))
PY
for c in kconfig/configs/*_defconfig; do
	findings "$c" "$(gen "$c")"
	findings "round trip" "$($py "$tmp/round.py" "$c" "$tmp/saved" 2>&1)"
done

# bad TEXT PATTERN: one assignment that must be answered by a warning.
bad() {
	echo "$1" >"$tmp/bad"
	if gen "$tmp/bad" | grep -q "$2"; then
		pass 1
	else
		fail "$1: no warning that says '$2'"
	fi
}
bad CONFIG_CANP_MAX_CORES=99999 '99999.*CANP_MAX_CORES'
bad CONFIG_CANP_RT_DEPTH=0 'CANP_RT_DEPTH'
bad CONFIG_CANP_NO_SUCH_SYMBOL=y 'CANP_NO_SUCH_SYMBOL'
bad CONFIG_CANP_SINK_CSV=maybe 'CANP_SINK_CSV'

for p in hw_min hw_rec hw_extreme; do
	[ -f "kconfig/configs/${p}_defconfig" ] && pass 1 && continue
	fail "kconfig/configs/${p}_defconfig is missing"
done
lint_end
