#!/bin/bash
# usdt_cost.sh BUILD [full]: what the probe points (CONFIG_CANP_USDT) cost while nobody watches, without
# the noise of a clock. Two configurations, with probes and without, in folders of their own below
# BUILD/usdt:
#
#  - the instructions that each probe adds to the code, from the objects that have some
#  - with `full`, for the soak: both programs do the same job under callgrind, which counts
#    instructions, several times in turn, and which of the probes the job passed how often
#
# Skips itself (77) without kconfiglib, sys/sdt.h or (full) valgrind.
BUILD=${1:?folder of the build}
FORM=${2:-short}
MAKE=${MAKE:-make}
ROUNDS=${CANP_USDT_ROUNDS:-3}
PY=/usr/bin/python3
[ -x "$PY" ] || PY=python3
unset MAKEFLAGS MFLAGS MAKELEVEL FLAVOUR
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
cd "$(dirname "$0")/.." || exit 1

skip() {
	echo "skip what idle probes cost: $*"
	exit 77
}

"$PY" -c 'import kconfiglib' 2>/dev/null || skip "python3-kconfiglib is not installed (make deps)"
echo '#include <sys/sdt.h>' | ${CC:-gcc} -E - >/dev/null 2>&1 ||
	skip "sys/sdt.h is missing (apt install systemtap-sdt-dev)"
[ "$FORM" = short ] || command -v valgrind >/dev/null || skip "valgrind is not installed (make deps-test)"

mkdir -p "$BUILD/usdt" && dir=$(cd "$BUILD/usdt" && pwd) || exit 1
log=$dir/log

# make_both TARGET...: what to make below the release folder, or all.
make_both() {
	local which targets t
	for which in off on; do
		targets=()
		for t; do targets+=("$([ "$t" = all ] && echo all || echo "$dir/$which/release/obj/$t")"); done
		$MAKE -s -j"${JOBS:-2}" BUILD="$dir/$which" KCONFIG_CONFIG="$dir/$which.config" "${targets[@]}" \
			>"$log" 2>&1 || { echo "FAIL the build with probes $which:"; tail -n 8 "$log"; exit 1; }
	done
}

for which in off on; do
	# Only when it changed, else everything would be built again.
	{
		cat kconfig/configs/canp_defconfig
		[ $which = off ] || echo CONFIG_CANP_USDT=y
	} >"$dir/$which.new"
	if ! cmp -s "$dir/$which.new" "$dir/$which.asked"; then
		cp "$dir/$which.new" "$dir/$which.config"
		$MAKE -s BUILD="$dir/$which" KCONFIG_CONFIG="$dir/$which.config" olddefconfig >"$log" 2>&1 ||
			{ echo "FAIL olddefconfig with probes $which:"; tail -n 8 "$log"; exit 1; }
		cp "$dir/$which.new" "$dir/$which.asked"
	fi
	rm -f "$dir/$which.new"
done
sources=$(grep -rlE 'CANP_USDT[123]\(|"io/observe_shard\.h"' core io numa tools --include='*.c' | sort)
objects=${sources//.c/.o}
make_both $objects
"$PY" tests/usdt_cost.py objects "$dir/off/release/obj" "$dir/on/release/obj" $objects || exit 1
[ "$FORM" = full ] || exit 0

make_both all
T=$(mktemp -d "${TMPDIR:-/tmp}/usdt_cost.XXXXXX") || exit 1
trap 'rm -rf "$T"' EXIT
"$dir/off/bin/canp-gen" --files 2 --size "${CANP_USDT_SIZE:-2m}" --seed 5 --dbc "$T/v.dbc" "$T/logs" \
	>"$log" 2>&1 || { echo "FAIL canp-gen:"; tail -n 3 "$log"; exit 1; }
# Valgrind knows neither AVX-512 nor io_uring. How often the reactor turns while a helper thread reads
# depends on timing still, which only adds: the smallest of the rounds counts.
for round in $(seq 1 "$ROUNDS"); do
	for which in off on; do
		rm -rf "$T/o"
		timeout -k 5 900 valgrind --tool=callgrind --dump-instr=yes --compress-pos=no \
			--compress-strings=no --callgrind-out-file="$T/$which.$round" \
			"$dir/$which/bin/canp-appliance" run --json --cores=1 --simd=avx2 --ring=sync \
			--mem-per-core 128m --writer-mem 256m -d "$T/v.dbc" -o "$T/o" "$T/logs" \
			>"$T/json" 2>"$log" || { echo "FAIL the job with probes $which:"; tail -n 5 "$log"; exit 1; }
	done
done
"$PY" tests/usdt_cost.py job "$dir/on/bin/canp-appliance" "$T" "$ROUNDS"
