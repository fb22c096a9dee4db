#!/bin/sh
# run-e2e.sh BIN TESTDIR SCRIPT...: runs the end-to-end scripts one after the other, each with the
# folder of the programs and the one of the tests, and fails if one failed. 77 means that a script
# skipped itself. What each one said stays in TESTDIR/../results/e2e/SCRIPT.log, which tests/rows.py
# reads.
bin=$1
tests=$2
shift 2
pass=0
bad=
keep=$(dirname "$tests")/results/e2e
mkdir -p "$keep" || exit 1
for s in "$@"; do
	name=$(basename "$s" .sh)
	echo "== $s"
	start=$(date +%s)
	arg=$bin
	case $s in
	*/e2e_idle.sh) arg=$tests/t_runtime ;;
	esac
	{
		timeout -k 10 "${CANP_E2E_TIMEOUT_S:-900}" bash "$s" "$arg" "$tests"
		echo $? >"$keep/$name.rc"
	} 2>&1 | tee "$keep/$name.log"
	rc=$(cat "$keep/$name.rc")
	rm -f "$keep/$name.rc"
	case $rc in
	0 | 77) pass=$((pass + 1)) ;;
	124) echo "$s: timed out" && bad="$bad $s" ;;
	*) bad="$bad $s" ;;
	esac
	echo "   $s: $(($(date +%s) - start)) s"
done
set -- $bad
echo "e2e: $pass passed, $# failed"
[ $# -eq 0 ] || { echo "FAILED:$bad"; exit 1; }
