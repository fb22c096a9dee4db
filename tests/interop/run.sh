#!/bin/sh
# run.sh FILE...: checks Parquet files with four readers and the structural lint. See README.md.
# Installs the pinned packages once, outside the tree. Skips (status 0) without Node.js 20 or npm.
here=$(cd "$(dirname "$0")" && pwd)
dir=${CANP_INTEROP_DIR:-/tmp/canp-interop}

[ $# -gt 0 ] || { echo "usage: run.sh FILE..." >&2; exit 64; }
major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null)
if [ "${major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then
	echo "interop: skipped, needs Node.js 20 or newer and npm"
	exit 0
fi
mkdir -p "$dir" && cp "$here"/*.mjs "$here"/package.json "$here"/package-lock.json "$here"/.npmrc "$dir"/ || exit 1
if ! cmp -s "$dir/package-lock.json" "$dir/.installed"; then
	(cd "$dir" && npm ci >npm.log 2>&1) || { cat "$dir/npm.log"; exit 1; }
	cp "$dir/package-lock.json" "$dir/.installed"
fi
exec node "$dir/verify.mjs" --strict --quiet "$@"
