#!/bin/sh
# run-unit.sh DIR TEST...: runs each cmocka binary from the root of the tree, prints its own lines,
# and fails if one failed. A test that hangs is killed after CANP_TEST_TIMEOUT_S (300) seconds.
# Under the thread sanitizer the address layout is fixed, which it needs. What each one said stays in
# DIR/../results/unit/TEST.log, which tests/rows.py reads.
dir=$1
shift
pass=0
bad=
wrap=
case $dir in
*/tsan/*) wrap="setarch -R" ;;
esac
keep=$(dirname "$dir")/results/unit
mkdir -p "$keep" || exit 1
for t in "$@"; do
	echo "== $t"
	{
		timeout "${CANP_TEST_TIMEOUT_S:-300}" $wrap "$dir/$t"
		echo $? >"$keep/$t.rc"
	} 2>&1 | tee "$keep/$t.log"
	rc=$(cat "$keep/$t.rc")
	rm -f "$keep/$t.rc"
	if [ "$rc" = 0 ]; then
		pass=$((pass + 1))
	else
		[ "$rc" != 124 ] || echo "$t: timed out"
		bad="$bad $t"
	fi
done
set -- $bad
echo "unit: $pass passed, $# failed"
[ $# -eq 0 ] || { echo "FAILED:$bad"; exit 1; }
