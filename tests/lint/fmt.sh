#!/bin/sh
# fmt.sh: clang-format changes nothing.
lint=fmt
. tests/lint/lib.sh
if ! command -v clang-format >/dev/null; then
	echo "  SKIP: clang-format not found"
	lint_end
	exit
fi
for f in $(c_files); do
	if clang-format --dry-run -Werror "$f" 2>/dev/null; then
		pass 1
	else
		fail "$f is not formatted: make fmt"
	fi
done
lint_end
