#!/bin/bash
# e2e_rows.sh [BIN]: the table of promises (tests/rows.tsv, tests/rows.py), and the rows about memory
# that only a whole job or a whole program can show: the two named profiles, a job that gets no
# memory, no leaks.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
ROWS=$E2E_DIR/rows.tsv

echo "-- the table"
eq "every row is there once, in order, without a gap" \
	"$(grep -v '^#' "$ROWS" | cut -c1 | uniq -c | awk '{ printf "%s%d ", $2, $1 }')" \
	"A42 B33 C32 D70 E40 F31 G23 H6 "
eq "ids count up" "$(grep -v '^#' "$ROWS" | cut -f1 | LC_ALL=C sort -c 2>&1)" ""
# What is named as a figure is one.
grep -v '^#' "$ROWS" | cut -f4 | tr ' ' '\n' | sed 's/>=.*//' | grep -E '^(mem|task|pipe|event|monitor|cmd)\.' |
	sort -u >wanted
sed -n 's/^[ \t{]*\(\.name = \|PAIR(\)"\([a-z0-9_]*\)",.*/\2/p' "$E2E_ROOT"/tools/bench_rt_{mem,task,pairs,flows,observe,cmd}.c | sort -u >names
eq "figures of the table are figures of canp-bench runtime" \
	"$(sed 's/^[a-z]*\.//' wanted | sort -u | comm -23 - names)" ""

grep -v '^#' "$ROWS" | cut -f4 | tr ' ' '\n' | sed -n 's/^pool\.\([a-z_]*\).*/\1/p' | sort -u >wanted
sed -n 's/^\t{"\([a-z_]*\)", .*/\1/p' "$E2E_ROOT/tools/bench_pool_run.c" | sort -u >names
eq "and of canp-bench pool" "$(comm -23 wanted names)" ""

# A small table with one row of each kind.
mkdir -p tree results/unit results/e2e
printf '%s\t%s\t%s\t%s\t%s\n' A01 T one '' '' A02 T two '' '' A03 T three '' '' A04 T four '' '' \
	A05 B five mem.x '' A06 T six '' 'cannot: needs a moon' A07 T seven '' 'open: later' \
	A08 T eight '' '' A09 B nine mem.y '' >tree/rows.tsv
cat >tree/t_x.c <<'END'
	cmocka_unit_test(A01_is_so),
	cmocka_unit_test_setup(A02_A03_are_so, NULL),
	cmocka_unit_test(other),
END
# (Written so that this script is not taken for one that has these.)
printf '%s "A0%s"\n' ok "4 by a script" check "8 by another" >tree/e2e_y.sh
printf '[       OK ] A01_is_so\n[  FAILED  ] A02_A03_are_so\n[       OK ] other\n' >results/unit/t_x.log
printf 'ok   A04 by a script\nskip A08 by another: why\n' >results/e2e/e2e_y.log
echo '{"figures": [{"figure": "mem.x", "result": 3, "judged": "value", "unit": "ns", "verdict": "aim", "forms": [{"median": 3}]},
	{"figure": "mem.y", "result": 9, "judged": "ratio", "unit": "ns", "verdict": "missed", "forms": []}]}' \
	>results/bench_runtime.json
rows() {
	"$PY" "$E2E_DIR/rows.py" tree/rows.tsv results >out 2>err
}
rows
eq "a failed test fails the table" $? 1
has "a row, its test, its result" out "^A01 -> t_x: A01_is_so -> passed"
has "a test of two rows counts for both" out "^A03 -> t_x: A02_A03_are_so -> failed"
has "a line of a script" out "^A04 -> e2e_y -> passed"
has "a figure" out "^A05 -> canp-bench mem.x -> 3 ns \(aim\)"
has "a missed figure" out "^A09 -> canp-bench mem.y -> 9 x \(missed\)"
has "what cannot run here, with the reason" out "^A06 -> none -> cannot: needs a moon"
has "the count" out "^rows: 3 passed, 2 failed, 0 without test, 1 cannot run here, 1 passed but missed .*, 1 skipped here, 1 open"
sed -i 's/FAILED /     OK/' results/unit/t_x.log
rows
eq "with everything passed it succeeds" $? 0
printf 'A10\tT\tten\t\t\n' >>tree/rows.tsv
rows
eq "a row without test and reason fails it" $? 1
has "and is named" out "^without test: A10"
sed -i '$d' tree/rows.tsv
echo "	cmocka_unit_test(B99_is_new)," >>tree/t_x.c
rows
eq "a test of a row that is not there fails it" $? 1
has "and is named" out "B99_is_new: there is no row B99"
printf 'A11 T eleven\n' >>tree/rows.tsv
rows
eq "a broken line fails it" $? 1
has "and is named" err "rows.tsv:10: "

echo "-- profiles"
logs dbc m.dbc 20
for i in $(seq 10 19); do
	echo "canp in/$i.canp seed=$i frames=4000 messages=20"
done >lines
logs make <lines
if "$PY" -c 'import kconfiglib' 2>/dev/null; then
	for p in throughput memory; do
		(cd "$E2E_ROOT" && "$PY" kconfig/gen.py --config kconfig/configs/${p}_defconfig \
			--header "$T/$p.h" --conf "$T/$p.mk" --profile "$T/$p.conf")
	done
	id=A28
	for p in throughput memory; do
		canp 0 "$id the $p profile is one the program accepts" config --config $p.conf --json
		# CONFIG_CANP_RT_MEM_PER_CORE="512m" of the defconfig is mem-per-core of the profile.
		bad=
		sed -n 's/^CONFIG_CANP_RT_\([A-Z_]*\)="\{0,1\}\([0-9][^"]*\)"\{0,1\}$/\1 \2/p' \
			"$E2E_ROOT/kconfig/configs/${p}_defconfig" >want
		while read -r k v; do
			k=$(echo "$k" | tr 'A-Z_' 'a-z-')
			grep -Eq "^$k *= *$v\$" $p.conf || bad="$bad $k"
		done <want
		eq "$id the $p profile says what its configuration says" "$bad" ""
		check "$id and that is something" test -s want
		if job 0 out.$p --config $p.conf -d m.dbc in; then
			ok "$id a job with the $p profile"
		fi
		[ $p = throughput ] || check \
			"$id the job stays below 512 MB ($(field peak_mem_bytes) bytes)" \
			test "$(field peak_mem_bytes)" -lt 536870912
		id=A29
	done
	eq "A29 rows are the same with little memory" "$(field frames)" 40000
else
	skip "A28 A29 profiles: python3-kconfiglib is not installed"
fi

if "$PY" -c 'import kconfiglib' 2>/dev/null; then
	for p in hw_min hw_rec hw_extreme; do
		(cd "$E2E_ROOT" && "$PY" kconfig/gen.py --config kconfig/configs/${p}_defconfig \
			--header "$T/$p.h" --conf "$T/$p.mk" --profile "$T/$p.conf")
		canp 0 "C31 the $p profile is one the program accepts" config --config $p.conf
	done
	eq "C31 the three hardware profiles differ" "$(md5sum hw_*.conf | cut -c1-32 | sort -u | wc -l)" 3
else
	skip "C31 hardware profiles: python3-kconfiglib is not installed"
fi

echo "-- instruction sets and allocations"
hashes=
for isa in scalar avx2 avx512; do
	rm -rf out.isa
	timeout 60 "$APP" run -o out.isa -d m.dbc --simd $isa in >out 2>err
	rc=$?
	# What this processor cannot run is refused as wrong usage.
	[ $rc -eq 64 ] || hashes="$hashes $rc:$(dataset_hash out.isa)"
done
eq "C24 forced instruction sets give one dataset" "$(echo $hashes | tr ' ' '\n' | sort -u | wc -l)" 1
check "C24 and it is there ($hashes)" test "${hashes# 0:}" != "$hashes"
"$APP" caps --json >caps
check "C24 the forms that can run here are told" test \
	"$(json caps 'sum(k["runnable"] for k in d["kernels"]) > 0')" = True
timeout 120 "$BIN/canp-bench" job --json --bench-dir="$T/bench" --files=8 --size=200k --rounds=1 \
	--no-breakdown --no-scaling --against=none >out 2>err
if [ "$(json out 'd["calls_per_file"] is None')" = True ]; then
	skip "C09 allocations of a job: not counted in this build"
else
	eq "C09 a job calls malloc for no frame and for no file" \
		"$(json out 'd["calls_per_file"]["malloc"]')" 0
fi

echo "-- no memory"
# An address space that shrinks: the job does all of its work or says that it cannot, and never dies.
case $BIN in
*/asan/* | */tsan/*) skip "A36 address space limits: the sanitizer needs terabytes" ;;
*)
	bad=
	refused=0
	job 0 out.ref -d m.dbc --cores 1 in
	want=$(dataset_hash out.ref)
	for mb in 40 80 120 160 240 320 400 500 700 1000 1500; do
		rm -rf out.small
		(ulimit -v $((mb * 1024)) && timeout 60 "$APP" run -o out.small -d m.dbc --cores 1 in) >out 2>err
		rc=$?
		case $rc in
		0) [ "$(dataset_hash out.small)" = "$want" ] || bad="$bad $mb:other-rows" ;;
		1 | 127) refused=$((refused + 1)) && [ -s err ] || bad="$bad $mb:silent" ;;
		*) bad="$bad $mb:exit-$rc" ;;
		esac
	done
	eq "A36 a job without memory says so or does its work" "$bad" ""
	check "A36 and some of these jobs were refused ($refused)" test $refused -gt 0
	;;
esac

echo "-- leaks"
tests=$(dirname "$BIN")/release/tests
if ! command -v valgrind >/dev/null; then
	skip "A38 valgrind is not installed"
elif [ ! -x "$tests/t_mem" ]; then
	skip "A38 the unit tests of the release build are not there"
else
	for t in t_mem t_mem_stats t_cache t_pool t_arena; do
		[ -x "$tests/$t" ] || continue
		timeout 600 valgrind -q --leak-check=full --errors-for-leak-kinds=definite,indirect \
			--error-exitcode=9 "$tests/$t" >vg 2>&1
		rc=$?
		eq "A38 $t under valgrind: no error, no leak" $rc 0
		[ $rc -eq 0 ] || grep '^==' vg | head -20
	done
fi
asan=$(dirname "$BIN")/asan/results/unit
if ls "$asan"/*.log >/dev/null 2>&1; then
	eq "A38 the last run with the address sanitizer found nothing" \
		"$(grep -lE 'LeakSanitizer|AddressSanitizer|runtime error' "$asan"/*.log)" ""
else
	skip "A38 the unit tests with the address sanitizer were not run (make check-asan)"
fi
e2e_end
