#!/bin/sh
# run-unit.sh DIR TEST...: runs each cmocka binary, prints its own lines, fails if one failed.
dir=$1
shift
bad=0
for t in "$@"; do
	echo "== $t"
	"$dir/$t" || { echo "FAILED: $t"; bad=$((bad + 1)); }
done
[ "$bad" -eq 0 ] || { echo "$bad unit test programs failed"; exit 1; }
