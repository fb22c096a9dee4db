// Per-column accumulators, fed by every reader in the same way.
import { Buffer } from 'node:buffer';

export const KIND = {
	I32: 'i32',
	I64: 'i64',
	F64: 'f64',
	BOOL: 'bool',
	BYTES: 'bytes',
	OTHER: 'other',
};
const enc = new TextEncoder();

// One accumulator per column. Order-sensitive 64-bit checksum, independent of batch boundaries.
export class Acc {
	constructor(kind, unsigned = false) {
		this.kind = kind;
		this.unsigned = unsigned;
		this.n = 0;
		this.nulls = 0;
		this.nans = 0;
		this.min = null;
		this.max = null;
		this.sumBig = 0n;
		this.sumF = 0;
		this.a = 0x243f6a88 | 0;
		this.b = 0x85a308d3 | 0;
	}
	mix(lo, hi) {
		let a = Math.imul(this.a ^ lo, 0x85ebca6b);
		a = (a << 13) | (a >>> 19);
		let b = Math.imul(this.b ^ hi ^ a, 0xc2b2ae35);
		b = (b << 15) | (b >>> 17);
		this.a = (a + b) | 0;
		this.b = (b + Math.imul(this.a, 5) + 0x1b873593) | 0;
	}
	null() {
		this.n++;
		this.nulls++;
		this.mix(0xdeadbeef | 0, 0x6e756c6c);
	}
	// values: typed array; ok(i) -> bool or null when there are no nulls; multiply scales i64 (timestamp millis -> micros)
	i32(v, n, ok) {
		let mn = this.min ?? Infinity,
			mx = this.max ?? -Infinity,
			s = 0;
		for (let i = 0; i < n; i++) {
			if (ok && !ok(i)) {
				this.null();
				continue;
			}
			const x = Number(v[i]);
			this.n++;
			this.mix(x | 0, x < 0 ? -1 : 0);
			if (x < mn) mn = x;
			if (x > mx) mx = x;
			s += x;
		}
		this.sumBig += BigInt(s);
		if (mn !== Infinity) {
			this.min = mn;
			this.max = mx;
		}
	}
	i64(v, n, ok, mul = 1n) {
		if (mul !== 1n) {
			const w = new BigInt64Array(n);
			for (let i = 0; i < n; i++) if (!ok || ok(i)) w[i] = v[i] * mul;
			v = w;
		}
		const u = new Int32Array(v.buffer, v.byteOffset, n * 2);
		const uns = this.unsigned;
		let have = this.min !== null,
			mnl,
			mnh,
			mxl,
			mxh,
			sl = 0,
			sh = 0;
		const split = b => [
			Number(BigInt.asIntN(32, b)),
			Number(BigInt.asIntN(32, b >> 32n)),
		];
		if (have) {
			[mnl, mnh] = split(this.min);
			[mxl, mxh] = split(this.max);
		}
		const lt = (al, ah, bl, bh) =>
			ah !== bh ? (uns ? ah >>> 0 < bh >>> 0 : ah < bh) : al >>> 0 < bl >>> 0;
		for (let i = 0; i < n; i++) {
			if (ok && !ok(i)) {
				this.null();
				continue;
			}
			const lo = u[2 * i],
				hi = u[2 * i + 1];
			this.n++;
			this.mix(lo, hi);
			sl += lo >>> 0;
			sh += uns ? hi >>> 0 : hi;
			if (!have) {
				have = true;
				mnl = mxl = lo;
				mnh = mxh = hi;
			} else {
				if (lt(lo, hi, mnl, mnh)) {
					mnl = lo;
					mnh = hi;
				}
				if (lt(mxl, mxh, lo, hi)) {
					mxl = lo;
					mxh = hi;
				}
			}
			if ((i & 0xfffff) === 0xfffff) {
				this.sumBig += BigInt(sl) + (BigInt(sh) << 32n);
				sl = sh = 0;
			}
		}
		this.sumBig += BigInt(sl) + (BigInt(sh) << 32n);
		const join = (l, h) => (BigInt(uns ? h >>> 0 : h) << 32n) | BigInt(l >>> 0);
		if (have) {
			this.min = join(mnl, mnh);
			this.max = join(mxl, mxh);
		}
	}
	f64(v, n, ok) {
		if (!(v instanceof Float64Array)) {
			const w = new Float64Array(n);
			for (let i = 0; i < n; i++) if (!ok || ok(i)) w[i] = v[i];
			v = w;
		}
		const u = new Int32Array(v.buffer, v.byteOffset, n * 2);
		let mn = this.min ?? Infinity,
			mx = this.max ?? -Infinity,
			have = this.min !== null,
			s = this.sumF;
		for (let i = 0; i < n; i++) {
			if (ok && !ok(i)) {
				this.null();
				continue;
			}
			const x = v[i];
			this.n++;
			if (x !== x) {
				this.nans++;
				this.mix(0, 0x7ff80000);
				continue;
			}
			this.mix(u[2 * i], u[2 * i + 1]);
			s += x;
			have = true;
			if (x < mn) mn = x;
			if (x > mx) mx = x;
		}
		this.sumF = s;
		if (have) {
			this.min = mn;
			this.max = mx;
		}
	}
	bytes(get, n, ok) {
		for (let i = 0; i < n; i++) {
			if (ok && !ok(i)) {
				this.null();
				continue;
			}
			let x = get(i);
			if (x == null) {
				this.null();
				continue;
			}
			const b = typeof x === 'string' ? enc.encode(x) : x;
			this.n++;
			let h = 0x811c9dc5 | 0,
				g = b.length | 0;
			for (let k = 0; k < b.length; k++) {
				h = Math.imul(h ^ b[k], 0x01000193);
				g = Math.imul(g ^ b[k], 0x9e3779b1);
			}
			this.mix(h, g);
			if (this.min === null || Buffer.compare(b, this.min) < 0)
				this.min = Buffer.from(b);
			if (this.max === null || Buffer.compare(b, this.max) > 0)
				this.max = Buffer.from(b);
			this.sumBig += BigInt(b.length);
		}
	}
	result() {
		const f = x =>
			x === null
				? null
				: x instanceof Uint8Array
					? printable(x)
					: typeof x === 'number'
						? Object.is(x, -0)
							? '0'
							: String(x)
						: String(x);
		const hex = x => (x >>> 0).toString(16).padStart(8, '0');
		return {
			rows: this.n,
			nulls: this.nulls,
			nans: this.nans,
			min: f(this.min),
			max: f(this.max),
			sum: this.kind === KIND.F64 ? String(this.sumF) : String(this.sumBig),
			checksum: hex(this.a) + hex(this.b),
		};
	}
}
export function printable(b) {
	const s = Buffer.from(b).toString('utf8');
	return Buffer.from(s, 'utf8').equals(Buffer.from(b)) && !/[\x00-\x1f]/.test(s)
		? s
		: '0x' + Buffer.from(b).toString('hex');
}

// Arrow/DuckDB style validity bitmap -> predicate
export function bitmapOk(words /* Uint8Array LSB-first */, off = 0) {
	return words ? i => (words[(i + off) >> 3] >> ((i + off) & 7)) & 1 : null;
}

// Parquet leaf (hyparquet SchemaElement) -> {kind, text, duck, unsigned, mul}
export function leafType(e) {
	const lt = e.logical_type,
		ct = e.converted_type,
		t = e.type;
	const w = e.repetition_type === 'REQUIRED' ? '' : '?';
	const mk = (kind, text, duck, o = {}) => ({
		kind,
		text: text + w,
		duck,
		required: e.repetition_type === 'REQUIRED',
		...o,
	});
	const ints = {
		8: ['TINYINT', 'UTINYINT'],
		16: ['SMALLINT', 'USMALLINT'],
		32: ['INTEGER', 'UINTEGER'],
		64: ['BIGINT', 'UBIGINT'],
	};
	const intType = (bits, signed) =>
		mk(
			bits === 64 ? KIND.I64 : KIND.I32,
			`${signed ? 'int' : 'uint'}${bits}`,
			ints[bits][signed ? 0 : 1],
			{ unsigned: !signed, bits },
		);
	if (t === 'BOOLEAN') return mk(KIND.BOOL, 'bool', 'BOOLEAN');
	if (t === 'FLOAT') return mk(KIND.F64, 'float32', 'FLOAT');
	if (t === 'DOUBLE') return mk(KIND.F64, 'float64', 'DOUBLE');
	if (lt?.type === 'FLOAT16') return mk(KIND.F64, 'float16', 'FLOAT');
	if (t === 'INT32' || t === 'INT64') {
		if (lt?.type === 'INTEGER') return intType(lt.bitWidth, lt.isSigned);
		const m = /^(U?)INT_(\d+)$/.exec(ct ?? '');
		if (m) return intType(Number(m[2]), !m[1]);
		if (lt?.type === 'TIMESTAMP' || /^TIMESTAMP_/.test(ct ?? '')) {
			const unit = lt?.unit ?? ct.slice(10),
				utc = lt ? lt.isAdjustedToUTC : true;
			return mk(
				KIND.I64,
				`timestamp[${unit}${utc ? ',UTC' : ''}]`,
				unit === 'NANOS'
					? utc
						? 'TIMESTAMP_NS|TIMESTAMP WITH TIME ZONE|TIMESTAMPTZ_NS'
						: 'TIMESTAMP_NS'
					: utc
						? 'TIMESTAMP WITH TIME ZONE'
						: 'TIMESTAMP',
				{ unit, utc, mul: unit === 'MILLIS' ? 1000n : 1n },
			);
		}
		if (lt?.type === 'DATE' || ct === 'DATE') return mk(KIND.I32, 'date', 'DATE');
		if (!lt && !ct) return t === 'INT32' ? intType(32, true) : intType(64, true);
		return mk(KIND.OTHER, `${t}/${lt?.type ?? ct}`, null);
	}
	if (t === 'BYTE_ARRAY') {
		if (
			['STRING', 'ENUM', 'JSON'].includes(lt?.type) ||
			['UTF8', 'ENUM', 'JSON'].includes(ct)
		)
			return mk(
				KIND.BYTES,
				(lt?.type ?? ct).toLowerCase().replace('utf8', 'string'),
				'VARCHAR|JSON',
			);
		if (!lt && !ct) return mk(KIND.BYTES, 'binary', 'BLOB');
	}
	return mk(KIND.OTHER, `${t}/${lt?.type ?? ct ?? ''}`, null);
}
