#!/bin/sh
# defconfigs.sh: every configuration builds in a folder of its own, leaves out what it says, starts,
# accepts the run profile it wrote and does a small job. Minutes long; part of the soak, not of lint.
# Usage: defconfigs.sh [NAME_defconfig...]   JOBS=N compilers at once (2)
lint=defconfigs
. tests/lint/lib.sh
MAKE=${MAKE:-make}
unset MAKEFLAGS MFLAGS MAKELEVEL BUILD FLAVOUR
tmp=$(mktemp -d "${TMPDIR:-/tmp}/defconfigs.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
[ $# -gt 0 ] || set -- $(cd kconfig/configs && ls -- *_defconfig)

for p in $CANP_PYTHON /usr/bin/python3 python3; do
	"$p" -c 'import kconfiglib' 2>/dev/null && { have_kconfig=1; break; }
done
if [ -z "$have_kconfig" ]; then
	echo "  SKIP: python3-kconfiglib not found: configurations not built"
	lint_end
	exit
fi

# try TEXT COMMAND...: a pass, or a failure with the last lines of its output.
try() {
	what=$1
	shift
	if "$@" >"$tmp/out" 2>&1; then
		pass 1
		return 0
	fi
	fail "$what"
	tail -n 8 "$tmp/out" | sed 's/^/     | /'
	return 1
}

# without BINARY SYMBOL...: none of the functions is in the program.
without() {
	file=$1
	shift
	nm "$file" >"$tmp/nm" || return 1
	for s in "$@"; do
		grep -E " [tT] $s" "$tmp/nm" && return 1
	done
	return 0
}

with() {
	nm "$1" | grep -Eq " [tT] $2"
}

smoke() {
	bin=$1
	rm -rf "$tmp/logs" "$tmp/data"
	mkdir "$tmp/logs"
	"$bin/canp-gen" --container candump --files 2 --size 200k --workload dense --seed 3 \
		--dbc "$tmp/v.dbc" "$tmp/logs" &&
		"$bin/canp-appliance" run --config "$bin/../canp.conf" --cores 1 --mem-per-core 64m \
			--writer-mem 64m -d "$tmp/v.dbc" -o "$tmp/data" "$tmp/logs" &&
		[ -f "$tmp/data/_canp/run.json" ]
}

for c in "$@"; do
	b=$tmp/$c
	app=$b/bin/canp-appliance
	mk="$MAKE -s BUILD=$b KCONFIG_CONFIG=$tmp/$c.config"
	echo "  $c"
	try "$c: configure" $mk "$c" || continue
	try "$c: build" $mk -j"${JOBS:-2}" all || continue
	on() { grep -qx "CONFIG_$1=y" "$tmp/$c.config"; }
	if on CANP_SINK_CSV; then
		try "$c: CSV is missing" with "$app" canp_csv_chunk
	else
		try "$c: CSV code is still there" without "$app" canp_csv_chunk canp_csv_header \
			canp_sidetable_write_csv
		try "$c: --sink=csv is not refused" sh -c \
			"! '$app' run --sink=csv -o '$tmp/x' x 2>'$tmp/err' && grep -q CONFIG_CANP_SINK_CSV '$tmp/err'"
	fi
	on CANP_SIMD_AVX2 || try "$c: AVX2 code is still there" without "$app" '.*_avx2$' '.*_avx512$'
	if on CANP_ZSTD; then
		try "$c: zstd is missing" with "$app" canp_pqzstd_page
	else
		try "$c: zstd code is still there" without "$app" 'canp_pqzstd_|ZSTD_'
	fi
	try "$c: does not start" "$app" --version
	try "$c: its own profile is refused" "$app" config --config "$b/canp.conf"
	if [ -x "$b/bin/canp-gen" ]; then
		try "$c: a small job" smoke "$b/bin"
	else
		echo "  SKIP: $c: no canp-gen, no job"
	fi
	rm -rf "$b"
done
lint_end
