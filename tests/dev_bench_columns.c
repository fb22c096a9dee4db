/*
 * dev_bench_columns.c - what the producer side of the columns costs: frames of a CANP log through
 * the grouper alone, through grouper and run builders, and through builders with nanoseconds too,
 * alternated round by round; ns per frame of CPU time, medians. Not built by default:
 *
 *   make .../tests/dev_bench_columns && dev_bench_columns LOG DBC [ROUNDS [ISA]]
 *
 * The frames are inflated beforehand and handed over in the groups the log has, tables come from
 * the DBC, runs stay until the end of the log as they do in a job. To compare two versions of the
 * code, run their programs in turns.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <zlib.h>

#include "core/base/bytes.h"
#include "core/base/strbuf.h"
#include "core/base/units.h"
#include "io/can/group.h"
#include "io/sink/columns.h"

#define BLOCK_HEAD  35u
#define RECORD_HEAD 20u
#define GROUP_HEAD  16u
#define POOL_SLOTS  16384u
#define ROUNDS_MAX  101u
#define KEPT_MAX    8192u

struct bench_group {
	const uint8_t *frames;
	size_t n;
};

static struct bench_group *groups;
static size_t nr_groups, nr_frames;
static struct canp_plan *plan;
static struct canp_runb *builders;
static struct canp_runscratch scratch;
static struct canp_pool pool;
static struct canp_run *kept[KEPT_MAX];
static size_t nr_kept, out_bytes;

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint8_t *file_read(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p;

	if (!f || fseek(f, 0, SEEK_END)) {
		perror(path);
		exit(1);
	}
	*n = (size_t)ftell(f);
	rewind(f);
	p = malloc(*n + 1);
	if (!p || fread(p, 1, *n, f) != *n)
		exit(1);
	fclose(f);
	return p;
}

/* The groups of frames of one inflated member. */
static void member_groups(const uint8_t *p, size_t n)
{
	size_t body, len;

	for (size_t at = 0; at + RECORD_HEAD <= n; at += RECORD_HEAD + body) {
		body = canp_min((size_t)canp_be32(p + at + 16), n - at - RECORD_HEAD);
		for (size_t g = 0; g + GROUP_HEAD <= body; g += GROUP_HEAD + len) {
			const uint8_t *head = p + at + RECORD_HEAD + g;

			len = canp_min((size_t)canp_be32(head + 12), body - g - GROUP_HEAD);
			groups = realloc(groups, (nr_groups + 1) * sizeof(*groups));
			groups[nr_groups++] = (struct bench_group){head + GROUP_HEAD, len / 24};
			nr_frames += len / 24;
		}
	}
}

static void log_read(const char *path)
{
	size_t n, len;
	uint8_t *file = file_read(path, &n);

	for (size_t pos = 0; pos + BLOCK_HEAD + 18 <= n; pos += len) {
		z_stream z = {0};
		uint8_t *plain;
		size_t room;

		len = canp_be32(file + pos + BLOCK_HEAD - 4);
		pos += BLOCK_HEAD;
		if (len < 18 || len > n - pos)
			exit(1);
		room = canp_le32(file + pos + len - 4);
		plain = malloc(room + 1);
		z.next_in = file + pos;
		z.avail_in = (uInt)len;
		z.next_out = plain;
		z.avail_out = (uInt)room;
		if (inflateInit2(&z, 31) != Z_OK || inflate(&z, Z_FINISH) != Z_STREAM_END)
			exit(1);
		inflateEnd(&z);
		member_groups(plain, room);
	}
	free(file);
}

static void builders_make(bool ts_ns)
{
	for (unsigned s = 0; s < canp_plan_nr_slots(plan); s++) {
		const struct canp_table *t = canp_plan_table(plan, s);

		if (t && t->cls != CANP_REC_NONE)
			canp_runb_init(&builders[s], &(struct canp_runb_opts){.table = t,
									      .pool = &pool,
									      .scratch = &scratch,
									      .slot = s,
									      .ts_ns = ts_ns});
	}
}

static uint64_t run_bytes(const struct canp_run *r)
{
	uint64_t n = r->ts.val.bytes + r->ts_ns.val.bytes;

	for (uint32_t i = 0; i < r->nr_cols; i++)
		n += canp_run_col(r, i)->val.bytes;
	return n;
}

static void run_keep(unsigned slot)
{
	struct canp_run *run;

	canp_runb_finish(&builders[slot], 0, &run);
	if (!run)
		return;
	if (nr_kept == KEPT_MAX)
		exit(2);
	out_bytes += run_bytes(run);
	kept[nr_kept++] = run;
}

static void chunk_drop(void *arg, unsigned slot, const struct canp_table *t,
		       const struct canp_chunk *c)
{
	(void)slot;
	(void)t;
	*(uint64_t *)arg += c->rows;
}

static void chunk_append(void *arg, unsigned slot, const struct canp_table *t,
			 const struct canp_chunk *c)
{
	(void)t;
	*(uint64_t *)arg += c->rows;
	if (canp_runb_append(&builders[slot], c))
		run_keep(slot);
}

static double run_once(bool columns, bool ts_ns)
{
	uint64_t rows = 0;
	struct canp_group_opts o = {.plan = plan,
				    .chunk = columns ? chunk_append : chunk_drop,
				    .arg = &rows,
				    .from_ns = INT64_MIN,
				    .to_ns = INT64_MAX};
	void *mem = aligned_alloc(64, canp_align_up(canp_group_bytes(plan), (size_t)64));
	struct canp_group *g = canp_group_init(mem, &o);
	const struct canp_busref *bus = canp_group_bus(g, NULL, 0);
	double start;

	builders_make(ts_ns);
	out_bytes = 0;
	start = cpu_now();
	for (size_t i = 0; i < nr_groups; i++)
		canp_group_push24(g, bus, groups[i].frames, groups[i].n, 1, 0);
	canp_group_flush(g);
	for (unsigned s = 0; columns && s < canp_plan_nr_slots(plan); s++)
		if (builders[s].o.table)
			run_keep(s);
	while (nr_kept)
		canp_run_free(kept[--nr_kept], &pool);
	start = cpu_now() - start;
	if (rows != canp_group_counts(g)->frames_decoded || pool.stats.in_use)
		exit(3);
	canp_group_fini(g);
	free(mem);
	return start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static const char *const name[3] = {"group", "group+columns", "group+columns+ts_ns"};
	static double t[3][ROUNDS_MAX];
	struct canp_plan_opts po = {.nr_dbcs = 1};
	unsigned rounds = argc > 3 ? (unsigned)atoi(argv[3]) : 9;
	enum canp_isa isa = CANP_ISA_AUTO;
	void *slots;
	struct canp_strbuf err = CANP_STRBUF_INIT;

	if (argc < 3 || !rounds || rounds > ROUNDS_MAX ||
	    (argc > 4 && canp_isa_parse(argv[4], &isa))) {
		fprintf(stderr, "usage: dev_bench_columns LOG DBC [ROUNDS [ISA]]\n");
		return 1;
	}
	canp_simd_init(isa, NULL);
	po.dbcs = &(struct canp_plan_dbc){.path = argv[2]};
	if (canp_plan_create(&po, &err, NULL, NULL, &plan)) {
		fprintf(stderr, "%s\n", err.buf);
		return 1;
	}
	log_read(argv[1]);
	slots = aligned_alloc(2 * CANP_MIB, POOL_SLOTS * (size_t)CANP_PAGE_SLOT_BYTES);
	madvise(slots, POOL_SLOTS * (size_t)CANP_PAGE_SLOT_BYTES, MADV_HUGEPAGE);
	canp_pool_init(&pool, slots, CANP_PAGE_SLOT_BYTES, POOL_SLOTS, 0);
	builders = calloc(canp_plan_nr_slots(plan), sizeof(*builders));
	for (unsigned r = 0; r < rounds + 1; r++)
		for (unsigned k = 0; k < 3; k++) {
			double d = run_once(k > 0, k > 1);

			t[k][r ? r - 1 : 0] = d; /* the first round only warms up */
			if (r == rounds && k)
				printf("%-20s %.2f bytes a frame\n", name[k],
				       (double)out_bytes / (double)nr_frames);
		}
	for (unsigned k = 0; k < 3; k++) {
		qsort(t[k], rounds, sizeof(double), by_value);
		printf("%-20s median %6.2f best %6.2f ns a frame\n", name[k],
		       1e9 * t[k][rounds / 2] / (double)nr_frames,
		       1e9 * t[k][0] / (double)nr_frames);
	}
	canp_plan_destroy(plan);
	return 0;
}
