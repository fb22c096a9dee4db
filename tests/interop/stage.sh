#!/bin/sh
# stage.sh: prints the folder where the checkers of this folder can be run: copies of the scripts
# beside the pinned packages, outside the tree. The packages are installed when the lock file is
# seen for the first time. Without Node.js 20, npm or the registry it prints the reason and exits
# with 77.
# CANP_INTEROP_DIR (default /var/tmp/canp-interop-cache) holds one folder per lock file.
here=$(cd "$(dirname "$0")" && pwd)
lock=$(sha256sum <"$here/package-lock.json" | cut -c1-16)
dir=${CANP_INTEROP_DIR:-/var/tmp/canp-interop-cache}/$lock

skip() {
	echo "$1"
	exit 77
}

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null)
[ "${major:-0}" -ge 20 ] || skip "needs Node.js 20 or newer"
if [ ! -d "$dir" ]; then
	command -v npm >/dev/null || skip "needs npm"
	new=$dir.new.$$
	trap 'rm -rf "$new"' EXIT
	trap 'exit 143' INT TERM
	mkdir -p "$new" || exit 1
	cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$new" || exit 1
	(cd "$new" && timeout 300 npm ci --no-audit --no-fund --fetch-retries=1 \
		--fetch-timeout=30000) >"$new/npm.log" 2>&1 ||
		skip "npm ci failed: $(grep -m1 '^npm error' "$new/npm.log" || tail -n 1 "$new/npm.log")"
	# Two runs may install at once: the first one wins.
	mv -T "$new" "$dir" 2>/dev/null || [ -d "$dir" ] || exit 1
fi
# Scripts go to a folder of their own version, so that two trees do not overwrite each other.
run=$dir/run-$(cat "$here"/*.mjs | sha256sum | cut -c1-16)
if [ ! -d "$run" ]; then
	mkdir -p "$run.$$" && cp "$here"/*.mjs "$here/package.json" "$run.$$" || exit 1
	mv -T "$run.$$" "$run" 2>/dev/null || rm -rf "$run.$$"
fi
echo "$run"
