#!/bin/bash
# run-valgrind.sh TESTDIR TEST...: unit tests under valgrind: no error, nothing lost. Only tests that
# measure no time and ask for no ring of the kernel's: valgrind runs one thread at a time, 30 times
# slower, and cannot wait in io_uring. Skips itself (77) where valgrind is not installed.
dir=$1
shift
command -v valgrind >/dev/null || {
	echo "check-valgrind: SKIP: valgrind is not installed (make deps-test)"
	exit 77
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0
for t in "$@"; do
	timeout -k 5 "${CANP_VALGRIND_TIMEOUT_S:-300}" valgrind -q --fair-sched=yes --leak-check=full \
		--errors-for-leak-kinds=definite,indirect --error-exitcode=99 "$dir/$t" >"$log" 2>&1
	rc=$?
	if [ $rc -eq 0 ]; then
		passed=$((passed + 1))
		echo "ok   A38 $t under valgrind: no error, nothing lost"
	else
		failed=$((failed + 1))
		echo "FAIL A38 $t under valgrind: exit $rc"
		grep -E '^==|FAILED|ERROR' "$log" | head -n 20 | sed 's/^/     | /'
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
