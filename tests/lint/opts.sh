#!/bin/sh
# opts.sh: what is generated from option rows and Kconfig files is current, and every CONFIG_ symbol
# in the code exists.
# Usage: opts.sh ROWS   (the generator built from kconfig/rows.c)
lint=opts
. tests/lint/lib.sh
rows=$1
tmp=$(mktemp -d)

"$rows" kconfig >"$tmp/Kconfig.run"
if cmp -s "$tmp/Kconfig.run" kconfig/Kconfig.run; then
	pass 1
else
	fail "kconfig/Kconfig.run is not what the option rows say: make kconfig-run"
fi

# README: the table between the two marks, when there is one.
if grep -q '<!-- options -->' README.md 2>/dev/null; then
	"$rows" markdown canp-appliance >"$tmp/table"
	sed -n '/<!-- options -->/,/<!-- \/options -->/p' README.md | sed '1d;$d' >"$tmp/readme"
	if cmp -s "$tmp/table" "$tmp/readme"; then
		pass 1
	else
		fail "the option table in README.md is not current: make readme-options"
	fi
else
	echo "  SKIP: README.md has no option table between <!-- options --> marks"
fi

# Symbols used in the code and in make files are symbols of Kconfig.
grep -rhoE 'CONFIG_CANP_[A-Z0-9_]+' $(c_files) Makefile kconfig/kconfig.mk io/*.def core/*/*.def \
	tools/*.def README.md docs 2>/dev/null | sort -u | sed 's/^CONFIG_//' >"$tmp/used"
sed -n 's/^[[:space:]]*\(config\|choice\)[[:space:]]\{1,\}\([A-Z0-9_]*\).*/\2/p' kconfig/Kconfig* |
	sort -u >"$tmp/known"
findings "unknown CONFIG_ symbol" "$(grep -vxF -f "$tmp/known" "$tmp/used" | grep -v '^CANP_TEST_')"

py=
for p in $CANP_PYTHON /usr/bin/python3 python3; do
	"$p" -c 'import kconfiglib' 2>/dev/null && { py=$p; break; }
done
if [ -z "$py" ]; then
	echo "  SKIP: python3-kconfiglib not found: default configuration not checked"
	rm -rf "$tmp"
	lint_end
	exit
fi

d=kconfig/configs/default
$py kconfig/gen.py --config kconfig/configs/canp_defconfig --header "$tmp/autoconf.h" \
	--conf "$tmp/auto.conf" --profile "$tmp/canp.conf"
for f in autoconf.h auto.conf canp.conf; do
	cmp -s "$tmp/$f" "$d/$f" && pass 1 && continue
	fail "$d/$f is not what canp_defconfig gives: make kconfig-default"
done
rm -rf "$tmp"
lint_end
