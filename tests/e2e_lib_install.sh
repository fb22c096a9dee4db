#!/bin/bash
# e2e_lib_install.sh [BIN]: the library as its users get it: `make install-lib` into an empty folder,
# then from outside, with nothing but pkg-config: every public header alone as C11 and C++17, the
# examples against the shared and the static library, a program of the first version of the
# interface, a C++ and a Python program; the exported symbols; what is left after uninstall-lib.
. "$(dirname "$0")/e2e_lib.sh"
MAKE=${MAKE:-make}
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR prefix PREFIX
BUILD=$(dirname "$BIN")
D=$T/root
cd "$E2E_ROOT" || exit 1
CC=${CC:-gcc}
CXX=${CXX:-g++}

for p in pkg-config "$CC" nm readelf; do
	command -v "$p" >/dev/null && continue
	echo "$E2E_NAME: SKIP: $p is not installed"
	exit 77
done

run_make() {
	"$MAKE" --no-print-directory BUILD="$BUILD" DESTDIR="$D" prefix=/opt/canp "$@" \
		>"$T/make.out" 2>&1 || { sed 's/^/     | /' "$T/make.out" >&2; return 1; }
}

check "make install-lib" run_make install-lib
inc=$D/opt/canp/include/canp
lib=$D/opt/canp/lib
so=$lib/libcanp.so
export PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$D
export LD_LIBRARY_PATH=$lib
for f in libcanp.so libcanp.so.0 libcanp.a pkgconfig/canp.pc; do
	check "$f is there" [ -s "$lib/$f" ]
done
version=$(sed -n 's/^#define CANP_VERSION "\(.*\)"/\1/p' core/base/version.h)
eq "pkg-config says the version" "$(pkg-config --modversion canp)" "$version"
cflags=$(pkg-config --cflags canp)
shared=$(pkg-config --libs canp)
# -l:libcanp.a first: it has everything, so that the shared one is not needed (--as-needed).
static="-L$lib -l:libcanp.a -Wl,--as-needed $(pkg-config --static --libs canp)"

# ---- what is exported ----
readelf -dW "$so" >"$T/dyn"
has "the name that programs remember is libcanp.so.0" "$T/dyn" 'SONAME.*\[libcanp\.so\.0\]'
eq "its text is not relocated" "$(grep -c TEXTREL "$T/dyn")" 0
nm -D --defined-only "$so" | awk '$2 != "A" { print $3 }' | sort >"$T/exports"
sed -n 's/^\t\([a-z_0-9]*\);$/\1@@CANP_0.1/p' core/libcanp.map | sort >"$T/map"
check "every function of the public headers is exported, nothing else" diff "$T/map" "$T/exports"
nm --defined-only "$lib/libcanp.a" 2>/dev/null | awk 'NF == 3 && $2 ~ /[TDBRC]/ { print $3 }' |
	grep -vE '^(canp_|pool_|task_result_release$)' >"$T/strangers"
check "the archive defines no name outside canp_ and those of process_pool.h" [ ! -s "$T/strangers" ]

# One set of names (H06): one future, one ring between threads, whatever runs the task.
readelf --debug-dump=info --wide "$so" 2>/dev/null | awk '
	/Abbrev Number.*DW_TAG_/ { tag = $0; sub(/.*DW_TAG_/, "", tag); sub(/\).*/, "", tag) }
	/DW_AT_name/ && (tag == "structure_type") { print $NF; tag = "" }' | sort -u >"$T/structs"
if grep -q canp_future "$T/structs"; then
	eq "H06 one type of future" "$(grep -E '(^|_)future$' "$T/structs" | tr '\n' ' ')" "canp_future "
	eq "H06 one ring of pointers between threads" \
		"$(grep -E 'spsc|mpmc|mpsc|(^|_)queue_ring' "$T/structs" | tr '\n' ' ')" "canp_spsc "
else
	skip "H06 one type of future: the library was stripped"
fi

# ---- headers ----
bad=
for h in $(cd "$inc" && find . -name '*.h' | sed 's#^\./##' | sort); do
	echo "#include <$h>" >"$T/h.c"
	for std in "$CC -x c -std=c11 -pedantic" "$CC -x c -std=gnu11" "$CXX -x c++ -std=c++17"; do
		command -v "${std%% *}" >/dev/null || continue
		$std -Wall -Wextra -Werror $cflags -fsyntax-only "$T/h.c" 2>"$T/err" && continue
		bad="$bad $h"
		echo "     | $std: $(grep -m1 error "$T/err")"
	done
done
eq "every header compiles alone as C11 and C++17" "$bad" ""
check "at least 20 headers were there" [ "$(find "$inc" -name '*.h' | wc -l)" -ge 20 ]

# ---- programs ----
# outside NAME COMPILER...: compiles and runs; $ran is "0 " when both went well.
outside() {
	local out=$T/$1
	shift
	if ! "$@" -o "$out" 2>"$T/err"; then
		ran="does not compile: $(grep -m1 -E 'error|undefined' "$T/err")"
		return
	fi
	(cd "$T" && timeout -k 5 60 "$out") >"$T/out" 2>"$T/err"
	ran="$? $(head -n 1 "$T/err")"
}
warn="-Wall -Wextra -Werror -O1"
for src in tools/examples/*.c; do
	x=$(basename "$src" .c)
	case $x in
	plugin_*) continue ;;
	esac
	outside "$x.so" "$CC" -std=gnu11 $warn $cflags "$src" $shared
	eq "H02 $x runs with the installed libcanp.so" "$ran" "0 "
	outside "$x.static" "$CC" -std=gnu11 $warn $cflags "$src" $static
	eq "H02 $x runs with the installed libcanp.a" "$ran" "0 "
	check "the one takes the library, the other does not need it" \
		sh -c "readelf -d '$T/$x.so' | grep -q libcanp.so.0 &&
		! readelf -d '$T/$x.static' | grep -q libcanp.so"
done
outside api_v1 "$CC" -std=gnu11 $warn tests/api_v1.c $shared
eq "F29 a program of the first interface runs" "$ran" "0 "
if [ -f tests/doc_pool_program.c ]; then
	outside doc_pool "$CC" -std=gnu11 $warn $cflags tests/doc_pool_program.c $shared
	eq "D01 the program of the process pool's document runs" "$ran" "0 "
fi
if command -v "$CXX" >/dev/null; then
	outside smoke_cpp "$CXX" -std=c++17 $warn $cflags tests/smoke.cpp $shared
	eq "a C++17 program runs" "$ran" "0 "
	has "with the library of this version" "$T/out" "libcanp $version from C\+\+ 2017"
else
	skip "a C++17 program runs: $CXX is not installed"
fi
if "$PY" -c 'import ctypes' 2>/dev/null; then
	timeout -k 5 60 "$PY" tests/smoke_ctypes.py "$so" >"$T/out" 2>"$T/err"
	eq "a Python program runs through ctypes" "$? $(tail -n 1 "$T/err")" "0 "
else
	skip "a Python program runs through ctypes: no ctypes"
fi

check "make uninstall-lib" run_make uninstall-lib
eq "leaves no file behind" "$(find "$D" -type f -o -type l)" ""
e2e_end
