#!/usr/bin/env node
// pqlint.mjs [--strict] FILE...   strict structural check of flat Parquet files, with its own Thrift compact reader (shares no code with the readers):
// footer and page headers field by field, page walk, sizes, offsets, CRC, levels/indices/delta streams, statistics and page index against the data.
import fs from 'node:fs';
import zlib from 'node:zlib';
import { pathToFileURL } from 'node:url';
import { compressors } from 'hyparquet-compressors';
import { snappyUncompress } from 'hyparquet';

// ---- schema of the Thrift structures: id -> [name, type, required]; types: bool i8 i16 i32 i64 dbl bin str, 'L:'+t list, struct name
const S = {
	FileMetaData: {
		1: ['version', 'i32', 1],
		2: ['schema', 'L:SchemaElement', 1],
		3: ['num_rows', 'i64', 1],
		4: ['row_groups', 'L:RowGroup', 1],
		5: ['kv', 'L:KeyValue'],
		6: ['created_by', 'str'],
		7: ['column_orders', 'L:ColumnOrder'],
	},
	SchemaElement: {
		1: ['type', 'i32'],
		2: ['type_length', 'i32'],
		3: ['repetition', 'i32'],
		4: ['name', 'str', 1],
		5: ['num_children', 'i32'],
		6: ['converted', 'i32'],
		7: ['scale', 'i32'],
		8: ['precision', 'i32'],
		9: ['field_id', 'i32'],
		10: ['logical', 'LogicalType'],
	},
	LogicalType: {
		1: ['STRING', 'Empty'],
		2: ['MAP', 'Empty'],
		3: ['LIST', 'Empty'],
		4: ['ENUM', 'Empty'],
		5: ['DECIMAL', 'DecimalType'],
		6: ['DATE', 'Empty'],
		7: ['TIME', 'TimeType'],
		8: ['TIMESTAMP', 'TimeType'],
		10: ['INTEGER', 'IntType'],
		11: ['UNKNOWN', 'Empty'],
		12: ['JSON', 'Empty'],
		13: ['BSON', 'Empty'],
		14: ['UUID', 'Empty'],
		15: ['FLOAT16', 'Empty'],
		16: ['VARIANT', 'Any'],
		17: ['GEOMETRY', 'Any'],
		18: ['GEOGRAPHY', 'Any'],
		19: ['FILE', 'Any'],
	},
	Empty: {},
	Any: null,
	DecimalType: { 1: ['scale', 'i32', 1], 2: ['precision', 'i32', 1] },
	TimeType: { 1: ['utc', 'bool', 1], 2: ['unit', 'TimeUnit', 1] },
	TimeUnit: { 1: ['MILLIS', 'Empty'], 2: ['MICROS', 'Empty'], 3: ['NANOS', 'Empty'] },
	IntType: { 1: ['bitWidth', 'i8', 1], 2: ['isSigned', 'bool', 1] },
	RowGroup: {
		1: ['columns', 'L:ColumnChunk', 1],
		2: ['total_byte_size', 'i64', 1],
		3: ['num_rows', 'i64', 1],
		4: ['sorting', 'L:SortingColumn'],
		5: ['file_offset', 'i64'],
		6: ['total_compressed_size', 'i64'],
		7: ['ordinal', 'i16'],
	},
	SortingColumn: {
		1: ['idx', 'i32', 1],
		2: ['descending', 'bool', 1],
		3: ['nulls_first', 'bool', 1],
	},
	ColumnChunk: {
		1: ['file_path', 'str'],
		2: ['file_offset', 'i64', 1],
		3: ['md', 'ColumnMetaData'],
		4: ['oi_off', 'i64'],
		5: ['oi_len', 'i32'],
		6: ['ci_off', 'i64'],
		7: ['ci_len', 'i32'],
		8: ['crypto', 'Any'],
		9: ['encmd', 'bin'],
	},
	ColumnMetaData: {
		1: ['type', 'i32', 1],
		2: ['encodings', 'L:i32', 1],
		3: ['path', 'L:str', 1],
		4: ['codec', 'i32', 1],
		5: ['num_values', 'i64', 1],
		6: ['usize', 'i64', 1],
		7: ['csize', 'i64', 1],
		8: ['kv', 'L:KeyValue'],
		9: ['data_off', 'i64', 1],
		10: ['index_off', 'i64'],
		11: ['dict_off', 'i64'],
		12: ['stats', 'Statistics'],
		13: ['enc_stats', 'L:PageEncodingStats'],
		14: ['bloom_off', 'i64'],
		15: ['bloom_len', 'i32'],
		16: ['size_stats', 'SizeStatistics'],
		17: ['geo', 'Any'],
	},
	SizeStatistics: { 1: ['unenc', 'i64'], 2: ['rep_hist', 'L:i64'], 3: ['def_hist', 'L:i64'] },
	PageEncodingStats: {
		1: ['page_type', 'i32', 1],
		2: ['encoding', 'i32', 1],
		3: ['count', 'i32', 1],
	},
	KeyValue: { 1: ['key', 'str', 1], 2: ['value', 'str'] },
	Statistics: {
		1: ['max', 'bin'],
		2: ['min', 'bin'],
		3: ['null_count', 'i64'],
		4: ['distinct_count', 'i64'],
		5: ['max_value', 'bin'],
		6: ['min_value', 'bin'],
		7: ['max_exact', 'bool'],
		8: ['min_exact', 'bool'],
		9: ['nan_count', 'i64'],
	},
	ColumnOrder: {
		1: ['TYPE_ORDER', 'Empty'],
		2: ['IEEE_754_TOTAL_ORDER', 'Empty'],
		3: ['INT96', 'Empty'],
	},
	PageHeader: {
		1: ['type', 'i32', 1],
		2: ['usize', 'i32', 1],
		3: ['csize', 'i32', 1],
		4: ['crc', 'i32'],
		5: ['data', 'DataPageHeader'],
		6: ['index', 'Empty'],
		7: ['dict', 'DictionaryPageHeader'],
		8: ['data2', 'DataPageHeaderV2'],
	},
	DataPageHeader: {
		1: ['num_values', 'i32', 1],
		2: ['encoding', 'i32', 1],
		3: ['def_enc', 'i32', 1],
		4: ['rep_enc', 'i32', 1],
		5: ['stats', 'Statistics'],
	},
	DictionaryPageHeader: {
		1: ['num_values', 'i32', 1],
		2: ['encoding', 'i32', 1],
		3: ['is_sorted', 'bool'],
	},
	DataPageHeaderV2: {
		1: ['num_values', 'i32', 1],
		2: ['num_nulls', 'i32', 1],
		3: ['num_rows', 'i32', 1],
		4: ['encoding', 'i32', 1],
		5: ['def_len', 'i32', 1],
		6: ['rep_len', 'i32', 1],
		7: ['is_compressed', 'bool'],
		8: ['stats', 'Statistics'],
	},
	OffsetIndex: { 1: ['locs', 'L:PageLocation', 1], 2: ['unenc', 'L:i64'] },
	PageLocation: {
		1: ['offset', 'i64', 1],
		2: ['size', 'i32', 1],
		3: ['first_row', 'i64', 1],
	},
	ColumnIndex: {
		1: ['null_pages', 'L:bool', 1],
		2: ['min_values', 'L:bin', 1],
		3: ['max_values', 'L:bin', 1],
		4: ['order', 'i32', 1],
		5: ['null_counts', 'L:i64'],
		6: ['rep_hist', 'L:i64'],
		7: ['def_hist', 'L:i64'],
		8: ['nan_counts', 'L:i64'],
	},
};
const WIRE = { bool: [1, 2], i8: [3], i16: [4], i32: [5], i64: [6], dbl: [7], bin: [8], str: [8] };
class T {
	constructor(b, p = 0, e = b.length) {
		this.b = b;
		this.p = p;
		this.e = e;
	}
	u8() {
		if (this.p >= this.e) throw new Error('thrift: truncated');
		return this.b[this.p++];
	}
	uv() {
		let r = 0n,
			s = 0n;
		for (let i = 0; i < 10; i++) {
			const c = this.u8();
			r |= BigInt(c & 127) << s;
			if (c < 128) return r;
			s += 7n;
		}
		throw new Error('thrift: varint too long');
	}
	zz() {
		const u = this.uv();
		return (u >> 1n) ^ -(u & 1n);
	}
	val(t) {
		if (t === 'i8') return (this.u8() << 24) >> 24;
		if (t === 'i16' || t === 'i32') {
			const z = this.zz();
			if (z < -(1n << 31n) || z >= 1n << 31n)
				throw new Error('thrift: i32 out of range');
			return Number(z);
		}
		if (t === 'i64') return this.zz();
		if (t === 'bin' || t === 'str') {
			const n = Number(this.uv());
			if (this.p + n > this.e) throw new Error('thrift: binary past end');
			const r = this.b.subarray(this.p, this.p + n);
			this.p += n;
			return t === 'str' ? Buffer.from(r).toString('utf8') : r;
		}
		if (t === 'bool') {
			const c = this.u8();
			if (c !== 1 && c !== 2 && c !== 0)
				throw new Error(`thrift: list bool ${c}`);
			return c === 1;
		}
		if (t === 'Any') {
			this.skip(12);
			return {};
		}
		return this.struct(t);
	}
	list(t) {
		const h = this.u8(),
			n = h >> 4 === 15 ? Number(this.uv()) : h >> 4,
			w = h & 15,
			want = WIRE[t] ?? [12];
		if (n && !want.includes(w))
			throw new Error(`thrift: list element wire type ${w}, expected ${want}`);
		const r = [];
		for (let i = 0; i < n; i++) r.push(this.val(t));
		return r;
	}
	struct(name) {
		const d = S[name],
			o = {};
		let id = 0;
		for (;;) {
			const h = this.u8();
			if (h === 0) break;
			const w = h & 15;
			id = h >> 4 ? id + (h >> 4) : Number(this.zz());
			const f = d[id];
			if (!f) {
				if (id === 32767) {
					this.skip(w);
					continue;
				}
				throw new Error(
					`thrift: ${name} has unknown field ${id} wire ${w}`,
				);
			}
			const [k, t] = f,
				lt = t.startsWith('L:'),
				want = lt ? [9] : (WIRE[t] ?? [12]);
			if (!want.includes(w))
				throw new Error(
					`thrift: ${name}.${k} wire type ${w}, expected ${want}`,
				);
			if (k in o) throw new Error(`thrift: ${name}.${k} twice`);
			o[k] = lt ? this.list(t.slice(2)) : t === 'bool' ? w === 1 : this.val(t);
		}
		for (const i in d)
			if (d[i][2] && !(d[i][0] in o))
				throw new Error(`thrift: ${name}.${d[i][0]} missing`);
		return o;
	}
	skip(w) {
		switch (w) {
			case 1:
			case 2:
				return;
			case 3:
				this.u8();
				return;
			case 4:
			case 5:
			case 6:
				this.uv();
				return;
			case 7:
				this.p += 8;
				return;
			case 8:
				this.p += Number(this.uv());
				return;
			case 9:
			case 10: {
				const h = this.u8(),
					n = h >> 4 === 15 ? Number(this.uv()) : h >> 4;
				for (let i = 0; i < n; i++) this.skip(h & 15);
				return;
			}
			case 12:
				for (;;) {
					const h = this.u8();
					if (!h) return;
					if (!(h >> 4)) this.zz();
					this.skip(h & 15);
				}
			default:
				throw new Error(`thrift: cannot skip wire ${w}`);
		}
	}
}
const ENC = [
	'PLAIN',
	,
	'PLAIN_DICTIONARY',
	'RLE',
	'BIT_PACKED',
	'DELTA_BINARY_PACKED',
	'DELTA_LENGTH_BYTE_ARRAY',
	'DELTA_BYTE_ARRAY',
	'RLE_DICTIONARY',
	'BYTE_STREAM_SPLIT',
	'ALP',
];
const CODEC = ['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'LZO', 'BROTLI', 'LZ4', 'ZSTD', 'LZ4_RAW'];
function decompress(codec, src, n) {
	if (codec === 0) return src;
	if (n === 0) return src.subarray(0, 0);
	if (codec === 1) {
		const o = new Uint8Array(n);
		snappyUncompress(src, o);
		return o;
	}
	const u8 = b => new Uint8Array(b.buffer, b.byteOffset, b.length).slice();
	if (codec === 2) return u8(zlib.gunzipSync(src));
	if (codec === 4) return u8(zlib.brotliDecompressSync(src));
	const f = compressors[CODEC[codec]];
	if (!f) throw new Error(`codec ${CODEC[codec]} not available`);
	return f(src, n);
}
// strict RLE/bit-packed hybrid; returns Int32Array(n) and requires every byte consumed
function hybrid(b, bw, n, what) {
	const out = new Int32Array(n);
	let p = 0,
		k = 0;
	const nb = (bw + 7) >> 3;
	while (k < n) {
		let h = 0,
			s = 0,
			c;
		do {
			if (p >= b.length)
				throw new Error(
					`${what}: run header past end at value ${k} of ${n}`,
				);
			c = b[p++];
			h += (c & 127) * 2 ** s;
			s += 7;
		} while (c > 127 && s < 35);
		if (h & 1) {
			const m = Math.floor(h / 2) * 8,
				bytes = (m * bw) / 8;
			if (!m) throw new Error(`${what}: empty bit-packed run`);
			let need = bytes;
			if (p + bytes > b.length)
				throw new Error(`${what}: bit-packed run of ${m} values past end`);
			if (k + m - n >= 8)
				hybrid.soft?.(
					`${what}: last bit-packed run overshoots by ${k + m - n} values (8 or more)`,
				);
			let acc = 0n,
				have = 0,
				q = p;
			const mask = (1n << BigInt(bw)) - 1n;
			if (bw <= 24) {
				let a = 0,
					hv = 0;
				const mk = bw ? 2 ** bw - 1 : 0,
					e = Math.min(m, n - k);
				for (let i = 0; i < e; i++) {
					while (hv < bw) {
						a |= b[q++] << hv;
						hv += 8;
					}
					out[k++] = a & mk;
					a >>>= bw;
					hv -= bw;
				}
			} else
				for (let i = 0; i < m; i++) {
					while (have < bw) {
						acc |= BigInt(b[q++]) << BigInt(have);
						have += 8;
					}
					if (k < n) out[k++] = Number(acc & mask);
					acc >>= BigInt(bw);
					have -= bw;
				}
			p += need;
		} else {
			const m = h / 2;
			if (!m) throw new Error(`${what}: empty RLE run`);
			if (k + m > n)
				throw new Error(`${what}: RLE run overshoots by ${k + m - n}`);
			let v = 0;
			for (let i = 0; i < nb; i++) v += b[p++] * 2 ** (8 * i);
			if (p > b.length) throw new Error(`${what}: RLE value past end`);
			if (v >= 2 ** bw)
				throw new Error(`${what}: RLE value ${v} wider than ${bw} bits`);
			out.fill(v, k, k + m);
			k += m;
		}
	}
	if (p !== b.length) throw new Error(`${what}: ${b.length - p} bytes left over`);
	return out;
}
function delta(b, n, wide, what) {
	// DELTA_BINARY_PACKED -> BigInt array; strict
	const r = new T(b),
		blk = Number(r.uv()),
		mb = Number(r.uv()),
		cnt = Number(r.uv());
	let v = r.zz();
	const out = [];
	if (blk % 128 || !blk) throw new Error(`${what}: block size ${blk}`);
	if (!mb || blk % mb || (blk / mb) % 32)
		throw new Error(`${what}: ${mb} miniblocks in ${blk}`);
	if (cnt !== n) throw new Error(`${what}: count ${cnt}, page has ${n} values`);
	const vpm = blk / mb,
		W = wide ? 64 : 32;
	if (n) out.push(BigInt.asIntN(W, v));
	while (out.length < n) {
		const min = r.zz(),
			bws = [];
		for (let i = 0; i < mb; i++) bws.push(r.u8());
		for (let i = 0; i < mb && out.length < n; i++) {
			const bw = bws[i];
			if (bw > W) throw new Error(`${what}: miniblock width ${bw}`);
			const bytes = (bw * vpm) / 8;
			if (r.p + bytes > r.e) throw new Error(`${what}: miniblock past end`);
			let acc = 0n,
				have = 0,
				q = r.p;
			const mask = (1n << BigInt(bw)) - 1n;
			for (let k = 0; k < vpm && out.length < n; k++) {
				while (have < bw) {
					acc |= BigInt(b[q++]) << BigInt(have);
					have += 8;
				}
				v = BigInt.asIntN(W, v + min + (acc & mask));
				acc >>= BigInt(bw);
				have -= bw;
				out.push(v);
			}
			r.p += bytes;
		}
	}
	return [out, r.p];
}

export async function lint(file) {
	const errors = [],
		warnings = [];
	let checks = 0;
	const seenW = new Map();
	const err = m => {
			if (errors.length < 40) errors.push(m);
		},
		warn = (key, m) => {
			const n = (seenW.get(key) ?? 0) + 1;
			seenW.set(key, n);
			if (n === 1) warnings.push(m);
		};
	hybrid.soft = m => warn('overshoot', m);
	const ck = (c, m) => {
		checks++;
		if (!c) err(typeof m === 'function' ? m() : m);
		return c;
	};
	const fd = fs.openSync(file, 'r'),
		size = fs.fstatSync(fd).size;
	const rd = (o, n) => {
		if (o < 0 || n < 0 || o + n > size)
			throw new Error(`read ${n}@${o} outside file of ${size}`);
		const b = Buffer.alloc(n);
		let k = 0;
		while (k < n) k += fs.readSync(fd, b, k, n - k, o + k);
		return new Uint8Array(b.buffer, b.byteOffset, n);
	};
	try {
		if (!ck(size >= 12, 'file shorter than 12 bytes'))
			return { errors, warnings, checks };
		const magic = b => Buffer.from(b).toString('latin1');
		const tail = rd(size - 8, 8);
		ck(magic(rd(0, 4)) === 'PAR1', 'leading magic');
		if (!ck(magic(tail.subarray(4)) === 'PAR1', 'trailing magic'))
			return { errors, warnings, checks };
		const fl = Buffer.from(tail).readUInt32LE(0),
			fo = size - 8 - fl;
		if (!ck(fo >= 4, 'footer length')) return { errors, warnings, checks };
		const ft = new T(rd(fo, fl)),
			m = ft.struct('FileMetaData');
		ck(ft.p === fl, `footer has ${fl - ft.p} bytes after FileMetaData`);
		ck(m.version === 1 || m.version === 2, `version ${m.version}`);
		if (m.version !== 1) warn('version', `version ${m.version} (1 recommended)`);
		const root = m.schema[0];
		ck(
			root && root.num_children !== undefined && root.type === undefined,
			'root schema element',
		);
		const flat = m.schema.slice(1).every(e => !e.num_children && e.repetition !== 2);
		const leaves = []; // with max def / rep level
		(function walk(i, n, d, r) {
			for (let k = 0; k < n; k++) {
				const e = m.schema[i];
				if (!e) throw new Error('schema tree short');
				ck(
					e.repetition >= 0 && e.repetition <= 2,
					`${e.name}: repetition_type`,
				);
				const dd = d + (e.repetition ? 1 : 0),
					rr = r + (e.repetition === 2 ? 1 : 0);
				i++;
				if (e.num_children) i = walk(i, e.num_children, dd, rr);
				else {
					ck(e.type !== undefined, `${e.name}: leaf without type`);
					leaves.push({ e, d: dd, r: rr });
				}
			}
			return i;
		})(1, root.num_children, 0, 0);
		const names = new Set();
		for (const l of m.schema.slice(1)) {
			if (flat) {
				ck(!names.has(l.name), `duplicate column ${l.name}`);
				names.add(l.name);
			}
			const u = l.logical && Object.keys(l.logical)[0];
			if (u) {
				const t = l.type,
					okT = {
						STRING: [6],
						ENUM: [6],
						JSON: [6],
						BSON: [6],
						DATE: [1],
						TIMESTAMP: [2],
						TIME: [1, 2],
						INTEGER: [1, 2],
						FLOAT16: [7],
						UUID: [7],
						DECIMAL: [1, 2, 6, 7],
					}[u];
				if (okT)
					ck(
						okT.includes(t),
						`${l.name}: ${u} on physical type ${t}`,
					);
				if (u === 'INTEGER') {
					const w = l.logical.INTEGER.bitWidth;
					ck(
						[8, 16, 32, 64].includes(w) &&
							(w === 64) === (t === 2),
						`${l.name}: integer width ${w}`,
					);
					const want =
						(l.logical.INTEGER.isSigned ? 15 : 11) +
						Math.log2(w / 8);
					ck(
						l.converted === undefined || l.converted === want,
						`${l.name}: converted_type ${l.converted}, expected ${want}`,
					);
					if (l.converted === undefined)
						warn(
							'conv',
							`${l.name}: INTEGER without converted_type (older readers)`,
						);
				}
				if (u === 'TIMESTAMP') {
					const un = Object.keys(l.logical.TIMESTAMP.unit)[0],
						want = { MILLIS: 9, MICROS: 10 }[un];
					ck(
						l.converted === undefined || l.converted === want,
						`${l.name}: converted_type ${l.converted} for ${un}`,
					);
				}
				if (u === 'STRING') {
					ck(
						l.converted === undefined || l.converted === 0,
						`${l.name}: converted_type`,
					);
					if (l.converted === undefined)
						warn(
							'conv',
							`${l.name}: STRING without converted_type UTF8`,
						);
				}
			}
		}
		let tot = 0n;
		for (const g of m.row_groups) tot += g.num_rows;
		ck(tot === m.num_rows, `num_rows ${m.num_rows}, row groups hold ${tot}`);
		const hasStats = m.row_groups.some(g =>
			g.columns.some(c => c.md?.stats?.min_value),
		);
		if (hasStats)
			ck(
				m.column_orders?.length === leaves.length,
				`column_orders has ${m.column_orders?.length ?? 0} entries for ${leaves.length} columns`,
			);
		const spans = [];
		m.row_groups.forEach((g, gi) => {
			ck(
				g.columns.length === leaves.length,
				`row group ${gi}: ${g.columns.length} columns`,
			);
			let us = 0n,
				cs = 0n,
				first = null;
			if (g.ordinal !== undefined)
				ck(g.ordinal === gi, `row group ${gi}: ordinal ${g.ordinal}`);
			for (const s of g.sorting ?? [])
				ck(
					s.idx >= 0 && s.idx < leaves.length,
					`row group ${gi}: sorting column ${s.idx}`,
				);
			g.columns.forEach((c, ci) => {
				const L = leaves[ci],
					md = c.md,
					at = `rg ${gi} col ${L.e.name}`;
				if (!ck(md, `${at}: no meta_data`)) return;
				ck(!c.file_path, `${at}: file_path set`);
				ck(md.path.at(-1) === L.e.name, `${at}: path ${md.path}`);
				ck(md.type === L.e.type, `${at}: type`);
				us += md.usize;
				cs += md.csize;
				if (flat)
					ck(
						md.num_values === g.num_rows,
						`${at}: num_values ${md.num_values} rows ${g.num_rows}`,
					);
				const start =
					md.dict_off && md.dict_off > 0n && md.dict_off < md.data_off
						? md.dict_off
						: md.data_off;
				first ??= start;
				spans.push([Number(start), Number(start + md.csize), at]);
				if (
					!ck(
						start >= 4n && Number(start + md.csize) <= fo,
						`${at}: chunk ${start}+${md.csize} outside data area`,
					)
				)
					return;
				const buf = rd(Number(start), Number(md.csize));
				let p = 0,
					u = 0,
					vals = 0,
					dict = null,
					firstData = null,
					rows = 0;
				const pages = [],
					encs = new Set(),
					est = new Map();
				let dictPageN = -1,
					sortedFlag = false;
				const wid = { 1: 4, 2: 8, 4: 4, 5: 8, 3: 12, 7: L.e.type_length }[
					md.type
				];
				try {
					while (p < buf.length) {
						const t = new T(buf, p),
							h = t.struct('PageHeader'),
							hl = t.p - p;
						if (
							!ck(
								t.p + h.csize <= buf.length,
								`${at}: page past chunk end`,
							)
						)
							break;
						const body = buf.subarray(t.p, t.p + h.csize),
							pos = Number(start) + p;
						u += hl + h.usize;
						const pn = `${at} page@${pos}`;
						if (h.crc !== undefined)
							ck(
								(zlib.crc32(body) | 0) === h.crc,
								`${pn}: CRC`,
							);
						else warn('crc', 'pages carry no CRC');
						const inc = (pt, e) =>
							est.set(
								pt + ',' + e,
								(est.get(pt + ',' + e) ?? 0) + 1,
							);
						if (h.type === 2) {
							ck(
								h.dict &&
									pages.length === 0 &&
									!dict,
								`${pn}: dictionary page not first`,
							);
							ck(
								h.dict.encoding === 0 ||
									h.dict.encoding === 2,
								`${pn}: dictionary encoding ${h.dict.encoding}`,
							);
							if (
								md.dict_off !== undefined &&
								md.dict_off > 0n
							)
								ck(
									Number(md.dict_off) === pos,
									`${at}: dictionary_page_offset`,
								);
							else
								warn(
									'dictoff',
									`${at}: dictionary page without dictionary_page_offset`,
								);
							dict = decompress(md.codec, body, h.usize);
							ck(
								dict.length === h.usize,
								`${pn}: decompressed ${dict.length}, header says ${h.usize}`,
							);
							dictPageN = h.dict.num_values;
							if (wid)
								ck(
									dict.length ===
										wid * dictPageN,
									`${pn}: dictionary ${dict.length} bytes for ${dictPageN} values`,
								);
							encs.add(h.dict.encoding);
							inc(2, h.dict.encoding);
							sortedFlag = !!h.dict.is_sorted;
						} else if (h.type === 0 || h.type === 3) {
							const v2 = h.type === 3,
								H = v2 ? h.data2 : h.data;
							if (!ck(H, `${pn}: header union`)) break;
							firstData ??= pos;
							encs.add(H.encoding);
							inc(h.type, H.encoding);
							const n = H.num_values;
							vals += n;
							let b,
								lv = null,
								off = 0,
								nn = n;
							if (v2) {
								ck(
									L.r === 0
										? H.rep_len === 0
										: true,
									`${pn}: rep levels on flat column`,
								);
								const ll = H.def_len + H.rep_len,
									rest = body.subarray(ll);
								const comp =
									H.is_compressed !== false &&
									md.codec !== 0;
								const ul = h.usize - ll;
								const val = comp
									? decompress(
											md.codec,
											rest,
											ul,
										)
									: rest;
								ck(
									val.length === ul,
									`${pn}: values ${val.length} bytes, expected ${ul}`,
								);
								if (L.d)
									lv = hybrid(
										body.subarray(
											H.rep_len,
											ll,
										),
										Math.ceil(
											Math.log2(
												L.d +
													1,
											),
										),
										n,
										pn + ' def levels',
									);
								else
									ck(
										H.def_len === 0,
										`${pn}: def levels on required column`,
									);
								b = val;
								encs.add(3);
								rows += H.num_rows;
								if (L.r === 0)
									ck(
										H.num_rows === n,
										`${pn}: num_rows`,
									);
							} else {
								const full = decompress(
									md.codec,
									body,
									h.usize,
								);
								ck(
									full.length === h.usize,
									`${pn}: decompressed ${full.length}, header says ${h.usize}`,
								);
								const dv = new DataView(
									full.buffer,
									full.byteOffset,
									full.length,
								);
								if (L.r) {
									off =
										4 +
										dv.getUint32(
											0,
											true,
										);
								}
								if (L.d) {
									ck(
										H.def_enc === 3,
										`${pn}: def level encoding ${H.def_enc}`,
									);
									const l = dv.getUint32(
										off,
										true,
									);
									lv = hybrid(
										full.subarray(
											off + 4,
											off + 4 + l,
										),
										Math.ceil(
											Math.log2(
												L.d +
													1,
											),
										),
										n,
										pn + ' def levels',
									);
									off += 4 + l;
									encs.add(3);
								}
								b = full.subarray(off);
							}
							if (lv) {
								nn = 0;
								for (const x of lv) {
									if (x === L.d) nn++;
									else if (x > L.d)
										err(
											`${pn}: def level ${x}`,
										);
								}
							}
							if (v2)
								ck(
									n - nn === H.num_nulls,
									`${pn}: num_nulls ${H.num_nulls}, levels say ${n - nn}`,
								);
							let v = null,
								uq = null;
							const dvv = () =>
								new DataView(
									b.buffer,
									b.byteOffset,
									b.length,
								);
							const plain = (src, cnt) => {
								const d = new DataView(
									src.buffer,
									src.byteOffset,
									src.length,
								);
								const cp = () =>
									Uint8Array.prototype.slice.call(
										src,
										0,
										wid * cnt,
									).buffer;
								switch (md.type) {
									case 1:
										return new Int32Array(
											cp(),
										);
									case 2:
										return new BigInt64Array(
											cp(),
										);
									case 4:
										return new Float32Array(
											cp(),
										);
									case 5:
										return new Float64Array(
											cp(),
										);
									case 0:
										return Array.from(
											{
												length: cnt,
											},
											(_, i) =>
												(src[
													i >>
														3
												] >>
													(i &
														7)) &
												1,
										);
									case 6: {
										let o = 0;
										const r = [];
										for (
											let i = 0;
											i < cnt;
											i++
										) {
											const l =
												d.getUint32(
													o,
													true,
												);
											r.push(
												Buffer.from(
													src.subarray(
														o +
															4,
														o +
															4 +
															l,
													),
												),
											);
											o += 4 + l;
										}
										if (
											o !==
											src.length
										)
											throw new Error(
												`${pn}: PLAIN byte arrays use ${o} of ${src.length}`,
											);
										return r;
									}
									case 7:
										return Array.from(
											{
												length: cnt,
											},
											(_, i) =>
												Buffer.from(
													src.subarray(
														wid *
															i,
														wid *
															i +
															wid,
													),
												),
										);
								}
							};
							switch (ENC[H.encoding]) {
								case 'PLAIN':
									if (wid)
										ck(
											b.length ===
												wid *
													nn,
											`${pn}: PLAIN ${b.length} bytes for ${nn} values`,
										);
									if (md.type === 0)
										ck(
											b.length ===
												(nn +
													7) >>
													3,
											`${pn}: PLAIN bool bytes`,
										);
									if (md.type !== 3)
										v = plain(b, nn);
									break;
								case 'RLE_DICTIONARY':
								case 'PLAIN_DICTIONARY': {
									if (
										!ck(
											dict,
											`${pn}: dictionary page missing`,
										)
									)
										break;
									if (
										nn === 0 &&
										b.length <= 1
									) {
										v = [];
										break;
									}
									const bw = b[0];
									ck(
										bw <= 32,
										`${pn}: index width ${bw}`,
									);
									const idx = hybrid(
										b.subarray(1),
										bw,
										nn,
										pn + ' indices',
									);
									let mx = -1;
									for (const x of idx)
										if (x > mx) mx = x;
									ck(
										mx < dictPageN,
										`${pn}: index ${mx} of dictionary ${dictPageN}`,
									);
									if (dictPageN > 1) {
										const minw = Math.ceil(Math.log2(dictPageN));
										if (bw > minw)
											warn(
												'bw',
												`${pn}: index width ${bw}, ${minw} suffices for ${dictPageN} entries`,
											);
									}
									const dv = (dict.vals ??=
										plain(
											dict,
											dictPageN,
										));
									if (md.type !== 3 && dv) {
										const used =
											new Uint8Array(
												dictPageN,
											);
										for (const x of idx)
											used[x] = 1;
										uq = [];
										for (
											let i = 0;
											i <
											dictPageN;
											i++
										)
											if (used[i])
												uq.push(
													dv[
														i
													],
												);
										v = () =>
											Array.from(
												idx,
												i =>
													dv[
														i
													],
											);
									}
									break;
								}
								case 'DELTA_BINARY_PACKED': {
									const [d, used] = delta(
										b,
										nn,
										md.type === 2,
										pn,
									);
									ck(
										used === b.length,
										`${pn}: ${b.length - used} bytes after delta stream`,
									);
									v =
										md.type === 2
											? d
											: d.map(
													Number,
												);
									break;
								}
								case 'BYTE_STREAM_SPLIT': {
									ck(
										b.length ===
											wid * nn,
										`${pn}: BYTE_STREAM_SPLIT ${b.length} bytes`,
									);
									const o = new Uint8Array(
										b.length,
									);
									for (let i = 0; i < nn; i++)
										for (
											let k = 0;
											k < wid;
											k++
										)
											o[
												i *
													wid +
													k
											] =
												b[
													k *
														nn +
														i
												];
									v = plain(o, nn);
									break;
								}
								case 'RLE': {
									ck(
										md.type === 0,
										`${pn}: RLE values on type ${md.type}`,
									);
									ck(
										dvv().getUint32(
											0,
											true,
										) ===
											b.length -
												4,
										`${pn}: RLE bool length`,
									);
									v = hybrid(
										b.subarray(4),
										1,
										nn,
										pn,
									);
									break;
								}
								case 'DELTA_LENGTH_BYTE_ARRAY': {
									const [len, used] = delta(
										b,
										nn,
										false,
										pn,
									);
									let o = used;
									v = len.map(l => {
										const r =
											Buffer.from(
												b.subarray(
													o,
													o +
														Number(
															l,
														),
												),
											);
										o += Number(l);
										return r;
									});
									ck(
										o === b.length,
										`${pn}: DELTA_LENGTH bytes`,
									);
									break;
								}
								default:
									warn(
										'enc',
										`${pn}: values of encoding ${ENC[H.encoding]} not decoded by lint`,
									);
							}
							pages.push({
								pos,
								size: hl + h.csize,
								n,
								nn,
								nulls: n - nn,
								v:
									typeof v === 'function'
										? v
										: v && (() => v),
								uq: () => uq ?? v,
								stats: H.stats,
								row0:
									v2 && L.r
										? rows - H.num_rows
										: vals - n,
							});
						} else if (h.type !== 1)
							err(`${pn}: page type ${h.type}`);
						p = t.p + h.csize;
					}
				} catch (x) {
					err(`${at}: ${x.message}`);
					return;
				}
				ck(p === buf.length, `${at}: pages end at ${p} of ${buf.length}`);
				ck(
					BigInt(u) === md.usize,
					`${at}: total_uncompressed_size ${md.usize}, pages sum to ${u}`,
				);
				ck(
					BigInt(vals) === md.num_values,
					`${at}: num_values ${md.num_values}, pages hold ${vals}`,
				);
				if (firstData !== null && Number(md.data_off) !== firstData) {
					const o = `${at}: data_page_offset ${md.data_off}, first data page at ${firstData}`;
					if (dict && !md.dict_off)
						warn(
							'dataoff',
							o +
								' (points at the dictionary page: old parquet-mr/impala habit)',
						);
					else ck(false, o);
				} else checks++;
				for (const e of encs)
					if (e === 0 && dict && !est.has('0,0') && !est.has('3,0')) {
						if (!md.encodings.includes(0))
							warn(
								'encdict',
								`${at}: encodings list lacks PLAIN (its dictionary page)`,
							);
					} else if (e !== 3)
						ck(
							md.encodings.includes(e),
							`${at}: encodings list lacks ${ENC[e]}`,
						);
					else if (L.d && !md.encodings.includes(3))
						warn(
							'encrle',
							`${at}: encodings list lacks RLE (definition levels)`,
						);
				for (const e of md.encodings)
					if (!encs.has(e) && e !== 3)
						warn(
							'encextra',
							`${at}: encodings list names ${ENC[e]} but no page uses it`,
						);
				if (md.enc_stats) {
					const ms = new Map(
						md.enc_stats.map(s => [
							s.page_type + ',' + s.encoding,
							s.count,
						]),
					);
					for (const [k, n] of est)
						ck(
							ms.get(k) === n,
							`${at}: encoding_stats ${k}: ${ms.get(k)}, pages ${n}`,
						);
				}
				// statistics against data
				const lg = L.e.logical && Object.keys(L.e.logical)[0],
					uns =
						lg === 'INTEGER'
							? !L.e.logical.INTEGER.isSigned
							: [11, 12, 13, 14].includes(L.e.converted);
				const isF = md.type === 4 || md.type === 5;
				const dec = b => {
					const d = Buffer.from(b);
					try {
						switch (md.type) {
							case 0:
								return d[0];
							case 1:
								return uns
									? d.readUInt32LE(0)
									: d.readInt32LE(0);
							case 2:
								return uns
									? d.readBigUInt64LE(0)
									: d.readBigInt64LE(0);
							case 4:
								return d.readFloatLE(0);
							case 5:
								return d.readDoubleLE(0);
							default:
								return d;
						}
					} catch {
						return undefined;
					}
				};
				const norm = x =>
					!uns
						? x
						: md.type === 1
							? x >>> 0
							: md.type === 2
								? BigInt.asUintN(64, x)
								: x;
				const cmp = (a, b) =>
					Buffer.isBuffer(a)
						? Buffer.compare(a, b)
						: a < b
							? -1
							: a > b
								? 1
								: 0;
				const range = v => {
					let mn,
						mx,
						nan = 0;
					for (let x of v) {
						x = norm(x);
						if (isF && x !== x) {
							nan++;
							continue;
						}
						if (mn === undefined || cmp(x, mn) < 0) mn = x;
						if (mx === undefined || cmp(x, mx) > 0) mx = x;
					}
					return { mn, mx, nan };
				};
				const statOk =
					[0, 1, 2, 4, 5, 6].includes(md.type) &&
					lg !== 'DECIMAL' &&
					lg !== 'INTERVAL' &&
					L.r === 0;
				const check = (st, r, nulls, w) => {
					if (!st) return;
					if (st.null_count !== undefined)
						ck(
							Number(st.null_count) === nulls,
							`${w}: null_count ${st.null_count}, data has ${nulls}`,
						);
					else warn('nullc', `${w}: null_count absent`);
					if (st.nan_count !== undefined)
						ck(
							Number(st.nan_count) === r.nan,
							`${w}: nan_count`,
						);
					if (!statOk) return;
					for (const [k, ex, val, sg] of [
						['min_value', 'min_exact', r.mn, 1],
						['max_value', 'max_exact', r.mx, -1],
					])
						if (st[k]) {
							const s = dec(st[k]);
							ck(
								s !== undefined &&
									(md.type === 6 ||
										st[k].length ===
											(md.type ===
											0
												? 1
												: wid)),
								`${w}: ${k} has ${st[k].length} bytes`,
							);
							if (isF) ck(s === s, `${w}: ${k} is NaN`);
							if (val === undefined) {
								if (!isF || r.nan === 0)
									warn(
										'statnull',
										`${w}: ${k} present but no values`,
									);
								continue;
							}
							const c = cmp(s, val);
							if (st[ex])
								ck(
									c === 0,
									() =>
										`${w}: ${k} ${s} flagged exact, data has ${val}`,
								);
							else
								ck(
									c * sg <= 0,
									() =>
										`${w}: ${k} ${s} excludes data ${val}`,
								);
							if (c !== 0 && !st[ex] && md.type !== 6)
								warn(
									'loose',
									`${w}: ${k} is ${s}, data ${val} (loose bound)`,
								);
							if (isF && s === 0)
								ck(
									Object.is(
										s,
										k === 'min_value'
											? -0
											: 0,
									) || true,
									'',
								);
							if (
								isF &&
								s === 0 &&
								Object.is(
									s,
									k === 'min_value' ? 0 : -0,
								)
							)
								warn(
									'negzero',
									`${w}: ${k} zero has the wrong sign (spec: min -0.0, max +0.0)`,
								);
						}
				};
				const okV = pages.every(x => x.v);
				if (okV) {
					const rs = pages.map(x => range(x.uq()));
					const all = { mn: undefined, mx: undefined, nan: 0 };
					for (const r of rs) {
						all.nan += r.nan;
						if (r.mn !== undefined) {
							if (
								all.mn === undefined ||
								cmp(r.mn, all.mn) < 0
							)
								all.mn = r.mn;
							if (
								all.mx === undefined ||
								cmp(r.mx, all.mx) > 0
							)
								all.mx = r.mx;
						}
					}
					const nulls = pages.reduce((a, x) => a + x.nulls, 0);
					check(md.stats, all, nulls, at + ' stats');
					if (!md.stats) warn('nostats', `${at}: no statistics`);
					if (md.stats?.distinct_count !== undefined) {
						const ds = new Set();
						for (const x of pages)
							for (const y of x.uq())
								ds.add(
									Buffer.isBuffer(y)
										? y.toString('hex')
										: y,
								);
						ck(
							Number(md.stats.distinct_count) === ds.size,
							`${at}: distinct_count ${md.stats.distinct_count}, data ${ds.size}`,
						);
					}
					pages.forEach((x, i) =>
						check(
							x.stats,
							rs[i],
							x.nulls,
							`${at} page ${i} stats`,
						),
					);
					if (sortedFlag && dict?.vals)
						for (let i = 1; i < dict.vals.length; i++)
							if (
								!ck(
									cmp(
										norm(
											dict.vals[
												i -
													1
											],
										),
										norm(dict.vals[i]),
									) < 0,
									`${at}: dictionary flagged sorted but entry ${i} is not above the one before`,
								)
							)
								break;
					for (const [si, s] of (g.sorting ?? []).entries())
						if (si === 0 && s.idx === ci) {
							let prev,
								okS = true;
							for (const x of pages)
								for (const y of x.v()) {
									const z = norm(y);
									if (
										prev !==
											undefined &&
										cmp(prev, z) *
											(s.descending
												? -1
												: 1) >
											0
									)
										okS = false;
									prev = z;
								}
							ck(
								okS,
								`${at}: sorting_columns claims order the data lacks`,
							);
						}
					if (c.ci_off !== undefined && c.ci_len) {
						const t = new T(rd(Number(c.ci_off), c.ci_len)),
							ix = t.struct('ColumnIndex');
						ck(t.p === c.ci_len, `${at}: ColumnIndex length`);
						const np = pages.length;
						ck(
							ix.null_pages.length === np &&
								ix.min_values.length === np &&
								ix.max_values.length === np,
							`${at}: ColumnIndex has ${ix.null_pages.length} pages, chunk ${np}`,
						);
						if (ix.null_counts)
							ck(
								ix.null_counts.length === np,
								`${at}: null_counts`,
							);
						for (
							let i = 0;
							i < Math.min(np, ix.null_pages.length);
							i++
						) {
							ck(
								ix.null_pages[i] ===
									(pages[i].nn === 0 &&
										pages[i].n > 0),
								`${at}: null_pages[${i}]`,
							);
							if (ix.null_counts)
								ck(
									Number(
										ix.null_counts[i],
									) === pages[i].nulls,
									`${at}: null_counts[${i}]`,
								);
							if (ix.null_pages[i]) {
								ck(
									!ix.min_values[i].length &&
										!ix.max_values[i]
											.length,
									`${at}: null page ${i} has bounds`,
								);
								continue;
							}
							if (statOk && rs[i].mn !== undefined) {
								const a = dec(ix.min_values[i]),
									z = dec(ix.max_values[i]);
								ck(
									cmp(a, rs[i].mn) <= 0 &&
										cmp(z, rs[i].mx) >=
											0,
									() =>
										`${at}: ColumnIndex bounds of page ${i} [${a},${z}] exclude data [${rs[i].mn},${rs[i].mx}]`,
								);
							}
						}
						if (ix.order && statOk) {
							const k = [];
							for (let i = 0; i < np; i++)
								if (!ix.null_pages[i])
									k.push([
										dec(
											ix
												.min_values[
												i
											],
										),
										dec(
											ix
												.max_values[
												i
											],
										),
									]);
							const sg = ix.order === 1 ? 1 : -1;
							for (let i = 1; i < k.length; i++)
								ck(
									cmp(k[i - 1][0], k[i][0]) *
										sg <=
										0 &&
										cmp(
											k[i - 1][1],
											k[i][1],
										) *
											sg <=
											0,
									`${at}: boundary_order ${ix.order} does not hold at page ${i}`,
								);
						}
						ck(
							c.oi_off !== undefined,
							`${at}: ColumnIndex without OffsetIndex`,
						);
					}
				}
				if (c.oi_off !== undefined && c.oi_len) {
					const t = new T(rd(Number(c.oi_off), c.oi_len)),
						ix = t.struct('OffsetIndex');
					ck(t.p === c.oi_len, `${at}: OffsetIndex length`);
					ck(
						ix.locs.length === pages.length,
						`${at}: OffsetIndex has ${ix.locs.length} pages, chunk ${pages.length}`,
					);
					ix.locs.forEach((l, i) => {
						const x = pages[i];
						if (x)
							ck(
								Number(l.offset) === x.pos &&
									l.size === x.size &&
									(L.r ||
										Number(
											l.first_row,
										) === x.row0),
								`${at}: OffsetIndex[${i}] ${l.offset}+${l.size} row ${l.first_row}, page ${x.pos}+${x.size} row ${x.row0}`,
							);
					});
				}
			});
			ck(
				g.total_byte_size === us,
				`row group ${gi}: total_byte_size ${g.total_byte_size}, columns sum to ${us}`,
			);
			if (g.total_compressed_size !== undefined)
				ck(
					g.total_compressed_size === cs,
					`row group ${gi}: total_compressed_size ${g.total_compressed_size}, columns ${cs}`,
				);
			if (
				g.file_offset !== undefined &&
				g.file_offset > 0n &&
				first !== null &&
				g.file_offset !== first
			)
				warn(
					'rgoff',
					`row group ${gi}: file_offset ${g.file_offset}, first page ${first}`,
				);
		});
		spans.sort((a, b) => a[0] - b[0]);
		let end = 4;
		for (const [s, e, w] of spans) {
			ck(s >= end, `${w}: overlaps the chunk before it`);
			if (s > end) warn('gap', `${s - end} unreferenced bytes before ${w}`);
			end = Math.max(end, e);
		}
	} catch (x) {
		err(x.message);
	} finally {
		fs.closeSync(fd);
	}
	return { errors, warnings, checks };
}
if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
	let bad = 0;
	const strict = process.argv.includes('--strict');
	for (const f of process.argv.slice(2).filter(a => !a.startsWith('--'))) {
		const r = await lint(f);
		for (const w of r.warnings) console.log(`${f}: warn ${w}`);
		for (const e of r.errors) console.log(`${f}: ERROR ${e}`);
		console.log(`${f}: ${r.checks} checks, ${r.errors.length} errors`);
		bad += r.errors.length + (strict ? r.warnings.length : 0);
	}
	process.exit(bad ? 1 : 0);
}
