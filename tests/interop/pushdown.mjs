#!/usr/bin/env node
// pushdown.mjs FILE COLUMN...: shows that a range on each column makes DuckDB skip row groups. The
// file needs at least three row groups whose ranges of the column do not overlap. DuckDB does not
// report skipped groups, so they are made unreadable: in a copy of the file all pages of all row
// groups but one are overwritten. A query for that group's range must still give the result of the
// whole file, EXPLAIN ANALYZE must show the range inside the scan with as many rows, and a query
// over everything must fail. Exit status 1 when one of these does not hold.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parquetMetadataAsync } from 'hyparquet';
import { duck, fileBuffer, q, lit } from './engines.mjs';

const [file, ...columns] = process.argv.slice(2);
if (!columns.length) {
	console.error('usage: pushdown.mjs FILE COLUMN...');
	process.exit(2);
}
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'canp-pushdown-'));
process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
const c = await duck();
const one = async sql => (await c.runAndReadAll(sql)).getRows();
let bad = 0,
	good = 0;
const check = (ok, what) => {
	ok ? good++ : bad++;
	if (!ok) console.log('FAIL ' + what);
};

const buf = await fileBuffer(file),
	md = await parquetMetadataAsync(buf);
buf.close();

// Overwrites the pages of every group but `keep`; the footer and the page index stay.
function damaged(keep) {
	const copy = path.join(dir, `keep-${keep}.parquet`),
		bytes = fs.readFileSync(file);
	md.row_groups.forEach((g, i) => {
		for (const { meta_data: m } of i === keep ? [] : g.columns) {
			const at = Number(m.dictionary_page_offset ?? m.data_page_offset);
			bytes.fill(0xff, at, at + Number(m.total_compressed_size));
		}
	});
	fs.writeFileSync(copy, bytes);
	return copy;
}

for (const column of columns) {
	const keep = md.row_groups.length >> 1;
	check(md.row_groups.length >= 3, `${file}: only ${md.row_groups.length} row groups`);
	const [[lo, hi]] = await one(`select min(${q(column)})::varchar, max(${q(column)})::varchar from
		(select ${q(column)}, file_row_number as n from read_parquet(${lit(file)}, file_row_number = true))
		where n >= ${md.row_groups.slice(0, keep).reduce((n, g) => n + Number(g.num_rows), 0)}
		and n < ${md.row_groups.slice(0, keep + 1).reduce((n, g) => n + Number(g.num_rows), 0)}`);
	const copy = damaged(keep);
	const range = `${q(column)} between ${lit(lo)} and ${lit(hi)}`;
	const sum = f => `select count(*), sum(hash(t)) from (select * from read_parquet(${lit(f)}) where ${range}) t`;
	const [want] = await one(sum(file));
	let got = null;
	try {
		[got] = await one(sum(copy));
	} catch (e) {
		got = [e.message];
	}
	check(String(got) === String(want), `${file}: ${range}: ${got} with only group ${keep}, ${want} with all`);
	check(want[0] === md.row_groups[keep].num_rows, `${file}: ${range} is ${want[0]} rows, not one group`);
	let failed = false;
	try {
		await one(`select sum(hash(t)) from (select * from read_parquet(${lit(copy)})) t`);
	} catch {
		failed = true;
	}
	check(failed, `${file}: the damaged groups can be read`);
	const [[, plan]] = await one(`explain (analyze, format json) select * from read_parquet(${lit(copy)}) where ${range}`);
	const scan = (function find(n) {
		return n.extra_info?.Function ? n : (n.children ?? []).map(find).find(x => x);
	})(JSON.parse(plan));
	check(/>=/.test(String(scan?.extra_info.Filters)) && BigInt(scan.operator_cardinality) === want[0],
		`${file}: scan filters ${scan?.extra_info.Filters}, ${scan?.operator_cardinality} rows`);
	console.log(`${column}: EXPLAIN ANALYZE ${scan?.operator_name} filters ${String(scan?.extra_info.Filters)}: ` +
		`${scan?.operator_cardinality} rows from 1 of ${md.row_groups.length} row groups`);
}
console.log(`pushdown: ${good} passed, ${bad} failed`);
process.exit(bad ? 1 : 0);
