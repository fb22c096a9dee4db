# common.sh - what the profiling scripts share: options, what the machine offers, the gate that holds
# a command until all recorders are attached, and the end. Sourced by perf/*; bash.
#
# A script sets `tool`, `question`, `needs` (text) and `own_help`, defines what it does and calls
# perf_main "$@" as its last line:
#   tool_option ARG...   an option of its own; sets `took` to the number of words it took, 0: unknown
#   tool_need            calls need FEATURE...; may set `degraded` when it can do with less
#   tool_collect         starts its recorders with record or run_for; they end with the process
#   tool_report          turns $out/* into report.txt and report.json (perf/lib/*.py)
# Every recorder attaches to a process id. A command is started behind a gate (gate.sh) that keeps
# the id through exec, so one way serves -p and --, and perf/all can attach several scripts to one run.
set -u
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
PERF_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LIB=$PERF_DIR/lib
PY=${CANP_PYTHON:-}
for p in $PY /usr/bin/python3 python3; do
	command -v "$p" >/dev/null 2>&1 && { PY=$p; break; }
done
pid=
seconds=
hz=499
out=
json=no
dry=no
degraded=
took=0
capability=
own_help=
status=0
recorders=()

usage() {
	cat <<-END
		usage: perf/$tool [OPTION...] -p PID
		       perf/$tool [OPTION...] -- COMMAND [ARGUMENT...]

		$question

		  -p PID      a process that runs, until it ends, -d is over or Ctrl-C
		  -- COMMAND  runs it (its output goes to standard error) and watches it
		  -d SEC      record so many seconds; a command runs on to its end
		  -F HZ       samples per second and core (default $hz)
		  -o DIR      folder of the results (default ./canp-perf-$tool)
		  --json      print report.json instead of report.txt
		  --dry-run   say what would be used here, run nothing
		  -h, --help  this text
	END
	[ -z "$own_help" ] || printf '%s\n' "$own_help"
	cat <<-END

		Needs: $needs.
		Results: report.txt, report.json and pictures in DIR. Exit: 0, the command's when it
		fails, 64 usage, 77 when something is missing here (it is named, nothing was run).
	END
}

say() {
	echo "perf/$tool: $*" >&2
}

bad_usage() {
	say "$*"
	echo "Try perf/$tool --help" >&2
	exit 64
}

number() {
	case $2 in
	'' | *[!0-9.]* | *.*.*) bad_usage "$1 needs a number, not '$2'" ;;
	esac
}

perf_options() {
	cmd=()
	while [ $# -gt 0 ]; do
		case $1 in
		-p | -d | -F | -o) [ $# -ge 2 ] || bad_usage "$1 needs a value" ;;
		esac
		case $1 in
		-p) pid=$2; shift 2 ;;
		-d) number -d "$2"; seconds=$2; shift 2 ;;
		-F) number -F "$2"; hz=$2; shift 2 ;;
		-o) out=$2; shift 2 ;;
		--json) json=yes; shift ;;
		--dry-run | -n) dry=yes; shift ;;
		-h | --help) usage; exit 0 ;;
		--) shift; cmd=("$@"); break ;;
		*)
			took=0
			! declare -F tool_option >/dev/null || tool_option "$@"
			[ "$took" -gt 0 ] || bad_usage "unknown option '$1'"
			shift "$took"
			;;
		esac
	done
	out=${out:-canp-perf-$tool}
}

# One of -p and --, and it must be there.
perf_target() {
	if [ -n "$pid" ]; then
		[ ${#cmd[@]} -eq 0 ] || bad_usage "-p and -- exclude each other"
		case $pid in
		*[!0-9]*) bad_usage "-p needs a process id, not '$pid'" ;;
		esac
		[ -d "/proc/$pid" ] || bad_usage "no process $pid"
	else
		[ ${#cmd[@]} -gt 0 ] || bad_usage "no process (-p PID) and no command (-- COMMAND)"
		command -v "${cmd[0]}" >/dev/null || bad_usage "no such command: ${cmd[0]}"
	fi
}

# ---- what the machine offers ---------------------------------------------------------------------

# quiet COMMAND...: its first line of standard error is kept in $why.
quiet() {
	why=$("$@" 2>&1 >/dev/null) && return 0
	why=$(printf '%s\n' "$why" | grep -Ev '^ *(Error:)?$' | head -n 1)
	return 1
}

# counted EVENT...: perf stat can count it. What it cannot count it calls "not supported" and exits 0.
# What it printed is in $counts.
counted() {
	counts=$(perf stat "$@" -- true 2>&1) || { why=$(printf '%s\n' "$counts" | head -n 1); return 1; }
	case $counts in
	*'not supported'* | *'not counted'*) why="the counter is not supported here"; return 1 ;;
	esac
}

# feature NAME: 0 when it is there; else $why says what is missing. Asking perf takes a while, so
# perf/all and perf/caps let the scripts share the answers in a folder.
feature() {
	local known=${CANP_PERF_FEATURES:+$CANP_PERF_FEATURES/$1} rc
	if [ -n "$known" ] && [ -e "$known" ]; then
		why=$(cat "$known")
		[ -z "$why" ]
		return
	fi
	feature_ask "$1"
	rc=$?
	[ -z "$known" ] || { printf '%s' "$why" >"$known.$$" && mv "$known.$$" "$known"; }
	return $rc
}

feature_ask() {
	local intel
	why=
	case $1 in
	perf)
		command -v perf >/dev/null || { why="perf is not installed (apt install linux-perf)"; return 1; }
		quiet perf --version || { why="perf does not run: $why"; return 1; }
		;;
	sample)
		feature perf || return 1
		quiet perf record -q -e cpu-clock -F 99 -o /dev/null -- true ||
			{ why="perf may not sample (kernel.perf_event_paranoid is $(cat /proc/sys/kernel/perf_event_paranoid 2>/dev/null || echo unknown)): $why"; return 1; }
		;;
	system)
		feature perf || return 1
		quiet perf record -q -a -e cpu-clock -F 99 -o /dev/null -- true ||
			{ why="perf may not watch all CPUs (needs root or kernel.perf_event_paranoid <= 0): $why"; return 1; }
		;;
	hw)
		feature perf || return 1
		counted -e cycles || { why="no hardware counters (cycles): $why"; return 1; }
		;;
	tp:*)
		feature perf || return 1
		counted -e "${1#tp:}" || { why="no tracepoint ${1#tp:} (kernel, tracefs or rights): $why"; return 1; }
		;;
	bpftrace)
		command -v bpftrace >/dev/null || { why="bpftrace is not installed (apt install bpftrace)"; return 1; }
		quiet bpftrace -e 'BEGIN { exit(); }' || { why="bpftrace may not run: $why"; return 1; }
		;;
	uprobes)
		[ -e /sys/bus/event_source/devices/uprobe ] || { why="the kernel has no uprobes (CONFIG_UPROBE_EVENTS)"; return 1; }
		;;
	topdown)
		feature perf || return 1
		# Intel's and AMD's names for the same four shares.
		feature metrics:TopdownL1 || {
			intel=$why
			feature metrics:PipelineL1 || { why=$intel; return 1; }
		}
		;;
	metrics:*)
		feature perf || return 1
		counted -M "${1#metrics:}" || { why="no hardware counters for ${1#metrics:}: $why"; return 1; }
		# A perf that has no metrics for this processor counts its usual events and says nothing.
		case $counts in
		*retiring* | *Retiring*) ;;
		*) why="perf has no metrics ${1#metrics:} for this processor"; return 1 ;;
		esac
		;;
	mem | c2c)
		feature perf || return 1
		# Asks for the events; a kernel without them answers before anything runs.
		quiet perf "$1" record -o /dev/null -- true || { why="no memory sampling (perf $1): $why"; return 1; }
		;;
	lbr)
		feature perf || return 1
		quiet perf record -q --call-graph lbr -o /dev/null -- true || { why="no branch records: $why"; return 1; }
		;;
	python)
		[ -n "$PY" ] && quiet "$PY" -c 'import json' || { why="python3 is not installed"; return 1; }
		;;
	*) why="unknown feature $1"; return 1 ;;
	esac
	why=
}

missing() {
	say "not supported here: $*"
	exit 77
}

# need FEATURE...: all of them, or the end with 77.
need() {
	local f
	for f in "$@"; do
		feature "$f" || missing "$why"
	done
}

# ---- recorders -----------------------------------------------------------------------------------

# The workload of a recorder: says that all events are attached, then lives as long as the target.
waiter() {
	waiter_words=("$LIB/waiter.sh" "$tmp/ready.${#recorders[@]}" "$pid" "$seconds")
}

# record NAME ARG...: perf record ... in the background, into $out/NAME.data.
record() {
	local name=$1
	shift
	waiter
	perf record -q -o "$out/$name.data" "$@" -- "${waiter_words[@]}" >"$tmp/$name.log" 2>&1 &
	recorders+=("$!:$name")
}

# counters NAME ARG...: perf stat in the background, machine-readable, into $out/NAME.csv.
counters() {
	local name=$1
	shift
	waiter
	perf stat -x ';' -o "$out/$name.csv" "$@" -- "${waiter_words[@]}" >"$tmp/$name.log" 2>&1 &
	recorders+=("$!:$name")
}

# run_for NAME COMMAND...: any other recorder. It makes $READY when it is attached and ends by itself
# when process $PID is gone (or SEC over).
run_for() {
	local name=$1
	shift
	READY=$tmp/ready.${#recorders[@]} PID=$pid SEC=$seconds "$@" >"$tmp/$name.log" 2>&1 &
	recorders+=("$!:$name")
}

# All recorders attached, or one of them gone.
attached() {
	local i p
	for i in "${!recorders[@]}"; do
		p=${recorders[$i]%%:*}
		until [ -e "$tmp/ready.$i" ]; do
			kill -0 "$p" 2>/dev/null || return 1
			sleep 0.02
		done
	done
}

# Starts the command behind its gate, in a process group of its own: what a script starts with a
# plain & ignores the terminal's interrupt, which the trap of the caller hands on.
gate() {
	set -m
	"$LIB/gate.sh" "$tmp/gate" "${cmd[@]}" </dev/null >&2 &
	gated=$!
	set +m
}

# wait that goes on after a signal of ours.
await() {
	local rc
	while :; do
		wait "$1"
		rc=$?
		kill -0 "$1" 2>/dev/null || return $rc
	done
}

collected() {
	local r name
	for r in "${recorders[@]}"; do
		await "${r%%:*}"
		name=${r#*:}
		[ ! -s "$tmp/$name.log" ] || grep -Ev '^\[ perf record|RLIMIT_MEMLOCK' "$tmp/$name.log" |
			sed "s/^/perf\/$tool: $name: /" >&2
	done
}

# Facts for the report that only the shell knows.
meta() {
	"$PY" "$LIB/report.py" meta "$out/meta.json" tool="$tool" question="$question" \
		capability="$capability" degraded_from="$degraded" pid="$pid" hz="$hz" \
		seconds="$1" status="$status" -- "${cmd[@]}"
}

perf_cleanup() {
	[ -z "${gated:-}" ] || kill -KILL "$gated" 2>/dev/null
	rm -rf "$tmp"
}

perf_main() {
	local start end
	perf_options "$@"
	[ "$dry" = yes ] && [ -z "$pid" ] && [ ${#cmd[@]} -eq 0 ] || perf_target
	need python
	tool_need
	if [ "$dry" = yes ]; then
		echo "perf/$tool: would use ${capability:-perf}${degraded:+ instead of $degraded}; results in $out"
		exit 0
	fi
	mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
	tmp=$(mktemp -d) || exit 1
	trap perf_cleanup EXIT
	gated=
	# Command and recorders end, then the report is written.
	trap '[ -z "$gated" ] || kill -INT "$gated" 2>/dev/null' INT
	if [ -z "$pid" ]; then
		mkfifo "$tmp/gate" || exit 1
		gate
		pid=$gated
	fi
	tool_collect
	attached || {
		say "a recorder could not attach:"
		cat "$tmp"/*.log >&2
		exit 1
	}
	# perf/all waits for this before it lets its command go, and says when it did.
	[ -z "${CANP_PERF_ATTACHED:-}" ] || : >"$CANP_PERF_ATTACHED"
	start=$(date +%s%N)
	if [ -n "$gated" ]; then
		echo go >"$tmp/gate"
		await "$gated"
		status=$?
		gated=
	else
		"$LIB/waiter.sh" "$tmp/over" "$pid" "$seconds"
	fi
	end=$(date +%s%N)
	collected
	[ ! -s "${CANP_PERF_GO:-}" ] || start=$(cat "$CANP_PERF_GO")
	meta $((end - start))
	tool_report || { say "no report: see $out"; exit 1; }
	rm -f "$out/meta.json"
	if [ "$json" = yes ]; then
		cat "$out/report.json"
	else
		cat "$out/report.txt"
	fi
	[ "$status" -eq 0 ] || say "the command ended with $status"
	exit "$status"
}
