# e2e_lib.sh - what the end-to-end scripts share: a scratch folder, counting, running the program.
# Sourced by tests/e2e_*.sh with the folder of the programs as $1 (default build/bin). Bash.
#
# A check prints "ok TEXT", "FAIL TEXT" or "skip TEXT: why"; e2e_end prints the one closing line and
# sets the exit status. Everything happens in $T, which is removed at the end.
set -u
export LC_ALL=C
E2E_NAME=$(basename "$0" .sh)
E2E_DIR=$(cd "$(dirname "$0")" && pwd)
E2E_ROOT=$(dirname "$E2E_DIR")
BIN=${1:-build/bin}
PY=/usr/bin/python3
[ -x "$PY" ] || PY=python3
E2E_TIMEOUT_S=${E2E_TIMEOUT_S:-120}
passed=0
failed=0
skipped=0

e2e_cleanup() {
	local p
	for p in ${E2E_MOUNTS:-}; do
		umount "$p" 2>/dev/null || umount -l "$p" 2>/dev/null
	done
	rm -rf "$T"
}

T=$(mktemp -d "${TMPDIR:-/tmp}/$E2E_NAME.XXXXXX") || exit 1
T=$(cd "$T" && pwd -P)
E2E_MOUNTS=
trap e2e_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Options of the person who runs the tests must not change what is tested.
for v in $(env | sed -n 's/^\(CANP_[A-Z0-9_]*\)=.*/\1/p'); do
	case $v in
	CANP_CORPUS | CANP_LONG | CANP_SOAK_*) ;;
	*) unset "$v" ;;
	esac
done

BIN=$(cd "$BIN" 2>/dev/null && pwd) || {
	echo "$E2E_NAME: no folder ${1:-build/bin}: build the programs first (make)"
	exit 1
}
APP=$BIN/canp-appliance
BENCH=$BIN/canp-bench
BENCH_ARGS=()
GEN=$BIN/canp-gen

# need PROGRAM: a script ends at once when that program is not there.
need() {
	[ -x "$1" ] && return 0
	echo "$E2E_NAME: $1 is not built (make)"
	exit 1
}
need "$APP"

ok() {
	passed=$((passed + 1))
	echo "ok   $*"
}

fail() {
	failed=$((failed + 1))
	echo "FAIL $*"
}

skip() {
	skipped=$((skipped + 1))
	echo "skip $*"
}

# check TEXT COMMAND...: ok when the command succeeds.
check() {
	local text=$1
	shift
	if "$@" >/dev/null; then ok "$text"; else fail "$text"; fi
}

# eq TEXT HAVE WANT
eq() {
	if [ "$2" = "$3" ]; then ok "$1"; else fail "$1: have '$2', want '$3'"; fi
}

# until_true SECONDS COMMAND...: waits, not for longer, until the command succeeds.
until_true() {
	local i=$(($1 * 50))
	shift
	while [ $i -gt 0 ]; do
		"$@" >/dev/null 2>&1 && return 0
		i=$((i - 1))
		sleep 0.02
	done
	return 1
}

# has TEXT FILE PATTERN: a line of FILE matches the extended regular expression.
has() {
	if grep -Eq -- "$3" "$2"; then
		ok "$1"
	else
		fail "$1: no '$3' in:"
		head -n 12 "$2" | sed 's/^/     | /'
	fi
}

# canp WANTED-RC TEXT ARGUMENT...: runs the program with its output in $T/out and $T/err.
canp() {
	local want=$1 text=$2 rc
	shift 2
	timeout -k 5 "$E2E_TIMEOUT_S" "$APP" "$@" >"$T/out" 2>"$T/err" </dev/null
	rc=$?
	if [ "$rc" -eq "$want" ]; then
		ok "$text"
		return 0
	fi
	fail "$text: exit $rc, want $want: canp-appliance $*"
	[ "$rc" -ne 124 ] || echo "     | timed out after $E2E_TIMEOUT_S s"
	head -n 8 "$T/err" | sed 's/^/     | /'
	return 1
}

# bench WANTED-RC TEXT ARGUMENT...: runs canp-bench with the words of BENCH_ARGS before the arguments;
# its output is in ./out and ./err.
bench() {
	local want=$1 text=$2
	shift 2
	timeout "$E2E_TIMEOUT_S" "$BENCH" "${BENCH_ARGS[@]}" "$@" >out 2>err
	eq "$text" $? "$want"
}

# job WANTED-RC OUT ARGUMENT...: `run` without a check of its own unless it goes wrong; the JSON is
# in $T/out.
job() {
	local want=$1 out=$2 rc
	shift 2
	timeout -k 5 "$E2E_TIMEOUT_S" "$APP" run -o "$out" --json "$@" >"$T/out" 2>"$T/err" </dev/null
	rc=$?
	[ "$rc" -eq "$want" ] && return 0
	fail "exit $rc, want $want: canp-appliance run -o $out --json $*"
	head -n 8 "$T/err" | sed 's/^/     | /'
	return 1
}

# start ARGUMENT...: runs the program in the background as a terminal would (a script's plain `&` has
# SIGINT ignored); $pid is the program itself.
start() {
	rm -f "$T/out" "$T/err" # what an earlier run said must not be taken for this one's
	: >"$T/err"
	set -m
	"$APP" "$@" >"$T/out" 2>"$T/err" </dev/null &
	pid=$!
	set +m
}

# finish: waits for it, not for ever; its status is in $rc, the time it took in $ms.
finish() {
	local since i=0
	since=$(date +%s%N)
	exec 3>&2 2>/dev/null # the shell's own word on how the job ended
	while kill -0 "$pid" 2>/dev/null && [ $i -lt $((E2E_TIMEOUT_S * 20)) ]; do
		sleep 0.05
		i=$((i + 1))
	done
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	rc=$?
	exec 2>&3 3>&-
	ms=$((($(date +%s%N) - since) / 1000000))
}

# started: waits until the program, run with --progress=always, has finished a few files.
started() {
	local i=0
	until tr '\r' '\n' <"$T/err" | grep -Eq 'files ([2-9]|[1-9][0-9]+)/' || [ $i -ge 400 ]; do
		sleep 0.05
		i=$((i + 1))
	done
}

logs() {
	"$PY" "$E2E_DIR/e2e_logs.py" "$@"
}

# json FILE EXPR...: values over the document d.
json() {
	logs json "$@"
}

# field KEY [FILE]: a member of the last report.
field() {
	json "${2:-$T/out}" "d['$1']"
}

# One hash over the sorted relative paths and the contents of all files outside _canp.
dataset_hash() {
	(cd "$1" && find . -path ./_canp -prune -o -type f -print0 | sort -z |
		xargs -0 -r sha256sum | sha256sum | cut -d' ' -f1)
}

# tree_hash DIR: the same over everything, with folders.
tree_hash() {
	(cd "$1" && { find . | sort; find . -type f -print0 | sort -z | xargs -0 -r sha256sum; } |
		sha256sum | cut -d' ' -f1)
}

# Files that a reader must never see: visible names that are neither parts nor reports.
strangers() {
	(cd "$1" && find . -type f ! -name 'part-*.parquet' ! -name 'part-*.csv' ! -path './_canp/*.json' \
		! -path ./_canp/report.jsonl)
}

e2e_end() {
	[ "$skipped" -eq 0 ] || echo "$E2E_NAME: $skipped skipped"
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] && exit 0
	exit 1
}
