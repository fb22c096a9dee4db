#!/bin/sh
# tidy.sh: banned calls, sizes of lines, functions and files, unique names, leftovers.
#
# tests/lint/long-functions.txt is a ratchet: functions over 70 lines that are allowed, with their
# length ("file:function lines"). They may shrink, not grow, and the list may only get shorter.
lint=tidy
. tests/lint/lib.sh

src=$(c_files)
product=$(echo "$src" | grep -v '^tests/')

# Comments and strings removed, so that words in texts do not count; lines stay lines. The words
# "lint: allow" on a line let one use through; the reason stands beside them.
strip() {
	awk 'FNR == 1 { c = 0 }
	/lint: allow/ { next }
	{
		s = $0
		gsub(/\\"/, "", s)
		gsub(/"[^"]*"/, "\"\"", s)
		if (c) {
			if (!sub(/^.*\*\//, "", s))
				s = ""
			else
				c = 0
		}
		gsub(/\/\*[^*]*\*+([^\/*][^*]*\*+)*\//, "", s)
		if (sub(/\/\*.*$/, "", s))
			c = 1
		print FILENAME ":" FNR ": " s
	}' "$@"
}

code=$(mktemp)
sizes=$(mktemp)
strip $product >"$code"

calls='strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|strtok|tmpnam|mktemp|alloca'
findings "banned call" "$(grep -E "[^_[:alnum:]]($calls)\(" "$code")"
findings "bare assert (use CANP_ASSERT)" "$(grep -E '[^_[:alnum:]]assert\(' "$code")"
findings "volatile (use __atomic)" "$(grep -E '[^_[:alnum:]]volatile[^_[:alnum:]]' "$code" |
	grep -v 'asm')"

# Code that runs on a reactor after boot takes its memory from the arena. What makes and ends these
# objects lives in the same files and may allocate; it is known by its name.
hot() {
	for f in ring ring_sync reactor timer wake mesh sched; do
		[ ! -f "core/runtime/$f.c" ] || strip "core/runtime/$f.c"
	done | awk '{ body = $0; sub(/^[^ ]* /, "", body) }
		body ~ /^[A-Za-z_].*\(/ {
			name = body
			sub(/\(.*/, "", name)
			sub(/.*[ *]/, "", name)
		}
		body ~ /[^_[:alnum:]](malloc|calloc|realloc|reallocarray|posix_memalign|aligned_alloc|strdup|strndup)\(/ &&
		name !~ /(create|init|open|new|destroy|start|setup|attach|alloc)/ { print $0 " in " name }'
}
findings "allocation in hot file" "$(hot)"

awk -f tests/lint/tidy.awk $src >"$sizes"
# Tests may carry a long line of input as it is.
findings "over 100 columns" "$(grep '^columns' "$sizes" | cut -d' ' -f2- | grep -v '^tests/')"

ratchet=tests/lint/long-functions.txt
long() {
	grep '^length' "$sizes" | grep -v ' tests/' | while read -r _ where lines; do
		max=$(awk -v w="$where" '$1 == w { print $2 }' $ratchet)
		[ "$lines" -le "${max:-70}" ] || echo "$where has $lines lines, ${max:-70} allowed"
	done
	grep -v '^#' $ratchet | while read -r where max _; do
		now=$(awk -v w="$where" '$1 == "length" && $2 == w { print $3 }' "$sizes")
		[ "${now:-0}" -ge "$max" ] || echo "$where is ${now:-within 70} now; lower it in $ratchet"
	done
}
findings "long function" "$(long)"

big() {
	wc -l $product | awk '$1 > 600 && $2 != "total" { print $2, $1 }' | while read -r f n; do
		# A file may say at its head why it stays whole: "Long file: ...".
		head -40 "$f" | grep -q 'Long file:' || echo "$f has $n lines"
	done
}
findings "file over 600 lines" "$(big)"
findings "file name used twice" "$(echo "$src" | sed 's#.*/##' | sort | uniq -d)"
# Split, so that this file does not find itself. (XXX is not in it: DBC files name nodes so.)
w1=FIX w2=TO
findings "leftover" "$(grep -nwE "(${w1}ME|${w2}DO)" $src Makefile kconfig/Kconfig* tests/*.sh \
	tests/*.mk 2>/dev/null)"
findings "white space at the end of a line" "$(grep -nE '[[:space:]]+$' $src)"
open_end() {
	for f in $src; do
		[ -z "$(tail -c1 "$f")" ] || echo "$f"
	done
}
findings "no newline at the end of the file" "$(open_end)"
rm -f "$code" "$sizes"
lint_end
