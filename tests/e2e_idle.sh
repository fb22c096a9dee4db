#!/bin/sh
# e2e_idle.sh [T_RUNTIME]: an idle runtime must make no system call. Traces two idle shards for 3 s
# (10 s with CANP_LONG=1) on each kind of ring and counts the calls of every thread but the one that
# sleeps and prints the marks. Skips (77) with the reason where tracing is not possible.
bin=${1:-build/debug/tests/t_runtime}
secs=3
[ "${CANP_LONG:-0}" = 1 ] && secs=10

skip() {
	echo "SKIP e2e_idle: $1"
	exit 77
}

[ -x "$bin" ] || skip "$bin is not built"
command -v strace >/dev/null || skip "strace is not installed"
strace -o /dev/null true 2>/dev/null || skip "ptrace is refused here"

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
bad=0
for ring in auto sync; do
	strace -f -qq -o "$log" "$bin" --idle "$secs" "$ring" 2>/dev/null ||
		{ echo "FAIL e2e_idle: the traced program failed ($ring)"; exit 1; }
	grep -q IDLE-BEGIN "$log" && grep -q IDLE-END "$log" ||
		{ echo "FAIL e2e_idle: no marks in the trace ($ring)"; exit 1; }
	# Lines begin with the thread id; the thread that writes the marks is the control thread.
	calls=$(awk '/IDLE-BEGIN/ { on = 1; control = $1; next }
		     /IDLE-END/ { on = 0 }
		     on && $1 != control' "$log")
	threads=$(awk '{ print $1 }' "$log" | sort -u | wc -l)
	[ "$threads" -ge 3 ] || { echo "FAIL e2e_idle: only $threads threads traced ($ring)"; exit 1; }
	n=$(printf '%s' "$calls" | grep -c .)
	if [ "$n" -ne 0 ]; then
		echo "FAIL e2e_idle: $n system calls in $secs s of idleness ($ring):"
		printf '%s\n' "$calls" | head -20
		bad=1
	else
		echo "ok e2e_idle: 0 system calls in $secs s, $threads threads ($ring)"
	fi
done
exit $bad
