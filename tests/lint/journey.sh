#!/bin/sh
# journey.sh: README's "One file's journey" names functions and files; all of them must exist, so the
# chapter cannot fall behind the code.
lint=journey
. tests/lint/lib.sh
text=$(awk '/^## One file/ { on = 1; next } /^## / { on = 0 } on' README.md)
if [ -z "$text" ]; then
	fail "README.md has no chapter \"One file's journey\""
fi
sources=$(c_files | grep '\.c$' | grep -v '^tests/')
for fn in $(printf '%s\n' "$text" | grep -oE 'canp_[a-z0-9_]+' | sort -u); do
	# A definition: the name at the head of a line, no semicolon, a brace soon after.
	if grep -hE -A6 "^[a-z][a-z0-9_ *]*[ *]$fn\(" $sources | grep -q '^{'; then
		pass 1
	else
		fail "README.md names $fn, which is defined nowhere"
	fi
done
for f in $(printf '%s\n' "$text" | grep -oE '(core|io|simd|numa)/[a-z0-9_/*]+\.c' | sort -u); do
	# The pattern is meant to expand: README may name a family of files.
	set -- $f
	if [ -e "$1" ]; then
		pass 1
	else
		fail "README.md names $f, which does not exist"
	fi
done
lint_end
