/*
 * t_inflate_x4.c - the interleaved inflate against zlib and canp_inflate_member(): valid members of
 * every kind must be decoded by its own loops, everything else must end as the reference decoder
 * ends it. All buffers stand against inaccessible pages, in turn at their ends and at their starts.
 *
 * CANP_FUZZ_N sets the number of mutated members (default 20000); one in a thousand is 64..256 KiB,
 * the others are 256 B..8 KiB. CANP_FUZZ_SEED sets where they start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "simd/inflate_x4.h"
#include "simd/simd.h"
#include "tests/lib/guard.h"

#define PLAIN_MAX  (320u * 1024u)
#define PACKED_MAX (2u * PLAIN_MAX)
#define JOBS_MAX   9u

static uint64_t seed = 1;
static unsigned long fuzz_seen[2]; /* members accepted, redone */
static struct guard gin[JOBS_MAX], gout[JOBS_MAX], gref;
static struct canp_inflate_x4 *engines[2]; /* interleaved, scalar */
static void *engines_mem[2];
static struct canp_inflate *reference;
static uint8_t *plain, *scratch;
static z_stream zs[3];

static const int zlib_wbits[] = {
	[CANP_INFLATE_GZIP] = 31, [CANP_INFLATE_ZLIB] = 15, [CANP_INFLATE_RAW] = -15};

/* A member and what is put into it. */
struct member {
	uint8_t *bytes;
	size_t len, cap; /* of the compressed bytes; room for the inflated ones */
	enum canp_inflate_kind kind;
};

static int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		guard_open(&gin[i], PACKED_MAX);
		guard_open(&gout[i], PACKED_MAX);
	}
	guard_open(&gref, PACKED_MAX);
	plain = malloc(PLAIN_MAX);
	scratch = malloc(PACKED_MAX);
	canp_simd_init(CANP_ISA_AUTO, NULL);
	for (unsigned e = 0; e < 2; e++) {
		engines_mem[e] = aligned_alloc(64, canp_inflate_x4_bytes());
		engines[e] = canp_inflate_x4_init(engines_mem[e], e ? CANP_INFLATE_SCALAR
								    : CANP_INFLATE_INTERLEAVED);
	}
	reference = canp_inflate_init(aligned_alloc(64, canp_inflate_bytes()));
	for (unsigned k = 0; k < 3; k++)
		assert_int_equal(inflateInit2(&zs[k], zlib_wbits[k]), Z_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		guard_close(&gin[i]);
		guard_close(&gout[i]);
	}
	guard_close(&gref);
	for (unsigned k = 0; k < 3; k++)
		inflateEnd(&zs[k]);
	free(plain);
	free(scratch);
	free(reference);
	free(engines_mem[0]);
	free(engines_mem[1]);
	return 0;
}

static uint64_t rnd(uint64_t below)
{
	return (guard_rand(&seed) >> 20) % below;
}

/* Data that exercises the decoder: 0 frames, 1 noise, 2 zeros, 3 text, 4 far matches, 5 overlaps.
 */
static void make_plain(unsigned kind, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t r = guard_rand(&seed) >> 16;

		switch (kind) {
		case 0:
			plain[i] = (uint8_t)(i % 24 < 12 ? i / 2400 : r % 3 ? r % 19 : r >> 8);
			break;
		case 1:
			plain[i] = (uint8_t)r;
			break;
		case 2:
			plain[i] = 0;
			break;
		case 3:
			plain[i] = "0123456789ABCDEF# .\n"[r % 20];
			break;
		case 4:
			plain[i] = i < 32000 ? (uint8_t)r : r % 997 ? plain[i - 32000] : (uint8_t)r;
			break;
		default:
			plain[i] = r % 60 && i > 4 ? plain[i - 1 - r % 60 % 4] : (uint8_t)(r >> 8);
		}
	}
}

static struct member pack(enum canp_inflate_kind kind, int level, int strategy, int mem, size_t n)
{
	struct member m = {.kind = kind, .cap = n};
	z_stream z = {.next_in = plain, .avail_in = (uInt)n};

	m.bytes = malloc(2 * n + 1000);
	z.next_out = m.bytes;
	z.avail_out = (uInt)(2 * n + 1000);
	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, zlib_wbits[kind], mem, strategy),
			 Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	m.len = z.total_out;
	deflateEnd(&z);
	return m;
}

/* *n: bytes zlib made, also when it does not accept the member. */
static bool zlib_accepts(const struct member *m, size_t *n)
{
	z_stream *z = &zs[m->kind];
	int rc;

	inflateReset(z);
	z->next_in = m->bytes;
	z->avail_in = (uInt)m->len;
	z->next_out = scratch;
	z->avail_out = (uInt)m->cap;
	rc = inflate(z, Z_FINISH);
	*n = z->total_out;
	return rc == Z_STREAM_END;
}

static uint8_t *place(const struct guard *g, size_t n, bool rear)
{
	return rear ? guard_rear(g, n) : g->mem;
}

/* What came back for a member, against zlib and the reference decoder. */
static void check_job(const struct canp_inflate_job *job, const struct member *m)
{
	uint8_t *want = guard_rear(&gref, m->cap);
	enum canp_inflate_result result;
	size_t len, used, z;
	bool accepted = zlib_accepts(m, &z);

	result =
		canp_inflate_member(reference, m->kind, job->in, m->len, want, m->cap, &len, &used);
	assert_int_equal(job->result, result);
	assert_int_equal(job->out_len, len);
	assert_int_equal(job->in_used, used);
	/* ISA-L counts a match it refused for its distance without having written its bytes: what
	 * is common to all is what zlib made, too. */
	assert_memory_equal(job->out, want, canp_min(len, z));
	assert_memory_equal(job->out, scratch, canp_min(len, z));
	/* What our loops take is what zlib takes: neither more nor less. */
	assert_int_equal(accepted, !job->redone);
	fuzz_seen[job->redone]++;
	if (accepted) {
		assert_int_equal(job->result, CANP_INFLATE_OK);
		assert_int_equal(len, z);
	}
}

/* nr members at once through one engine; sides: bit 0 input, bit 1 output at the rear guard. */
static void run_jobs(struct canp_inflate_x4 *ctx, const struct member *m, unsigned nr,
		     unsigned sides)
{
	struct canp_inflate_job jobs[JOBS_MAX];

	for (unsigned i = 0; i < nr; i++) {
		uint8_t *in = place(&gin[i], m[i].len, sides & 1);

		memcpy(in, m[i].bytes, m[i].len);
		jobs[i] = (struct canp_inflate_job){
			.in = in,
			.in_len = m[i].len,
			.out = place(&gout[i], m[i].cap, sides & 2),
			.out_cap = m[i].cap,
			.kind = m[i].kind,
			.result = (enum canp_inflate_result)99,
		};
	}
	canp_inflate_x4_run(ctx, jobs, nr);
	for (unsigned i = 0; i < nr; i++)
		check_job(&jobs[i], &m[i]);
}

static void check_members(const struct member *m, unsigned nr)
{
	unsigned sides = (unsigned)rnd(4);

	run_jobs(engines[0], m, nr, sides);
	run_jobs(engines[1], m, nr, sides ^ 3);
}

static void check_one(const struct member *m, bool good)
{
	size_t z;

	assert_int_equal(zlib_accepts(m, &z), good);
	for (unsigned sides = 0; sides < 4; sides++) {
		run_jobs(engines[0], m, 1, sides);
		run_jobs(engines[1], m, 1, sides);
	}
}

/* ---- members of zlib --------------------------------------------------------------------------*/

static void every_level_strategy_and_size_is_decoded_by_the_loops(void **state)
{
	static const int levels[] = {0, 1, 6, 9};
	static const int strategies[] = {Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE};
	static const size_t sizes[] = {0, 1, 2, 3, 40, 300, 5000, 65536, 262144};
	struct member batch[JOBS_MAX];
	unsigned nr = 0, want = 1;

	(void)state;
	for (unsigned t = 0, all = 16 * 6 * CANP_ARRAY_SIZE(sizes); t < all; t++) {
		/* Neighbours in a batch differ in everything. */
		size_t n = sizes[t % CANP_ARRAY_SIZE(sizes)];
		unsigned rest = t / CANP_ARRAY_SIZE(sizes);

		make_plain(rest % 6, n);
		batch[nr++] = pack((enum canp_inflate_kind)(t % 3), levels[rest / 6 % 4],
				   strategies[rest / 24 % 4], rest % 5 ? 8 : 1, n);
		if (nr < want && t + 1 < all)
			continue;
		check_members(batch, nr);
		while (nr)
			free(batch[--nr].bytes);
		want = want % JOBS_MAX + 1;
	}
}

static void roomy_outputs_and_bytes_behind_the_member_change_nothing(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 60; t++) {
		size_t n = 1 + rnd(100000);
		struct member m;

		make_plain(t % 6, n);
		m = pack((enum canp_inflate_kind)(t % 3), t % 2 ? 6 : 1, Z_DEFAULT_STRATEGY, 8, n);
		m.cap += rnd(3000);
		memcpy(m.bytes + m.len, "\x1f\x8b\x08trailing", 11);
		m.len += rnd(12);
		check_members(&m, 1);
		free(m.bytes);
	}
}

static void jobs_come_back_once_each_whatever_their_sizes(void **state)
{
	static const size_t sizes[] = {200000, 1, 30000, 0, 900, 65536, 70, 10240, 120000};

	(void)state;
	for (unsigned nr = 1; nr <= JOBS_MAX; nr++)
		for (unsigned e = 0; e < 2; e++) {
			struct canp_inflate_job jobs[JOBS_MAX], *job;
			struct member m[JOBS_MAX];
			unsigned started = 0, seen = 0;

			for (unsigned i = 0; i < nr; i++) {
				make_plain(i % 6, sizes[i]);
				m[i] = pack((enum canp_inflate_kind)(i % 3), 6, Z_DEFAULT_STRATEGY,
					    8, sizes[i]);
				jobs[i] = (struct canp_inflate_job){.in = m[i].bytes,
								    .in_len = m[i].len,
								    .kind = m[i].kind,
								    .out = gout[i].mem,
								    .out_cap = m[i].cap};
			}
			/* Lanes are filled one at a time, so that they run beside free ones too. */
			do {
				if (started < nr && canp_inflate_x4_nr_free(engines[e]))
					canp_inflate_x4_submit(engines[e], &jobs[started++]);
				if (started < nr && rnd(2) && canp_inflate_x4_nr_free(engines[e]))
					continue;
				job = canp_inflate_x4_next(engines[e]);
				if (job) {
					assert_false(seen >> (job - jobs) & 1);
					seen |= 1u << (job - jobs);
					check_job(job, &m[job - jobs]);
				}
			} while (seen != (1u << nr) - 1);
			assert_null(canp_inflate_x4_next(engines[e]));
			assert_int_equal(canp_inflate_x4_nr_free(engines[e]), CANP_INFLATE_LANES);
			for (unsigned i = 0; i < nr; i++)
				free(m[i].bytes);
		}
}

static void the_isal_engine_gives_the_reference_result_itself(void **state)
{
	void *mem = aligned_alloc(64, canp_inflate_x4_bytes());
	struct canp_inflate_x4 *isal = canp_inflate_x4_init(mem, CANP_INFLATE_ISAL);
	struct canp_inflate_job job = {.out = gout[0].mem};
	struct member m;

	(void)state;
	make_plain(0, 30000);
	m = pack(CANP_INFLATE_GZIP, 6, Z_DEFAULT_STRATEGY, 8, 30000);
	job.in = m.bytes;
	job.in_len = m.len;
	job.kind = m.kind;
	job.out_cap = m.cap;
	canp_inflate_x4_run(isal, &job, 1);
	check_job(&job, &m);
	assert_false(job.redone);
	free(m.bytes);
	free(mem);
}

/* ---- damage -----------------------------------------------------------------------------------*/

static void truncation_at_every_byte_ends_as_the_reference_ends_it(void **state)
{
	static const size_t sizes[] = {0, 1, 40, 700, 3000};

	(void)state;
	for (unsigned t = 0; t < 4 * CANP_ARRAY_SIZE(sizes); t++) {
		struct member m[3];
		size_t n = sizes[t / 4], len[3];

		make_plain(t % 6, n);
		for (unsigned k = 0; k < 3; k++) {
			m[k] = pack((enum canp_inflate_kind)k, (int[]){0, 1, 6, 9}[t % 4],
				    t % 3 ? Z_DEFAULT_STRATEGY : Z_FIXED, 8, n);
			len[k] = m[k].len;
			m[k].cap += 100 * (t & 1);
		}
		for (size_t cut = 0; cut < len[0]; cut++) {
			for (unsigned k = 0; k < 3; k++)
				m[k].len = canp_min(cut, len[k]);
			check_members(m, 3);
		}
		for (unsigned k = 0; k < 3; k++)
			free(m[k].bytes);
	}
}

static void too_small_outputs_end_as_the_reference_ends_them(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 12; t++) {
		size_t n = 700;
		struct member m;

		make_plain(t % 6, n);
		m = pack((enum canp_inflate_kind)(t % 3), t / 6 ? 6 : 0, Z_DEFAULT_STRATEGY, 8, n);
		for (m.cap = 0; m.cap < n; m.cap++)
			check_members(&m, 1);
		free(m.bytes);
	}
}

/* One random change; donor: another member to take bytes from. */
static void mutate(struct member *m, const struct member *donor)
{
	size_t at = rnd(rnd(2) ? m->len : canp_min(m->len, (size_t)120)), n;

	switch (rnd(8)) {
	case 0:
	case 1:
	case 2:
		m->bytes[at] ^= (uint8_t)(1u << rnd(8));
		break;
	case 3:
		m->bytes[at] = (uint8_t)rnd(256);
		break;
	case 4: /* a piece of its own elsewhere */
		n = rnd(canp_min(m->len, (size_t)64));
		memmove(m->bytes + canp_min(at, m->len - n), m->bytes + rnd(m->len - n + 1), n);
		break;
	case 5: /* the end of another one */
		n = canp_min(donor->len, m->len - at);
		memcpy(m->bytes + at, donor->bytes + donor->len - n, n);
		break;
	case 6: /* a piece lost */
		n = rnd(canp_min(m->len - at, (size_t)8) + 1);
		memmove(m->bytes + at, m->bytes + at + n, m->len - at - n);
		m->len = canp_max(m->len - n, (size_t)1);
		break;
	default:
		m->len = rnd(4) ? m->len : 1 + rnd(m->len);
	}
}

/* A member of about n bytes; mostly raw deflate, where no checksum ends what goes on wrongly. */
static struct member fuzz_member(size_t n)
{
	static const int levels[] = {6, 1, 9, 6, 3, 0};
	static const int strategies[] = {Z_DEFAULT_STRATEGY,
					 Z_DEFAULT_STRATEGY,
					 Z_DEFAULT_STRATEGY,
					 Z_HUFFMAN_ONLY,
					 Z_RLE,
					 Z_FIXED};
	unsigned kind = (unsigned)rnd(4);

	make_plain((unsigned)rnd(6), n);
	return pack(kind < 2 ? (enum canp_inflate_kind)kind : CANP_INFLATE_RAW,
		    levels[rnd(6) * rnd(6) / 5], strategies[rnd(6)], rnd(3) ? 8 : 1, n);
}

static size_t fuzz_size(bool large)
{
	return large ? (64u << 10) + rnd(192u << 10) : (size_t)1 << (8 + rnd(5)) | rnd(4096);
}

/* Returns how many. */
static unsigned fuzz_batch(struct member *pool, unsigned nr_pool)
{
	static uint8_t *bytes[JOBS_MAX];
	struct member m[JOBS_MAX];
	unsigned nr = 4 + (unsigned)rnd(JOBS_MAX - 3);

	for (unsigned i = 0; i < nr; i++) {
		const struct member *from = &pool[rnd(nr_pool)];

		if (!bytes[i])
			bytes[i] = malloc(PACKED_MAX);
		m[i] = *from;
		m[i].bytes = bytes[i];
		memcpy(bytes[i], from->bytes, from->len);
		if (rnd(3) == 0)
			m[i].cap = canp_min(m[i].cap + rnd(2 * m[i].cap), (size_t)PACKED_MAX);
		for (uint64_t changes = 1 + rnd(3); changes; changes--)
			mutate(&m[i], &pool[rnd(nr_pool)]);
	}
	run_jobs(engines[0], m, nr, (unsigned)rnd(4));
	if (rnd(4) == 0)
		run_jobs(engines[1], m, nr, (unsigned)rnd(4));
	return nr;
}

static void fuzz_many(uint64_t count, bool large)
{
	struct member pool[64];
	unsigned nr_pool = large ? 16 : 64;

	for (uint64_t done = 0; done < count;) {
		uint64_t until = done + (large ? 200 : 20000);

		for (unsigned i = 0; i < nr_pool; i++)
			pool[i] = fuzz_member(fuzz_size(large));
		while (done < canp_min(until, count))
			done += fuzz_batch(pool, nr_pool);
		for (unsigned i = 0; i < nr_pool; i++)
			free(pool[i].bytes);
	}
}

static void mutated_members_end_as_the_reference_ends_them(void **state)
{
	const char *n = getenv("CANP_FUZZ_N"), *from = getenv("CANP_FUZZ_SEED");
	uint64_t count = n ? strtoull(n, NULL, 10) : 20000, keep = seed;

	(void)state;
	seed = 0x9e3779b97f4a7c15ull * (from ? strtoull(from, NULL, 10) : 1) | 1;
	memset(fuzz_seen, 0, sizeof(fuzz_seen));
	fuzz_many(count, false);
	fuzz_many(count / 1000, true);
	seed = keep;
	print_message("%lu mutated members: %lu accepted, %lu as the reference decoder ends them\n",
		      fuzz_seen[0] + fuzz_seen[1], fuzz_seen[0], fuzz_seen[1]);
	/* Both outcomes have to occur for this to prove anything. */
	assert_true(fuzz_seen[0] > count / 100 && fuzz_seen[1] > count / 100);
}

/* ---- streams by hand --------------------------------------------------------------------------*/

struct writer {
	uint8_t bytes[400000];
	size_t bits;
};

static struct writer wr;

static void put(uint64_t value, unsigned n)
{
	for (unsigned i = 0; i < n; i++, wr.bits++) {
		if (wr.bits % 8 == 0)
			wr.bytes[wr.bits / 8] = 0;
		wr.bytes[wr.bits / 8] |= (uint8_t)((value >> i & 1) << wr.bits % 8);
	}
}

struct code {
	uint8_t lens[320];
	uint16_t codes[320];
	unsigned nr;
};

/* Canonical codes as RFC 1951 3.2.2 makes them, also of sets that are not complete. */
static void code_assign(struct code *c)
{
	unsigned next = 0;

	for (unsigned len = 1; len <= 15; len++) {
		for (unsigned i = 0; i < c->nr; i++)
			if (c->lens[i] == len)
				c->codes[i] = (uint16_t)next++;
		next *= 2;
	}
}

static void put_symbol(const struct code *c, unsigned symbol)
{
	for (unsigned i = c->lens[symbol]; i--;)
		put(c->codes[symbol] >> i & 1, 1);
}

static void put_match(const struct code *lit, const struct code *dist, unsigned length_symbol,
		      unsigned length_extra, unsigned length_bits, unsigned dist_symbol,
		      unsigned dist_extra, unsigned dist_bits)
{
	put_symbol(lit, length_symbol);
	put(length_extra, length_bits);
	put_symbol(dist, dist_symbol);
	put(dist_extra, dist_bits);
}

static struct code lit, dist;

static void codes_clear(unsigned nr_lit, unsigned nr_dist)
{
	memset(&lit, 0, sizeof(lit));
	memset(&dist, 0, sizeof(dist));
	lit.nr = nr_lit;
	dist.nr = nr_dist;
}

/* A dynamic block with the lengths of lit and dist; the code for code lengths gives 0..15 four bits
 * each. */
static void put_dynamic(bool last)
{
	code_assign(&lit);
	code_assign(&dist);
	put(last, 1);
	put(2, 2);
	put(lit.nr - 257, 5);
	put(dist.nr - 1, 5);
	put(15, 4);
	for (unsigned i = 0; i < 19; i++)
		put(i < 3 ? 0 : 4, 3);
	for (unsigned i = 0; i < lit.nr + dist.nr; i++) {
		unsigned len = i < lit.nr ? lit.lens[i] : dist.lens[i - lit.nr];

		for (unsigned b = 4; b--;)
			put(len >> b & 1, 1);
	}
}

static void put_fixed(bool last)
{
	codes_clear(288, 32);
	for (unsigned i = 0; i < 288; i++)
		lit.lens[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
	memset(dist.lens, 5, 32);
	code_assign(&lit);
	code_assign(&dist);
	put(last, 1);
	put(1, 2);
}

/* All literals, end and length symbols about nine bits, all distances five: complete sets. */
static void codes_flat(void)
{
	codes_clear(286, 30);
	for (unsigned i = 0; i < 286; i++)
		lit.lens[i] = i < 226 ? 8 : 9;
	for (unsigned i = 0; i < 30; i++)
		dist.lens[i] = i < 2 ? 4 : 5;
}

static void hand_check(size_t cap, bool good)
{
	struct member m = {
		.bytes = wr.bytes, .len = (wr.bits + 7) / 8, .cap = cap, .kind = CANP_INFLATE_RAW};

	check_one(&m, good);
	/* The same with much behind it, so that no loop is near the end of the input. */
	memset(wr.bytes + m.len, 0x55, 600);
	m.len += 600;
	m.cap += 3000;
	check_one(&m, good);
	wr.bits = 0;
}

static void codes_of_fifteen_bits_are_found(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 8; t++) {
		/* One symbol of each length and two of 15 bits, in turn rare and frequent ones. */
		codes_clear(286, 30);
		for (unsigned i = 0; i < 14; i++)
			lit.lens[t & 1 ? 250 - i : 240 + i] = (uint8_t)(i + 1);
		lit.lens[256] = 15;
		lit.lens[t & 2 ? 257 : 285] = 15;
		for (unsigned i = 0; i < 15; i++)
			dist.lens[t & 4 ? 15 - i : i] = (uint8_t)(i + 1);
		dist.lens[t & 4 ? 0 : 15] = 15;
		put_dynamic(true);
		for (unsigned i = 0; i < 9000; i++)
			put_symbol(&lit, (t & 1 ? 237 : 240) + (unsigned)rnd(14));
		for (unsigned i = 0; i < 2000; i++) {
			unsigned d = (unsigned)rnd(16), extra = d < 4 ? 0 : d / 2 - 1;

			put_match(&lit, &dist, t & 2 ? 257 : 285, 0, 0, d,
				  (unsigned)rnd(1u << extra), extra);
			put_symbol(&lit, (t & 1 ? 237 : 240) + (unsigned)rnd(14));
		}
		put_symbol(&lit, 256);
		hand_check(9000 + 2000 * 259, true);
	}
}

static void far_and_long_matches_are_exact(void **state)
{
	(void)state;
	codes_flat();
	put_dynamic(true);
	for (unsigned i = 0; i < 32768; i++)
		put_symbol(&lit, (unsigned)rnd(256));
	for (unsigned i = 0; i < 300; i++) {
		/* distance 32768, lengths 258 (both ways to write it), 3, 32, 33..34 and 227..257
		 */
		put_match(&lit, &dist, 285, 0, 0, 29, 8191, 13);
		put_match(&lit, &dist, 284, 31, 5, 29, 8191, 13);
		put_match(&lit, &dist, 257, 0, 0, 29, 8191, 13);
		put_match(&lit, &dist, 271, 1, 2, 29, 8190, 13);
		put_match(&lit, &dist, 272, 0, 2, 28, 1, 13);
		put_match(&lit, &dist, 272, i % 4, 2, 28, i, 13);
		put_match(&lit, &dist, 284, i % 31, 5, i % 4, 0, 0);
		put_match(&lit, &dist, 265 + i % 8, 0, i % 8 < 4 ? 1 : 2, 2 + i % 2, 0, 0);
		put_symbol(&lit, i % 256);
	}
	put_symbol(&lit, 256);
	hand_check(330000, true);
}

static void steps_of_the_most_bits_stay_within_a_word(void **state)
{
	(void)state;
	/* Literals and lengths of ten bits, distances of nine and 13 more. */
	codes_clear(258, 30);
	memset(lit.lens + 2, 10, 256);
	lit.lens[0] = 1;
	lit.lens[1] = 2;
	for (unsigned i = 0; i < 8; i++)
		dist.lens[i] = (uint8_t)(i + 1);
	dist.lens[28] = dist.lens[29] = 9;
	put_dynamic(true);
	for (unsigned i = 0; i < 32768; i++)
		put_symbol(&lit, 2 + (unsigned)rnd(254));
	for (unsigned i = 0; i < 12000; i++) {
		for (uint64_t n = rnd(6); n; n--)
			put_symbol(&lit, 2 + (unsigned)rnd(254));
		put_match(&lit, &dist, 257, 0, 0, 28 + (unsigned)rnd(2), (unsigned)rnd(8192), 13);
	}
	put_symbol(&lit, 256);
	hand_check(32768 + 12000 * 8, true);
}

/* n steps of 32 bytes in 15 bits; with hard, every second one is followed by a match that
 * overlaps itself: it ends a round when lanes before it have taken their step. Much input behind
 * it, so that only the output limits the rounds. */
static struct member steps_of_many_bytes(unsigned n, bool hard, size_t cap)
{
	struct member m = {.kind = CANP_INFLATE_RAW, .cap = cap};

	codes_clear(286, 11);
	memset(lit.lens + 'a', 3, 4);
	lit.lens[256] = lit.lens[285] = 3;
	lit.lens[271] = 2;
	dist.lens[9] = dist.lens[10] = 1;
	put_dynamic(true);
	for (unsigned i = 0; i < 48; i++)
		put_symbol(&lit, 'a' + i % 4);
	for (unsigned i = 0; i < n; i++) {
		put_symbol(&lit, 'a');
		put_symbol(&lit, 'b');
		put_match(&lit, &dist, 271, 3, 2, 10, 7, 4);
		if (hard && i % 2)
			put_match(&lit, &dist, 271, 3, 2, 9, 0, 3);
	}
	put_symbol(&lit, 256);
	m.len = (wr.bits + 7) / 8 + 10000;
	m.bytes = calloc(1, m.len);
	memcpy(m.bytes, wr.bytes, (wr.bits + 7) / 8);
	wr.bits = 0;
	return m;
}

static void a_lane_keeps_to_its_room_while_another_one_ends_the_rounds(void **state)
{
	(void)state;
	for (unsigned at = 0; at < CANP_INFLATE_LANES; at++) {
		struct member m[CANP_INFLATE_LANES];

		/* All but one have much more to give than they have room for. */
		for (unsigned i = 0; i < CANP_INFLATE_LANES; i++)
			m[i] = i == at ? steps_of_many_bytes(300, true, 60000)
				       : steps_of_many_bytes(800, false, 3300 + 7 * i);
		for (unsigned sides = 0; sides < 4; sides++)
			run_jobs(engines[0], m, CANP_INFLATE_LANES, sides);
		for (unsigned i = 0; i < CANP_INFLATE_LANES; i++)
			free(m[i].bytes);
	}
}

/* Literals, then a match that begins `over` bytes before the output, in every place of a step. */
static void too_far(size_t before, unsigned over, unsigned place)
{
	size_t distance = before + place + over;
	unsigned d = 0;

	for (unsigned b = 1; d < 29; d++) {
		unsigned extra = d < 4 ? 0 : d / 2 - 1;

		if (distance < b + (1u << extra)) {
			put(1, 0);
			codes_flat();
			put_dynamic(true);
			for (size_t i = 0; i < before + place; i++)
				put_symbol(&lit, (unsigned)(i * 7 % 256));
			put_match(&lit, &dist, 260, 0, 0, d, (unsigned)distance - b, extra);
			break;
		}
		b += 1u << extra;
	}
	for (unsigned i = 0; i < 500; i++)
		put_symbol(&lit, i % 256);
	put_symbol(&lit, 256);
	hand_check(before + place + 6 + 500, over == 0);
}

static void distances_before_the_member_are_faults_wherever_they_are(void **state)
{
	static const size_t befores[] = {1, 6, 7, 40, 1000, 4093, 20000};

	(void)state;
	for (size_t b = 0; b < CANP_ARRAY_SIZE(befores); b++)
		for (unsigned place = 0; place < 4; place++)
			for (unsigned over = 0; over < 3; over++)
				too_far(befores[b], over, place);
}

static void small_code_sets_are_taken_as_the_rfc_says(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 11; t++) {
		bool good = t == 0 || t == 1 || t == 2 || t == 9;

		codes_clear(258, t == 2 || t == 3 ? 1 : 2);
		lit.lens['a'] = 2;
		lit.lens['b'] = 2;
		lit.lens[256] = 2;
		lit.lens[257] = 2;
		dist.lens[0] = 1; /* 0: a single distance code of one bit */
		if (t == 1)
			dist.lens[1] = 1; /* complete */
		if (t == 2 || t == 3)
			dist.lens[0] = 0; /* no distance code: fine until a match comes, 3 */
		if (t == 4)
			dist.lens[0] = 2; /* a single one of two bits */
		if (t == 5)
			dist.lens[1] = 2; /* incomplete */
		if (t == 6)
			lit.lens['a'] = 3; /* incomplete */
		if (t == 7)
			lit.lens['a'] = 1; /* over-subscribed */
		if (t == 8) {
			dist.nr = 3;
			dist.lens[1] = dist.lens[2] = 1; /* over-subscribed */
		}
		if (t == 10)
			lit.lens[256] = 0, lit.lens['c'] = 2; /* a block without its end */
		if (t == 9) {
			/* the end alone, in one bit */
			lit.lens['a'] = lit.lens['b'] = lit.lens[257] = 0;
			lit.lens[256] = 1;
		}
		put_dynamic(true);
		if (t != 9)
			for (unsigned i = 0; i < 300; i++)
				put_symbol(&lit, i % 3 ? 'a' : 'b');
		if (t != 2 && t != 9) {
			put_symbol(&lit, 257);
			put_symbol(&dist, 0);
		}
		if (t != 10)
			put_symbol(&lit, 256);
		hand_check(303, good);
	}
}

static void the_unused_bit_of_a_single_code_is_a_fault(void **state)
{
	(void)state;
	for (unsigned bad = 0; bad < 2; bad++) {
		codes_clear(258, 1);
		lit.lens['a'] = lit.lens[257] = lit.lens[256] = 2;
		lit.lens['b'] = 2;
		dist.lens[0] = 1;
		put_dynamic(true);
		for (unsigned i = 0; i < 100; i++) {
			put_symbol(&lit, 'a');
			put_symbol(&lit, 257);
			put(bad && i == 50, 1);
		}
		put_symbol(&lit, 256);
		hand_check(400, !bad);
	}
}

static void symbols_without_meaning_are_faults(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 6; t++) {
		put_fixed(true);
		for (unsigned i = 0; i < 200; i++)
			put_symbol(&lit, i);
		if (t == 1 || t == 2)
			put_symbol(&lit, 285 + t);
		if (t >= 3)
			put_symbol(&lit, 257);
		if (t >= 3)
			put_symbol(&dist, t == 3 ? 0 : 26 + t);
		put_symbol(&lit, 256);
		hand_check(300, t == 0 || t == 3);
	}
	/* More symbols than there are: 287, 288 and 31, 32. */
	for (unsigned t = 0; t < 5; t++) {
		codes_clear(t == 1 ? 287 : t == 2 ? 288 : 286, t == 3 ? 31 : t == 4 ? 32 : 30);
		lit.lens['a'] = lit.lens[256] = 1;
		dist.lens[0] = dist.lens[1] = 1;
		put_dynamic(true);
		for (unsigned i = 0; i < 200; i++)
			put_symbol(&lit, 'a');
		put_symbol(&lit, 256);
		hand_check(200, t == 0);
	}
}

static void code_lengths_are_checked(void **state)
{
	(void)state;
	/* 0: fine; 1: repeats before the first; 2, 3: runs over the end; 4: over-subscribed and
	 * 5: incomplete code for code lengths; 6: a single one of one bit. */
	for (unsigned t = 0; t < 7; t++) {
		put(1, 1);
		put(2, 2);
		put(0, 5);
		put(0, 5);
		put(14, 4); /* up to and with symbol 1 */
		/* 16 and 18: two bits; 0 and 1: two bits */
		for (unsigned i = 0; i < 18; i++) {
			unsigned len = i == 0 || i == 2 || i == 3 || i == 17 ? 2 : 0;

			if (t == 4 && i == 1)
				len = 2;
			if (t == 5 && i == 0)
				len = 3;
			if (t == 6)
				len = i == 17;
			put(len, 3);
		}
		/* Codes: 0 = 00, 1 = 01, 16 = 10, 18 = 11, first bit first. */
		if (t == 1) {
			put(1, 2);
			put(0, 2);
		}
		put(3, 2); /* 97 zeros */
		put(97 - 11, 7);
		put(2, 2); /* 'a': 1 */
		put(3, 2); /* 138 and 20 zeros */
		put(127, 7);
		put(3, 2);
		put(t == 2 ? 30 : 20 - 11, 7);
		put(2, 2); /* end: 1 */
		put(t == 3 ? 1 : 0, 2);
		if (t == 3)
			put(3, 2);
		for (unsigned i = 0; i < 60; i++)
			put(0, 1);
		put(1, 1);
		hand_check(60, t == 0);
	}
}

static void empty_blocks_of_all_kinds_do_no_harm(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		switch (i % 4) {
		case 0: /* stored, empty */
			put(0, 3);
			put(0, (8 - wr.bits % 8) % 8);
			put(0xffff0000, 32);
			break;
		case 1:
			put_fixed(false);
			put_symbol(&lit, 256);
			break;
		case 2:
			codes_flat();
			put_dynamic(false);
			put_symbol(&lit, 256);
			break;
		default: /* stored, 5 bytes */
			put(0, 3);
			put(0, (8 - wr.bits % 8) % 8);
			put(0xfffa0005, 32);
			put(0x6f6c6c6568, 40);
		}
	}
	put_fixed(true);
	put_match(&lit, &dist, 257, 0, 0, 3, 0, 0);
	put_symbol(&lit, 256);
	hand_check(503, true);
	/* Length and complement do not fit. */
	put(1, 3);
	put(0, 5);
	put(0xfffb0005, 32);
	put(0x6f6c6c6568, 40);
	hand_check(5, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_level_strategy_and_size_is_decoded_by_the_loops),
		cmocka_unit_test(roomy_outputs_and_bytes_behind_the_member_change_nothing),
		cmocka_unit_test(jobs_come_back_once_each_whatever_their_sizes),
		cmocka_unit_test(the_isal_engine_gives_the_reference_result_itself),
		cmocka_unit_test(truncation_at_every_byte_ends_as_the_reference_ends_it),
		cmocka_unit_test(too_small_outputs_end_as_the_reference_ends_them),
		cmocka_unit_test(codes_of_fifteen_bits_are_found),
		cmocka_unit_test(far_and_long_matches_are_exact),
		cmocka_unit_test(steps_of_the_most_bits_stay_within_a_word),
		cmocka_unit_test(a_lane_keeps_to_its_room_while_another_one_ends_the_rounds),
		cmocka_unit_test(distances_before_the_member_are_faults_wherever_they_are),
		cmocka_unit_test(small_code_sets_are_taken_as_the_rfc_says),
		cmocka_unit_test(the_unused_bit_of_a_single_code_is_a_fault),
		cmocka_unit_test(symbols_without_meaning_are_faults),
		cmocka_unit_test(code_lengths_are_checked),
		cmocka_unit_test(empty_blocks_of_all_kinds_do_no_harm),
		cmocka_unit_test(mutated_members_end_as_the_reference_ends_them),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
