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

make_logs() {
	rm -rf "$tmp/logs"
	mkdir "$tmp/logs"
	"$1/canp-gen" --container canp --files 2 --size 200k --workload dense --seed 3 \
		--dbc "$tmp/v.dbc" "$tmp/logs"
}

# job BIN OPTION...: with the profile of the configuration, but little memory.
job() {
	bin=$1
	shift
	rm -rf "$tmp/data"
	"$bin/canp-appliance" run --config "$bin/../canp.conf" --cores 1 --mem-per-core 128m \
		--writer-mem 256m -d "$tmp/v.dbc" -o "$tmp/data" "$@" "$tmp/logs" &&
		[ -f "$tmp/data/_canp/run.json" ]
}

for c in "$@"; do
	b=$tmp/$c
	app=$b/bin/canp-appliance
	mk="$MAKE -s BUILD=$b KCONFIG_CONFIG=$tmp/$c.config"
	echo "  $c"
	on() { grep -qx "CONFIG_$1=y" "$tmp/$c.config"; }
	try "$c: configure" $mk "$c" || continue
	if on CANP_ZSTD && ! echo '#include <zstd.h>' | ${CC:-gcc} -E - >/dev/null 2>&1; then
		echo "  SKIP: $c: libzstd-dev is not installed"
		continue
	fi
	try "$c: build" $mk -j"${JOBS:-2}" all || continue
	if on CANP_SINK_CSV; then
		try "$c: CSV is missing" with "$app" canp_csv_chunk
	else
		try "$c: CSV code is still there" without "$app" canp_csv_chunk canp_csv_header \
			canp_sidetable_write_csv
		try "$c: --sink=csv is not refused" sh -c \
			"! '$app' run --sink=csv -o '$tmp/x' x 2>'$tmp/err' && grep -q CONFIG_CANP_SINK_CSV '$tmp/err'"
	fi
	for f in blf candump; do
		if on "CANP_FORMAT_$(echo $f | tr a-z A-Z)"; then
			try "$c: $f is missing" sh -c "'$app' caps | grep '^formats .*$f'"
		else
			try "$c: $f code is still there" without "$app" "canp_$f" "${f}_walk"
			try "$c: $f is still told" sh -c "! '$app' caps | grep '^formats .*$f'"
		fi
	done
	on CANP_SIMD_AVX2 || try "$c: AVX2 code is still there" without "$app" '.*_avx2$' '.*_avx512$'
	if on CANP_ZSTD; then
		try "$c: zstd is missing" with "$app" canp_pqzstd_page
		try "$c: build of the zstd test" $mk "$b/release/tests/t_pqzstd"
		try "$c: zstd test" "$b/release/tests/t_pqzstd"
	else
		try "$c: zstd code is still there" without "$app" 'canp_pqzstd_|ZSTD_'
	fi
	try "$c: does not start" "$app" --version
	try "$c: its own profile is refused" "$app" --config-check "$b/canp.conf"
	if [ -x "$b/bin/canp-gen" ]; then
		try "$c: sample logs" make_logs "$b/bin"
		try "$c: a small job" job "$b/bin" --codec gzip
		! on CANP_SINK_CSV || try "$c: a small job to CSV" job "$b/bin" --sink csv
		! on CANP_ZSTD || try "$c: a small job with zstd" job "$b/bin" --codec zstd --zstd-level 9
	else
		echo "  SKIP: $c: no canp-gen, no job"
	fi
	rm -rf "$b"
done
lint_end
