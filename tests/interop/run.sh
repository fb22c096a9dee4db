#!/bin/sh
# run.sh [OPTION...] FILE...: checks Parquet files with independent readers and the structural lint.
# Options are those of verify.mjs. See README.md. Skips (status 0) what stage.sh cannot install.
[ $# -gt 0 ] || { echo "usage: run.sh [OPTION...] FILE..." >&2; exit 64; }
dir=$(sh "$(dirname "$0")/stage.sh")
case $? in
0) exec node "$dir/verify.mjs" --strict --quiet "$@" ;;
77) echo "interop: skipped, $dir" ;;
*) exit 1 ;;
esac
