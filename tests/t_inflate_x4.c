/*
 * t_inflate_x4.c - the interleaved inflate against zlib and canp_inflate_member(): valid members of
 * every kind must be decoded by its own loops, everything else must end as the reference decoder
 * ends it. Streams that zlib does not make are in t_inflate_x4_hand.c.
 *
 * CANP_FUZZ_N sets the number of mutated members (default 20000); one in a thousand is 64..256 KiB,
 * the others are 256 B..8 KiB. CANP_FUZZ_SEED sets where they start.
 */
#include "tests/lib/x4_drive.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_level_strategy_and_size_is_decoded_by_the_loops),
		cmocka_unit_test(roomy_outputs_and_bytes_behind_the_member_change_nothing),
		cmocka_unit_test(jobs_come_back_once_each_whatever_their_sizes),
		cmocka_unit_test(the_isal_engine_gives_the_reference_result_itself),
		cmocka_unit_test(truncation_at_every_byte_ends_as_the_reference_ends_it),
		cmocka_unit_test(too_small_outputs_end_as_the_reference_ends_them),
		cmocka_unit_test(mutated_members_end_as_the_reference_ends_them),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
