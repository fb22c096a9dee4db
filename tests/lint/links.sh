#!/bin/sh
# links.sh: each layer links against the layers below it and nothing else. All objects of an archive
# are pulled in, so a call upwards is an undefined symbol.
# Usage: links.sh DIR CC "LIBS" ["LDFLAGS"]
lint=links
. tests/lint/lib.sh
dir=$1 cc=$2 libs=$3 ld=$4
tmp=$(mktemp -d)
echo 'int main(void) { return 0; }' >"$tmp/main.c"

# check LAYER BELOW...
check() {
	whole=$dir/libcanp_$1.a
	[ -n "$(ar t "$whole" 2>/dev/null)" ] || { echo "  SKIP: $1 has no objects"; return; }
	shift
	below=
	for l in "$@"; do
		below="$below $dir/libcanp_$l.a"
	done
	if msg=$($cc $ld -o "$tmp/main" "$tmp/main.c" -Wl,--whole-archive "$whole" \
		-Wl,--no-whole-archive $below $libs 2>&1); then
		pass 1
	else
		fail "$whole: $(echo "$msg" | grep -m3 'undefined reference' | sed 's#.*/##' | tr '\n' ' ')"
	fi
}
check base
check numa base
check simd base
check core simd numa base
check io core simd numa base
rm -rf "$tmp"
lint_end
