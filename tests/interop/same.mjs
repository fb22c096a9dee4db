#!/usr/bin/env node
// same.mjs A B: two datasets must hold the same rows in every table, by DuckDB. Either may be CSV: its
// columns are read with the types of the other one. Columns of bytes are compared as hex.
import fs from 'node:fs';
import path from 'node:path';
import { duck, q, lit } from './engines.mjs';

const [a, b] = process.argv.slice(2);
const c = await duck();
const all = async sql => (await c.runAndReadAll(sql)).getRows();
let bad = 0,
	good = 0;
const fail = m => {
	bad++;
	console.log('FAIL ' + m);
};
const csv = dir => fs.readdirSync(dir).some(f => f.endsWith('.csv'));

// Empty texts count as null: CSV cannot tell them apart.
async function reader(dir, types) {
	const glob = ext => lit(path.join(dir, '*.' + ext));
	const list = hex => types.map(([n, t]) => {
		if (t !== 'BLOB' && t !== 'VARCHAR') return q(n);
		return `nullif(${t === 'BLOB' && hex ? `hex(${q(n)})` : q(n)}, '') as ${q(n)}`;
	}).join(',');
	if (!csv(dir)) return `select ${list(true)} from read_parquet(${glob('parquet')})`;
	const cols = types.map(([n, t]) => `${lit(n)}: ${lit(t === 'BLOB' ? 'VARCHAR' : t)}`).join(',');
	return `select ${list(false)} from read_csv(${glob('csv')}, header = true,
		auto_detect = false, delim = ',', quote = '"', escape = '"', columns = {${cols}})`;
}

const tables = d => fs.readdirSync(d).filter(t => t !== '_canp').sort();
if (String(tables(a)) !== String(tables(b))) fail(`tables: ${tables(a)} against ${tables(b)}`);
for (const t of tables(a).filter(t => fs.existsSync(path.join(b, t)))) {
	const da = path.join(a, t),
		db = path.join(b, t);
	try {
		const types = (await all(`describe select * from read_parquet(${lit(path.join(csv(da) ? db : da, '*.parquet'))})`)).map(r => [r[0], r[1]]);
		const ra = await reader(da, types),
			rb = await reader(db, types);
		const [[n, x, y]] = await all(`select (select count(*) from (${ra})),
			(select count(*) from (${ra} except all ${rb})), (select count(*) from (${rb} except all ${ra}))`);
		if (x || y) fail(`${t}: ${x} of ${n} rows only in ${a}, ${y} only in ${b}`);
		else good++;
	} catch (e) {
		fail(`${t}: ${e.message}`);
	}
}
console.log(`same: ${good} tables equal, ${bad} not`);
process.exit(bad ? 1 : 0);
