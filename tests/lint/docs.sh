#!/bin/sh
# docs.sh: what libcanp.so exports is described in a public header, function by function (docs.py).
# Usage: docs.sh CC
lint=docs
. tests/lint/lib.sh
py=python3
command -v $py >/dev/null || py=/usr/bin/python3
if bad=$($py tests/lint/docs.py "${1:-gcc}" core/libcanp.map io/canp.h core/process/process_pool.h 2>&1); then
	[ -n "$bad" ] || pass 1
	findings "not described" "$bad"
else
	fail "docs.py: $bad"
fi
lint_end
