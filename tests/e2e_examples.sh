#!/bin/bash
# e2e_examples.sh [BIN]: the teaching programs of tools/examples (`make examples`): each exits 0, for
# it checks its own result, and prints what the source documents' samples print. Then the same under
# valgrind, where that is installed: no error, nothing lost.
. "$(dirname "$0")/e2e_lib.sh"
X=$(dirname "$BIN")/release/examples
[ -d "$X" ] || {
	echo "$E2E_NAME: SKIP: no folder $X (make examples)"
	exit 77
}

# example NAME: runs it with its output in $T/out.
example() {
	timeout -k 5 "$E2E_TIMEOUT_S" "$X/$1" >"$T/out" 2>"$T/err" </dev/null
	eq "H02 $1 exits with 0" "$? $(cat "$T/err")" "0 "
}

example three_stage
has "B30 completed tasks equal all tasks" "$T/out" '^completed tasks: 3/3$'
has "B30 prints the reuse rate" "$T/out" '^memory reuse rate: [0-9]+\.[0-9]+%$'
has "B30 prints the peak in MB" "$T/out" '^peak memory usage: [1-9][0-9]*\.[0-9]+ MB$'
eq "B30 its stages ran in order" "$(grep -o '^stage [123]' "$T/out" | tr '\n' ' ')" \
	"stage 1 stage 2 stage 3 "

example pool_basic "D63 H02"
example pool_advanced "D63 H02"
eq "D63 pool_advanced shows what it promises" "$(grep -c ' ok$' "$T/out")" 6
example pool_benchmark "D63 H02"
example pool_monitoring "D63 H02"
has "D63 pool_monitoring prints the document's lines" "$T/out" '^Tasks completed: 27$'

# On a machine that stands still for a moment it may take longer, so there are three tries.
for try in 1 2 3; do
	example batch
	ms=$(sed -n 's/^5 batches in \([0-9]*\) ms.*/\1/p' "$T/out")
	[ "${ms:-1000}" -ge 500 ] || break
done
check "B31 five batches of 100 ms take less than 500 ms ($ms)" [ "${ms:-1000}" -lt 500 ]
eq "B31 each batch was processed" "$(sed -n 's/^processing batch //p' "$T/out" | sort | tr '\n' ' ')" \
	"0 1 2 3 4 "

example monitor_memory
while read -r line; do
	has "B32 prints $line" "$T/out" "^$line: [0-9.]+( MB| ms|%)?\$"
done <<END
total allocations
total deallocations
current memory usage
peak memory usage
pool hit rate
total tasks
completed tasks
failed tasks
average execution time
total memory blocks
recycled memory blocks
memory reuse rate
END
check "A35 figures change while work is going on" \
	[ "$(grep '^total tasks' "$T/out" | sort -u | wc -l)" -ge 3 ]

example events
has "G14 one flush for each full buffer" "$T/out" '^53 events in [6-9] flushes of up to 10$'

example dag
has "F10 F12 a diamond joins its branches, failing items stop nothing" "$T/out" \
	'^9900 of 10000 items arrived, 100 failed'
has "F10 the error side knows item and reason" "$T/out" '^item 100 failed in add: .+'

example ordered_stream
has "F07 F16 an infinite source is read in order until enough" "$T/out" \
	'^50[0-9][0-9] results in order'

example foreign_loop
eq "E20 commands end in a foreign loop, shortest first, beside its own events" \
	"$(sed 's/.*: //' "$T/out" | tr '\n' ' ')" "three two one yes "

if [ -z "${CANP_NO_VALGRIND:-}" ] && command -v valgrind >/dev/null; then
	for x in "$X"/*; do
		x=$(basename "$x")
		# Their chaos takes a minute there; the other two pools use the same code.
		case ${CANP_LONG:-}$x in
		pool_advanced | pool_basic)
			skip "$x under valgrind takes long: CANP_LONG=1, make soak-examples"
			continue
			;;
		esac
		timeout -k 5 "$E2E_TIMEOUT_S" valgrind -q --error-exitcode=9 --leak-check=full \
			--errors-for-leak-kinds=definite,indirect --fair-sched=yes "$X/$x" \
			>"$T/out" 2>"$T/err"
		rc=$?
		# A restart has to be over within seconds, which 30 times slower it may not be: then
		# only what valgrind itself has found counts (9).
		[ "$x:$rc" != pool_advanced:1 ] || ! grep -q 'replaced meanwhile *FAILED' "$T/out" || rc=0
		eq "A38 $x under valgrind: no error, nothing lost" "$rc" 0
		[ "$rc" -eq 0 ] || grep -m12 '==' "$T/err" | sed 's/^/     | /'
	done
else
	skip "A38 under valgrind: it is not installed"
fi
e2e_end
