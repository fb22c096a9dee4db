#!/bin/bash
# e2e_process.sh [BIN [TESTDIR]]: the process pool as seen from outside: the program of its document,
# system calls of an idle pool, signals, the death of the parent, what is left behind.
. "$(dirname "$0")/e2e_lib.sh"
tests=${2:-$(dirname "$BIN")/release/tests}
host=$tests/t_process_host
doc=$tests/doc_pool_program
[ -x "$host" ] && [ -x "$doc" ] || {
	echo "skip e2e_process: $host or $doc is not built"
	exit 77
}

gone() {
	local p
	for p in "$@"; do
		[ -d "/proc/$p" ] && ! grep -q '^State:.Z' "/proc/$p/status" 2>/dev/null && return 1
	done
	return 0
}
zombies_of() {
	ps -o stat= --ppid "$1" 2>/dev/null | grep -c '^Z'
}
# descendants PID: children and their children
descendants() {
	local c
	for c in $(ps -o pid= --ppid "$1"); do
		echo "$c"
		descendants "$c"
	done
}

# ---- the document's program ----
timeout 60 "$doc" >"$T/doc" 2>&1
eq "D01 the document's program exits 0" $? 0
eq "D01 it prints success" "$(tail -n 1 "$T/doc")" "success 0"

# ---- no lock in the rings ----
obj=$(dirname "$tests")/obj/core/process/process_run.o
if [ -f "$obj" ]; then
	eq "D27 what takes tasks out of the rings calls no lock" \
		"$(nm "$obj" | grep -c 'pthread_\(mutex\|spin\|rwlock\)')" 0
fi

# ---- idleness ----
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	secs=3
	[ "${CANP_LONG:-0}" = 1 ] && secs=10
	for kind in auto sync; do
		timeout 60 strace -f -qq -o "$T/trace" "$host" --idle $secs $kind 2>/dev/null ||
			fail "D26 the traced pool failed ($kind)"
		n=$(awk '/IDLE-BEGIN/ { on = 1; control = $1; next } /IDLE-END/ { on = 0 }
			on && $1 != control' "$T/trace" | grep -c .)
		eq "D25 D26 D33 D52 an idle pool makes no system call in $secs s ($kind)" "$n" 0
	done
else
	skip "D26: strace is not possible here"
fi

# ---- signals ----
serve() {
	rm -f "$T/out"
	"$host" --serve "$T/log" >"$T/out" 2>"$T/err" &
	pid=$!
	until_true 60 grep -q '^workers' "$T/out" || fail "D39 the host did not start"
	all=$(descendants $pid)
}

serve
kill -USR1 $pid
until_true 30 test -f "$T/log.1" && ok "D39 SIGUSR1 rotates the log" || fail "D39 SIGUSR1"
kill -HUP $pid
until_true 30 grep -q '^signal 1$' "$T/out" && ok "D39 SIGHUP reaches the host" || fail "D39 SIGHUP"
kill -PIPE $pid
first=$(sed -n 's/^ready //p' "$T/out")
kill -USR2 $pid
until_true 60 gone $first && ok "D39 D31 SIGUSR2 replaces the workers" || fail "D39 SIGUSR2"
all="$all $(descendants $pid)"
kill -TERM $pid
wait $pid
eq "D39 SIGTERM ends the host" $? 0
eq "D39 all tasks were done before" "$(tail -n 1 "$T/out")" "end ok=6 shutdown=0"
until_true 10 gone $all && ok "D39 nobody is left" || fail "D39 left behind: $all"

SERVE_LONG=1 serve
kill -TERM $pid
until_true 30 grep -q '^signal 15$' "$T/out"
kill -TERM $pid
wait $pid
eq "D39 a second SIGTERM does not wait" "$(tail -n 1 "$T/out")" "end ok=0 shutdown=6"
until_true 10 gone $all && ok "D04 workers in a task are killed" || fail "D04 left behind: $all"

SERVE_LONG=1 serve
for w in $(sed -n 's/^ready //p' "$T/out"); do
	kill -KILL "$w"
done
until_true 60 sh -c "[ \$(grep -c '^workers' $T/out) -ge 2 ]"
eq "D39 D32 no zombie after workers were killed" \
	"$(($(zombies_of $pid) + $(for c in $(descendants $pid); do zombies_of "$c"; done |
		paste -sd+ | bc)))" 0
all=$(descendants $pid)
start=$(date +%s%N)
kill -KILL $pid
until_true 10 gone $all && ok "D39 the parent's death takes all of them along" ||
	fail "D39 left behind: $all"
echo "     $((($(date +%s%N) - start) / 1000000)) ms until the last one was gone"
wait $pid 2>/dev/null
eq "D04 nothing is left in /dev/shm" "$(ls /dev/shm 2>/dev/null | grep -c canp)" 0

e2e_end
