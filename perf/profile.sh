#!/bin/sh
# profile.sh [-F HZ] [-n ROWS] -- COMMAND...: where a run's CPU time goes, by function.
#
#   perf/profile.sh -- build/bin/canp-appliance run -q -d vehicle.dbc -o /tmp/out logs/
#
# Samples by cpu-clock, which works without hardware counters (virtual machines, containers with
# perf_event_paranoid <= 2). Prints the share of samples per function and library on stdout, what the
# command prints on stderr. Exit 77 when perf is missing or not allowed, else the command's.
hz=499 rows=25
while [ $# -gt 0 ]; do
	case $1 in
	-F) hz=$2; shift 2 ;;
	-n) rows=$2; shift 2 ;;
	--) shift; break ;;
	*) echo "usage: profile.sh [-F HZ] [-n ROWS] -- COMMAND..." >&2; exit 64 ;;
	esac
done
[ $# -gt 0 ] || { echo "profile.sh: no command" >&2; exit 64; }
command -v perf >/dev/null || { echo "profile.sh: perf is missing (apt install linux-perf)" >&2; exit 77; }
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
perf record -q -e cpu-clock -F "$hz" -o "$tmp/probe" -- true 2>"$tmp/why" || {
	echo "profile.sh: perf may not sample here: $(head -n 1 "$tmp/why")" >&2
	exit 77
}
perf record -q -e cpu-clock -F "$hz" -o "$tmp/data" -- "$@" >&2
code=$?
perf report -i "$tmp/data" --no-children --sort dso,symbol --stdio 2>/dev/null |
	grep -E '^ +[0-9]' | head -n "$rows"
exit $code
