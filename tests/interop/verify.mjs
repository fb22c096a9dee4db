#!/usr/bin/env node
// verify.mjs [--engines=duckdb,arrow,hyparquet,polars] [--strict] [--no-lint] [--no-pushdown]
//            [--quiet] FILE...
// Reads every file with each engine, prints schema, row count and per-column min, max, sum, nulls
// and checksum. Exit status 1 on any disagreement.
import { engines, duck, q, lit, fileBuffer } from './engines.mjs';
import { parquetMetadataAsync, parquetSchema } from 'hyparquet';
import { KIND, leafType } from './lib.mjs';
import { lint } from './pqlint.mjs';

const opts = { engines: 'duckdb,arrow,hyparquet,polars' },
	files = [];
for (const a of process.argv.slice(2)) {
	const m = /^--(no-)?([a-z]+)(?:=(.*))?$/.exec(a);
	if (m) opts[m[2]] = m[1] ? false : (m[3] ?? true);
	else files.push(a);
}
if (!files.length) {
	console.error(
		'usage: verify.mjs [--engines=a,b] [--strict] [--no-lint] [--no-pushdown] [--quiet] FILE...',
	);
	process.exit(2);
}
const want = opts.engines.split(','),
	log = opts.quiet ? () => {} : console.log;
let bad = 0;
const fail = m => {
	bad++;
	console.log('FAIL ' + m);
};

async function pushdown(file, leaves, res) {
	// pruned scan (statistics, dictionary, bloom) against an unpruned count in the same engine
	const c = await duck(),
		rd = `read_parquet(${lit(file)})`;
	let probes = 0;
	for (const l of leaves) {
		const r = res[l.name];
		if (
			l.kind === KIND.OTHER ||
			r.min === null ||
			(l.kind === KIND.BYTES && l.text.startsWith('binary'))
		)
			continue;
		const vals = (
			await c.runAndReadAll(
				`select distinct ${q(l.name)} v from (select ${q(l.name)} from ${rd} where ${q(l.name)} is not null using sample reservoir(5 rows) repeatable (42)) union select min(${q(l.name)}) from ${rd} union select max(${q(l.name)}) from ${rd}`,
			)
		).getRows();
		for (const [v] of vals) {
			if (v === null) continue;
			const s =
				typeof v === 'string'
					? lit(v)
					: typeof v === 'number'
						? Number.isFinite(v)
							? v
							: `'${v}'`
						: typeof v === 'bigint' || typeof v === 'boolean'
							? String(v)
							: lit(v);
			const t = `cast(${s} as ${await colType(c, rd, l.name)})`;
			for (const op of ['=', '<=', '>']) {
				const a = (
					await c.runAndReadAll(
						`select count(*) from ${rd} where ${q(l.name)} ${op} ${t}`,
					)
				).getRows()[0][0];
				const b = (
					await c.runAndReadAll(
						`select count(*) filter (where ${q(l.name)} ${op} ${t}) from ${rd}`,
					)
				).getRows()[0][0];
				probes++;
				if (a !== b)
					fail(
						`${file}: ${l.name} ${op} ${s}: pruned scan finds ${a} rows, full scan ${b}`,
					);
			}
		}
		const a = (
			await c.runAndReadAll(
				`select count(*) from ${rd} where ${q(l.name)} is null`,
			)
		).getRows()[0][0];
		if (Number(a) !== r.nulls)
			fail(`${file}: ${l.name} IS NULL finds ${a}, expected ${r.nulls}`);
	}
	return probes;
}
const tcache = new Map();
async function colType(c, rd, name) {
	const k = rd + name;
	if (!tcache.has(k))
		tcache.set(
			k,
			(
				await c.runAndReadAll(
					`select column_type from (describe select ${q(name)} from ${rd})`,
				)
			).getRows()[0][0],
		);
	return tcache.get(k);
}

for (const file of files) {
	const t0 = Date.now(),
		bad0 = bad;
	let md, leaves;
	try {
		const b = await fileBuffer(file);
		md = await parquetMetadataAsync(b);
		b.close();
		leaves = parquetSchema(md)
			.children.filter(
				x => !x.children.length && x.element.repetition_type !== 'REPEATED',
			)
			.map(x => ({ name: x.element.name, ...leafType(x.element) }))
			.filter(l => l.kind !== KIND.OTHER);
		const skipped = parquetSchema(md).children.length - leaves.length;
		if (skipped) log(`  (${skipped} nested or unhandled columns not compared)`);
	} catch (e) {
		fail(`${file}: footer: ${e.message}`);
		continue;
	}
	log(
		`== ${file}  rows ${md.num_rows}  row groups ${md.row_groups.length}  created_by ${md.created_by ?? '-'}`,
	);
	for (const kv of md.key_value_metadata ?? [])
		log(`   meta ${kv.key} = ${String(kv.value).slice(0, 100)}`);
	const out = {};
	if (!leaves.length) {
		console.log(`SKIP ${file}  no comparable columns`);
		continue;
	}
	for (const e of want) {
		try {
			const r = await engines[e](file, leaves);
			if (!r) {
				log(`   (${e} not installed)`);
				continue;
			}
			out[e] = {
				...r,
				cols: Object.fromEntries(
					leaves.map(l => [l.name, r.accs[l.name].result()]),
				),
			};
		} catch (x) {
			fail(`${file}: ${e}: ${x.message ?? x}`);
		}
	}
	const names = Object.keys(out);
	if (names.length < 2) fail(`${file}: only ${names.length} engines read the file`);
	for (const l of leaves) {
		const r0 = names.find(e => !out[e].accs[l.name].skip),
			ref = out[r0]?.cols[l.name];
		if (!ref) continue;
		log(
			`   ${l.name.padEnd(18)} ${l.text.padEnd(20)} nulls ${ref.nulls}${ref.nans ? ' nans ' + ref.nans : ''} min ${ref.min} max ${ref.max} sum ${ref.sum} checksum ${ref.checksum}`,
		);
		if (out.duckdb && l.duck && !l.duck.split('|').includes(out.duckdb.types[l.name]))
			fail(
				`${file}: ${l.name}: DuckDB type ${out.duckdb.types[l.name]}, expected ${l.duck}`,
			);
		for (const e of names) {
			if (e === r0 || out[e].accs[l.name].skip) continue;
			const o = out[e].cols[l.name];
			for (const k of Object.keys(ref))
				if (o[k] !== ref[k])
					fail(
						`${file}: ${l.name}.${k}: ${r0} ${ref[k]} but ${e} ${o[k]}`,
					);
		}
		if (l.required && ref.nulls) fail(`${file}: ${l.name} is REQUIRED but has nulls`);
	}
	for (const e of names)
		for (const n of out[e].notes ?? [])
			if (opts.strict) fail(`${file}: (strict) ${n}`);
			else log(`   warn ${n}`);
	for (const e of names)
		if (BigInt(out[e].rows) !== md.num_rows)
			fail(`${file}: ${e} read ${out[e].rows} rows, footer says ${md.num_rows}`);
	let lintN = '-',
		probes = '-';
	if (opts.lint !== false) {
		const r = await lint(file);
		lintN = r.checks;
		for (const m of r.errors) fail(`${file}: lint: ${m}`);
		for (const m of r.warnings)
			if (opts.strict) fail(`${file}: lint (strict): ${m}`);
			else log(`   warn ${m}`);
	}
	if (opts.pushdown !== false && names.length)
		try {
			probes = await pushdown(file, leaves, out[names[0]].cols);
		} catch (x) {
			fail(`${file}: pushdown: ${x.message}`);
		}
	console.log(
		`${bad === bad0 ? 'OK  ' : 'BAD '} ${file}  rows ${md.num_rows} columns ${leaves.length} engines ${names.join('+')} lint ${lintN} pushdown ${probes} ${(Date.now() - t0) / 1000}s`,
	);
}
process.exit(bad ? 1 : 0);
