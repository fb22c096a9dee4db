#!/bin/sh
# layers.sh: who may include whom. The first match of a file's path decides; "core/base" stands for
# the ground floor, "core" for the rest of core.
lint=layers
. tests/lint/lib.sh

# layer: allowed layers. Inside core: process, pipeline and observe sit on runtime.
allowed() {
	case $1 in
	core/base) echo "core/base" ;;
	simd) echo "simd core/base" ;;
	numa) echo "numa core/base" ;;
	core/runtime) echo "core/runtime numa simd core/base" ;;
	core/pipeline) echo "core/pipeline core/observe core/runtime numa simd core/base" ;;
	core/process) echo "core/process core/observe core/runtime numa simd core/base" ;;
	core/observe) echo "core/observe core/runtime numa simd core/base" ;;
	core/command) echo "$1 core/process core/observe core/runtime numa simd core/base" ;;
	io) echo "io core/command core/runtime core/pipeline core/process core/observe numa simd core/base" ;;
	tools) echo "tools io core/command core/runtime core/pipeline core/process core/observe numa simd core/base" ;;
	kconfig) echo "kconfig tools io core/runtime core/base" ;;
	esac
}

layer_of() {
	case $1 in
	core/base/* | core/runtime/* | core/pipeline/* | core/process/* | core/command/* | core/observe/*)
		echo "${1%/*}" ;;
	core/*) echo "core/unknown" ;;
	*/*) echo "${1%%/*}" ;;
	*) echo "none" ;;
	esac
}

# What simd may see of the ground floor: nothing with state, memory or output.
simd_base="compiler bytes units assert"

# What core may see of simd besides the dispatch table: hash and checksum only, by header.
list=$(mktemp)
grep -Hno '^#[[:space:]]*include "[^"]*"' $(c_files) | grep -v '^tests/' |
	sed 's/^\([^:]*\):\([0-9]*\):.*"\(.*\)"/\1 \2 \3/' >"$list"
while read -r file line inc; do
	from=$(layer_of "$file")
	to=$(layer_of "$inc")
	if [ ! -f "$inc" ]; then
		fail "$file:$line: includes $inc, which is not a path from the root"
		continue
	fi
	case " $(allowed "$from") " in
	*" $to "*) ;;
	*)
		fail "$file:$line: $from may not include $to ($inc)"
		continue
		;;
	esac
	name=$(basename "$inc" .h)
	if [ "$from" = simd ] && [ "$to" = core/base ]; then
		case " $simd_base " in
		*" $name "*) ;;
		*)
			fail "$file:$line: simd may see of core/base only: $simd_base"
			continue
			;;
		esac
	fi
	case $name in
	*_priv)
		if [ "${file%/*}" != "${inc%/*}" ]; then
			fail "$file:$line: $inc is private to its folder"
			continue
		fi
		;;
	esac
	pass 1
done <"$list"
rm -f "$list"
lint_end
