// Four independent Parquet readers behind one interface:
//   scan(file, leaves) -> Promise<{rows, columns:{name: Acc}, types:{name:string}}>
// duckdb (C++), arrow (arrow-rs compiled to wasm), hyparquet (pure JavaScript), polars (polars-parquet, Rust; optional)
import fs from 'node:fs';
import { DuckDBInstance } from '@duckdb/node-api';
import { parquetMetadataAsync, parquetRead } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { Acc, KIND, bitmapOk } from './lib.mjs';

const MAXSLICE = 1 << 21; // rows held at once by the slice-wise readers
export const q = s => '"' + String(s).replaceAll('"', '""') + '"';
export const lit = s => "'" + String(s).replaceAll("'", "''") + "'";
let db;
export async function duck() {
	db ??= await DuckDBInstance.create(':memory:', {
		threads: process.env.VERIFY_THREADS ?? '2',
	});
	const c = await db.connect();
	await c.run("SET TimeZone='UTC'");
	return c;
}

export async function fileBuffer(file) {
	// random-access buffer over one descriptor
	const fd = fs.openSync(file, 'r'),
		size = fs.fstatSync(fd).size;
	return {
		byteLength: size,
		close: () => fs.closeSync(fd),
		slice(s, e = size) {
			if (s < 0) s += size;
			const b = new ArrayBuffer(e - s);
			let o = 0;
			while (o < e - s) {
				const r = fs.readSync(
					fd,
					new Uint8Array(b, o),
					0,
					e - s - o,
					s + o,
				);
				if (!r) throw new Error(`short read at ${s + o}`);
				o += r;
			}
			return b;
		},
	};
}

const mkAccs = leaves => Object.fromEntries(leaves.map(l => [l.name, new Acc(l.kind, l.unsigned)]));
function feed(acc, leaf, v, n, ok, get, mul = 1n) {
	switch (leaf.kind) {
		case KIND.I32:
		case KIND.BOOL:
			return acc.i32(v, n, ok);
		case KIND.I64:
			return acc.i64(v, n, ok, mul);
		case KIND.F64:
			return acc.f64(v, n, ok);
		default:
			return acc.bytes(get ?? (i => v[i]), n, ok);
	}
}

export const engines = {
	async duckdb(file, leaves) {
		const c = await duck(),
			accs = mkAccs(leaves);
		const r = await c.stream(
			`select ${leaves.map(l => q(l.name)).join(',')} from read_parquet(${lit(file)})`,
		);
		const types = Object.fromEntries(
			leaves.map((l, i) => [l.name, String(r.columnType(i))]),
		);
		let rows = 0;
		const notes = [];
		for (const l of leaves)
			if (l.unit === 'NANOS' && types[l.name] === 'TIMESTAMP WITH TIME ZONE') {
				accs[l.name].skip = true;
				notes.push(
					`${l.name}: DuckDB reads TIMESTAMP(NANOS, UTC) as microsecond TIMESTAMPTZ and drops the last three digits`,
				);
			}
		for (;;) {
			const ch = await r.fetchChunk();
			if (!ch || ch.rowCount === 0) break;
			rows += ch.rowCount;
			leaves.forEach((l, i) => {
				const v = ch.getColumnVector(i),
					n = ch.rowCount,
					d = v.validity?.data;
				const ok = d
					? bitmapOk(
							new Uint8Array(
								d.buffer,
								d.byteOffset,
								d.byteLength,
							),
							v.validity.offset,
						)
					: null;
				let items = v.items;
				if (
					l.kind === KIND.BOOL ||
					(!items && l.kind !== KIND.BYTES && l.kind !== KIND.OTHER)
				)
					items = Array.from({ length: n }, (_, k) => v.getItem(k));
				if (l.kind === KIND.I64 && items && !items.buffer)
					items = BigInt64Array.from(items, x =>
						BigInt.asIntN(
							64,
							typeof x === 'bigint'
								? x
								: (x?.micros ?? x?.nanos ?? 0n),
						),
					);
				feed(accs[l.name], l, items, n, ok, k => {
					const x = v.getItem(k);
					return x == null
						? null
						: (x.bytes ??
								(typeof x === 'string'
									? x
									: String(x)));
				});
			});
		}
		c.disconnectSync?.();
		return { rows, accs, types, notes };
	},

	async arrow(file, leaves) {
		const [{ ParquetFile }, arrow] = await Promise.all([
			import('parquet-wasm'),
			import('apache-arrow'),
		]);
		const pf = await ParquetFile.fromFile(await fs.openAsBlob(file)),
			md = pf.metadata();
		const accs = mkAccs(leaves),
			types = {};
		let rows = 0;
		for (let g = 0; g < md.numRowGroups(); g++) {
			const nr = md.rowGroup(g).numRows();
			rows += nr;
			for (const l of leaves)
				for (let off = 0; off < Math.max(nr, 1); off += MAXSLICE) {
					const t = await pf.read({
						rowGroups: [g],
						columns: [l.name],
						offset: off,
						limit: Math.min(MAXSLICE, nr - off),
						batchSize: 65536,
					});
					const tab = arrow.tableFromIPC(t.intoIPCStream());
					const col = tab.schema.fields[0];
					types[l.name] = String(col?.type);
					for (const b of tab.batches) {
						const vec = b.getChildAt(0),
							d = vec.data[0],
							n = b.numRows;
						const ok = d.nullCount
							? bitmapOk(d.nullBitmap, d.offset)
							: null;
						let v = d.values;
						if (
							l.kind === KIND.BOOL ||
							(l.kind === KIND.F64 &&
								l.text.startsWith('float16'))
						)
							v = Array.from({ length: n }, (_, k) =>
								vec.get(k),
							);
						else if (
							l.kind === KIND.I64 &&
							v &&
							v.BYTES_PER_ELEMENT === 4
						)
							v = new BigInt64Array(
								v.buffer,
								v.byteOffset,
								v.length / 2,
							);
						feed(
							accs[l.name],
							l,
							v,
							n,
							ok,
							k => {
								const x = vec.get(k);
								return x == null ? null : x;
							},
							l.mul,
						);
					}
				}
		}
		return { rows, accs, types };
	},

	async hyparquet(file, leaves) {
		const buf = await fileBuffer(file),
			metadata = await parquetMetadataAsync(buf),
			accs = mkAccs(leaves),
			types = {};
		const id = x => x,
			parsers = {
				timestampFromMilliseconds: id,
				timestampFromMicroseconds: id,
				timestampFromNanoseconds: id,
				dateFromDays: id,
				jsonFromBytes: id,
				stringFromBytes: id,
				uuidFromBytes: id,
			};
		let base = 0;
		for (const rg of metadata.row_groups) {
			const n = Number(rg.num_rows);
			for (const l of leaves) {
				let seen = 0;
				await parquetRead({
					file: buf,
					metadata,
					compressors,
					columns: [l.name],
					rowStart: base,
					rowEnd: base + n,
					parsers,
					utf8: false,
					onChunk: ({ columnData: v, rowStart }) => {
						if (rowStart !== base + seen)
							throw new Error(
								`hyparquet chunk order ${rowStart} != ${base + seen}`,
							);
						const m = v.length;
						seen += m;
						const plain = ArrayBuffer.isView(v);
						const ok = plain ? null : k => v[k] != null;
						types[l.name] = v.constructor.name;
						let w = v;
						if (
							l.kind === KIND.I64 &&
							!(v instanceof BigInt64Array)
						)
							w = BigInt64Array.from(v, x =>
								x == null
									? 0n
									: BigInt.asIntN(
											64,
											BigInt(x),
										),
							);
						feed(accs[l.name], l, w, m, ok, k => v[k], l.mul);
					},
				});
				if (seen !== n)
					throw new Error(
						`hyparquet read ${seen} of ${n} rows of ${l.name}`,
					);
			}
			base += n;
		}
		buf.close();
		return { rows: base, accs, types };
	},

	async polars(file, leaves) {
		let pl;
		try {
			pl = (await import('nodejs-polars')).default;
		} catch {
			return null;
		}
		const accs = mkAccs(leaves),
			types = {};
		let rows = 0;
		for (let off = 0; ; off += MAXSLICE) {
			const df = await pl
				.scanParquet(file)
				.select(...leaves.map(l => l.name))
				.slice(off, MAXSLICE)
				.collect();
			const n = df.height;
			rows += n;
			if (!n) break;
			for (const l of leaves) {
				if (l.text.startsWith('binary')) {
					accs[l.name].skip = true;
					continue;
				} // nodejs-polars cannot hand binary columns over
				let s = df.getColumn(l.name);
				types[l.name] = String(s.dtype);
				let v;
				const nul = s.nullCount();
				const ok0 = nul ? s.isNotNull().toArray() : null;
				if (l.kind === KIND.I64)
					s = s.cast(l.unsigned ? pl.UInt64 : pl.Int64);
				if (l.kind === KIND.I32)
					s = s.cast(l.unsigned ? pl.Int64 : pl.Int32);
				if (l.kind === KIND.F64) s = s.cast(pl.Float64);
				const num = [KIND.I32, KIND.I64, KIND.F64].includes(l.kind);
				if (nul && num) s = s.fillNull('zero');
				v =
					l.kind === KIND.BOOL ||
					l.kind === KIND.BYTES ||
					l.kind === KIND.OTHER
						? s.toArray()
						: s.toTypedArray();
				if (l.kind === KIND.I64)
					v = v.buffer
						? new BigInt64Array(
								v.buffer,
								v.byteOffset,
								v.length,
							)
						: BigInt64Array.from(v, x =>
								x == null
									? 0n
									: BigInt.asIntN(
											64,
											BigInt(x),
										),
							);
				feed(
					accs[l.name],
					l,
					v,
					n,
					ok0 ? i => ok0[i] : null,
					i => v[i],
					l.mul,
				);
			}
			if (n < MAXSLICE) break;
		}
		return { rows, accs, types };
	},
};
