#!/usr/bin/env node
// rows.mjs LISTING REPEAT: LISTING is a JSON object, name -> dataset folder. Each dataset comes from
// two files: src 0 has every frame once, src 1 has all of them REPEAT times. Prints per dataset the
// rows of src 0 as texts, and as `bad` the tables whose src 1 is not an exact repetition of them.
// Side tables are printed whole. Values are texts that read back to the same number.
import fs from 'node:fs';
import path from 'node:path';
import { duck, q, lit } from './engines.mjs';

const [listing, repeat] = process.argv.slice(2);
const c = await duck();
const all = async sql => (await c.runAndReadAll(sql)).getRows();
const text = v => (v === null ? null : typeof v === 'object' ? v.toString() : String(v));

async function table(name, from, bad) {
	const r = await c.runAndReadAll(`select * from ${from} limit 0`);
	const cols = r.columnNames().filter(n => !['ts', 'src', 'file_row_number'].includes(n));
	const list = cols.map(q).join(',');
	if (name.startsWith('canp_'))
		return (await all(`select ${list} from ${from}`)).map(row =>
			Object.fromEntries(row.map((v, i) => [cols[i], text(v)])));
	const rows = await all(`select ${list} from ${from} where src = 0 order by file_row_number`);
	const n = rows.length;
	if (n) {
		// Position of a row among those of its source; equal positions must be equal rows.
		const [[count, distinct]] = await all(`with p as (
			select (row_number() over (partition by src order by file_row_number) - 1) % ${n} as pos,
				src, ${list} from ${from}),
			d as (select distinct pos, ${list} from p)
			select (select count(*) from p where src = 1), (select count(*) from d)`);
		if (Number(count) !== n * Number(repeat)) bad.push(`${name}: ${count} repeated rows of ${n}`);
		else if (Number(distinct) !== n) bad.push(`${name}: ${distinct} different rows, not ${n}`);
	}
	return rows.map(row => Object.fromEntries(row.map((v, i) => [cols[i], text(v)])));
}

const out = {};
for (const [name, folder] of Object.entries(JSON.parse(fs.readFileSync(listing, 'utf8')))) {
	const bad = [],
		tables = {};
	for (const t of fs.readdirSync(folder).filter(t => t !== '_canp'))
		tables[t] = await table(t,
			`read_parquet(${lit(path.join(folder, t, '*.parquet'))}, file_row_number = true)`, bad);
	out[name] = { bad, tables };
}
process.stdout.write(JSON.stringify(out));
