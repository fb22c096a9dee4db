#!/bin/bash
# e2e_flavours.sh [BIN]: the other ways to build. The library and a few of its tests with the address
# and the thread sanitizer, as debug build, and with link time optimization for this processor, in a
# folder outside of the tree; all sources through clang. All unit tests with the sanitizers are
# `make check-asan` and `make check-tsan`, all configurations `make soak-configs`.
. "$(dirname "$0")/e2e_lib.sh"
cd "$E2E_ROOT" || exit 1
B=$(dirname "$BIN")
unset MAKEFLAGS MFLAGS MAKELEVEL
jobs=-j$(nproc)

# build TEXT FOLDER ARGUMENT...
build() {
	local text=$1 dir=$2
	shift 2
	make --no-print-directory $jobs BUILD="$dir" "$@" >"$T/make.out" 2>&1
	eq "$text" $? 0
	grep -E 'warning|error|\*\*\*' "$T/make.out" | head -n 10
	eq "$text without a warning" "$(grep -c 'warning:' "$T/make.out")" 0
}

# runs TEXT PROGRAM: cmocka says that all passed and no sanitizer has found anything.
runs() {
	timeout 300 $WRAP "$2" >"$T/run.out" 2>&1
	eq "$1" "$?:$(grep -cE 'Sanitizer|runtime error:' "$T/run.out")" 0:0
	grep -E 'Sanitizer|runtime error:|FAILED' "$T/run.out" | head -n 10
}
# The address layout is fixed for the thread sanitizer, which needs that.
WRAP=

if [ "$BIN" != "$B/bin" ]; then
	skip "D38 D56 D57 D59 D60 D61 D65 builds of other flavours: not from one of them"
	e2e_end
	exit
fi

touch "$T/stamp"
build "D56 the library with the address sanitizer" "$B" FLAVOUR=asan "$B"/asan/tests/lib/t_process \
	"$B"/asan/tests/lib/t_task "$B"/asan/tests/lib/t_task_end "$B"/asan/tests/lib/t_stall
for t in t_process t_task t_task_end; do
	runs "D56 D38 $t with it: workers leak nothing either" "$B/asan/tests/lib/$t"
done
runs "D67 a task that blocks is reported in such a build" "$B/asan/tests/lib/t_stall"

build "D57 the library with the thread sanitizer" "$B" FLAVOUR=tsan "$B"/tsan/tests/lib/t_process \
	"$B"/tsan/tests/lib/t_spsc
WRAP="setarch -R"
for t in t_process t_spsc; do
	runs "D57 $t with it" "$B/tsan/tests/lib/$t"
done
WRAP=

build "D59 D65 a debug build" "$B" FLAVOUR=debug "$B"/debug/tests/lib/t_stall
runs "D59 a test of it" "$B/debug/tests/lib/t_stall"
if command -v gdb >/dev/null; then
	gdb -batch -nx -ex 'info line canp_exec_create' -ex 'break canp_process_pool_create' \
		"$B/debug/tests/lib/t_stall" >"$T/gdb.out" 2>&1
	has "D65 a debugger finds lines" "$T/gdb.out" '^Line [0-9]+ of "core/runtime/exec.c"'
else
	check "D65 there are debug symbols" sh -c \
		"readelf -S '$B/debug/tests/lib/t_stall' | grep -q '\.debug_info'"
fi

build "D59 D60 link time optimization, -march=native, in another folder" "$T/lto" \
	CFLAGS="-flto=auto -march=native" lib "$T"/lto/release/tests/lib/t_task \
	"$T"/lto/release/tests/lib/t_task_end "$T"/lto/release/tests/lib/t_process \
	"$T"/lto/release/examples/three_stage
for t in t_task t_task_end t_process; do
	runs "D59 $t with it" "$T/lto/release/tests/lib/$t"
done
runs "D59 an example with it" "$T/lto/release/examples/three_stage"
for f in libcanp.a libcanp.so; do
	check "D59 there is a $f" test -s "$T/lto/release/lib/$f"
done
eq "D60 builds elsewhere leave the tree as it was" "$(find . -newer "$T/stamp" -type f \
	! -path './.git*' ! -path "./${B#"$E2E_ROOT"/}/*" ! -name '*.pyc' | head -n 5)" ""

if command -v clang >/dev/null; then
	inc=$(find "$B/include" -name autoconf.h 2>/dev/null | head -n 1)
	flags="-std=gnu11 -D_GNU_SOURCE -I. -include ${inc:-kconfig/configs/default/autoconf.h} -Wall -Wextra
		-Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wundef
		-Wno-missing-field-initializers -ffp-contract=off -fsyntax-only"
	find core numa io simd tools -name '*.c' ! -path 'tools/examples/*' ! -name '*_avx2.c' ! -name '*_avx512.c' |
		if grep -q 'CONFIG_CANP_ZSTD 1' "${inc:-/dev/null}"; then cat; else grep -v pqzstd; fi |
		xargs -P "$(nproc)" -n 8 clang $flags >"$T/clang.out" 2>&1
	eq "D61 clang ($(clang -dumpversion)) reads all sources without a warning" \
		"$(grep -cE 'warning:|error:' "$T/clang.out")" 0
	grep -E 'warning:|error:' "$T/clang.out" | head -n 10
else
	skip "D61 clang is not installed"
fi
eq "D61 gcc ($(gcc -dumpversion)) built all of it with warnings as errors" \
	"$(grep -c -- -Werror Makefile)" 1
e2e_end
