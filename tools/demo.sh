#!/bin/sh
# demo.sh [BIN [DIR]]: the whole way in one minute: makes a dozen logs in three containers, turns them
# into a dataset and looks at it with DuckDB. DuckDB comes from the npm registry; where that cannot be
# had, the same job is done again with the CSV sink and the look is `head`. `make demo` runs this.
#
# DIR (default build/demo) is made afresh each time, except DIR/node, which holds DuckDB.
set -eu
BIN=${1:-build/bin}
DIR=${2:-build/demo}
DUCKDB=${CANP_DEMO_DUCKDB:-@duckdb/node-api@1.5.5-r.5}
APP=$BIN/canp-appliance
GEN=$BIN/canp-gen

say() {
	printf '\n== %s\n' "$*"
}

run() {
	printf '$ %s\n' "$*"
	"$@"
}

for p in "$APP" "$GEN"; do
	[ -x "$p" ] || { echo "demo: $p is not built: run make" >&2; exit 1; }
done
mkdir -p "$DIR/node"
for p in "$DIR"/* "$DIR"/.[!.]*; do
	[ "$p" = "$DIR/node" ] || rm -rf "$p"
done

say "1. Logs of three loggers, in three containers, and the database of their messages"
for c in canp:06 blf:12 candump:18; do
	hour=${c#*:}
	c=${c%:*}
	run "$GEN" --container $c --files 4 --size 2M --workload dense --seed 7 \
		--start "2024-05-01T$hour:00:00Z" --dbc "$DIR/vehicle.dbc" \
		"$DIR/logs/$c"
done
du -sh "$DIR"/logs/*

say "2. The job"
set +e
run "$APP" run -d "$DIR/vehicle.dbc" -o "$DIR/dataset" "$DIR/logs"
rc=$?
set -e
[ $rc -eq 0 ] || { echo "demo: canp-appliance ended with $rc" >&2; exit $rc; }

say "3. The dataset"
(cd "$DIR/dataset" && find . -type f | LC_ALL=C sort | head -n 24)

# DuckDB, once: the folder stays for the next time.
duckdb() {
	command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || {
		why="node and npm are not installed"
		return 1
	}
	[ -d "$DIR/node/node_modules/@duckdb/node-api" ] && return 0
	echo "fetching $DUCKDB from the npm registry..."
	timeout 90 npm install --prefix "$DIR/node" --no-audit --no-fund --loglevel=error "$DUCKDB" \
		>"$DIR/npm.log" 2>&1 && return 0
	why="npm could not fetch $DUCKDB ($(head -n 1 "$DIR/npm.log"))"
	rm -rf "$DIR/node/node_modules"
	return 1
}

look() {
	cat >"$DIR/node/look.mjs" <<'END'
// Questions to the dataset; the table with the most rows is the one looked at.
import { DuckDBInstance } from '@duckdb/node-api';
const dir = process.argv[2];
const db = await (await DuckDBInstance.create(':memory:')).connect();
await db.run("SET TimeZone = 'UTC'");
async function ask(sql) {
	const r = await db.runAndReadAll(sql);
	const rows = [r.columnNames(), ...r.getRowsJson().map((x) => x.map((v) => String(v ?? 'null')))];
	const width = rows[0].map((_, i) => Math.max(...rows.map((x) => x[i].length)));
	console.log('\nD ' + sql);
	for (const x of rows) console.log('  ' + x.map((v, i) => v.padEnd(width[i])).join('  ').trimEnd());
	return r.getRowsJson();
}
await ask(`SELECT format, count(*) AS files, sum(frames) AS frames, min(first_ts) AS first, max(last_ts) AS last
  FROM '${dir}/canp_files/*.parquet' GROUP BY format ORDER BY format`);
const top = await ask(`SELECT regexp_extract(file_name, '([^/]+)/part-', 1) AS "table", sum(num_rows)::BIGINT AS rows
  FROM parquet_file_metadata('${dir}/*/part-*.parquet')
  WHERE file_name NOT LIKE '%/canp_%' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5`);
if (!top.length) throw new Error('the dataset has no message table');
const table = top[0][0];
const cols = (await ask(`SELECT "column", type, unit, factor, "offset" FROM '${dir}/canp_signals/*.parquet'
  WHERE "table" = '${table}' ORDER BY factor = 1, "column" LIMIT 6`)).map((c) => c[0]);
await ask(`SELECT * FROM '${dir}/${table}/*.parquet' ORDER BY ts, src LIMIT 4`);
const col = cols[0]; // a scaled one where there is one
await ask(`SELECT date_trunc('minute', ts) AS minute, count(*) AS rows, min("${col}") AS lowest,
  round(avg("${col}"), 3) AS mean, max("${col}") AS highest
  FROM '${dir}/${table}/*.parquet' GROUP BY 1 ORDER BY 1 LIMIT 5`);
END
	timeout 60 node "$DIR/node/look.mjs" "$DIR/dataset" || {
		why="DuckDB did not run"
		return 1
	}
}

why=
if duckdb && look; then
	say "Shown with DuckDB ($DUCKDB). The dataset is in $DIR/dataset"
	exit 0
fi
say "4. A look at the data as CSV, because $why"
run "$APP" run --quiet --sink csv -d "$DIR/vehicle.dbc" -o "$DIR/csv" "$DIR/logs"
run head -n 6 "$DIR/csv/canp_files/part-00000.csv"
table=$(find "$DIR/csv" -name 'part-*.csv' ! -path '*/canp_*' -printf '%s %p\n' | sort -rn | sed -n '1s/^[0-9]* //p')
[ -n "$table" ] || { echo "demo: the dataset has no message table" >&2; exit 1; }
run head -n 6 "$table"
say "Shown as CSV. The Parquet dataset is in $DIR/dataset"
