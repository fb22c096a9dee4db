#!/bin/sh
# headers.sh: every header compiles alone, so that the order of includes never matters.
# Usage: headers.sh AUTOCONF CC
lint=headers
. tests/lint/lib.sh

flags="-std=gnu11 -D_GNU_SOURCE -I. -include $1 -Wall -Wextra -Werror -Wno-unused-macros"
list=$(mktemp)
c_files | grep '\.h$' >"$list"
while read -r h; do
	# Through a source file, because a header as main file warns about its own pragmas.
	if msg=$(echo "#include \"$h\"" | ${2:-gcc} $flags -fsyntax-only -x c - 2>&1); then
		pass 1
	else
		fail "$h does not compile alone: $(echo "$msg" | grep -m1 error)"
	fi
done <"$list"
rm -f "$list"
lint_end
