/*
 * dev_bench_close.c - the owner's side of the Parquet sink: page runs become row groups in a sink
 * that drops them. CPU time per frame of placing and of closing apart, medians over row groups, and
 * bytes per value. Not built by default:
 *
 *   make .../tests/dev_bench_close && dev_bench_close [GROUPS [none|gzip|zstd [LEVEL]]]
 *
 * The message has nine signals as the dense logs of canp-gen do: a checksum, a counter, constants,
 * a mode, walks and noise, half of them scaled. Thirteen runs of 20,480 rows make a row group, as
 * files of 15 MB with 80 messages do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/sink/sink_parquet.h"
#include "simd/simd.h"
#include "tests/lib/pqgen.h"

#define RUNS       13u
#define RUN_ROWS   20480u
#define GROUPS_MAX 401u
#define SIGNALS    9u

static struct canp_runscratch scratch;
static struct canp_pool pool;
static uint64_t put_bytes;

static size_t null_room(void *arg)
{
	(void)arg;
	return CANP_BYTESINK_ROOM;
}

/* Staging copies what it is given, so this does, too. */
static void null_put(void *arg, const void *data, size_t len)
{
	static uint8_t block[CANP_BYTESINK_ROOM];

	(void)arg;
	memcpy(block + put_bytes % (CANP_BYTESINK_ROOM / 2), data,
	       canp_min(len, (size_t)CANP_BYTESINK_ROOM / 2));
	put_bytes += len;
}

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct canp_col signal_at(const char *name, unsigned shift, unsigned bits, double factor)
{
	bool whole = factor == (int)factor;

	return (struct canp_col){.name = name,
				 .dbc_name = name,
				 .unit = "",
				 .comment = "",
				 .type = !whole      ? CANP_COL_F64
					 : bits == 1 ? CANP_COL_BOOL
					 : bits <= 8 ? CANP_COL_U8
						     : CANP_COL_U16,
				 .src = CANP_SRC_SIGNAL,
				 .store = CANP_STORE_INDEX,
				 .raw_bits = (uint8_t)bits,
				 .start_bit = (uint16_t)shift,
				 .shift = (uint8_t)shift,
				 .need = 8,
				 .integral = whole,
				 .factor = factor,
				 .ifactor = (int64_t)factor,
				 .mux_parent = -1};
}

static void table_make(struct pqgen *g)
{
	const struct canp_col cols[SIGNALS] = {
		signal_at("Crc", 0, 8, 1),         signal_at("Counter", 8, 4, 1),
		signal_at("Const", 12, 10, 1),     signal_at("Mode", 22, 2, 1),
		signal_at("Flag", 22, 1, 1),       signal_at("Walk", 24, 12, 1),
		signal_at("Slow", 36, 16, 0.5),    signal_at("Noise", 52, 12, 0.1),
		signal_at("Constant", 12, 6, 0.25)};

	pqgen_init(g, 5, CANP_REC_S, PQGEN_PLAIN, SIGNALS);
	memcpy(g->cols, cols, sizeof(cols));
	g->table.nr_wins = 1;
	g->wins[0] = (struct canp_window){0};
}

static uint64_t payload(struct pqgen_rng *r, uint32_t row)
{
	static uint64_t walk = 2000, slow = 30000;
	uint64_t x = pqgen_u64(r);

	walk = (walk + x % 7 - 3) & 0xfff;
	slow = (slow + (x >> 8) % 3 - 1) & 0xffff;
	return (x >> 16 & 0xff) | (uint64_t)(row & 15) << 8 | 417ull << 12 |
	       (uint64_t)(row / 5000 & 3) << 22 | walk << 24 | slow << 36 | (x >> 32) << 52;
}

static struct canp_run *run_make(const struct pqgen *g, struct pqgen_rng *rng, uint32_t row0)
{
	static uint8_t rec[256 * 16] CANP_ALIGNED(64);
	struct canp_runb_opts o = {.table = &g->table, .pool = &pool, .scratch = &scratch};
	struct canp_meta_run meta = {.src = row0 / RUN_ROWS};
	struct canp_chunk c = {.rec = rec, .rows = 256, .meta = &meta, .nr_meta = 1};
	struct canp_runb b;
	struct canp_run *run;

	if (canp_runb_init(&b, &o))
		exit(1);
	for (uint32_t done = 0; done < RUN_ROWS; done += 256) {
		for (uint32_t i = 0; i < 256; i++) {
			int64_t ts = (int64_t)(row0 + done + i) * 10000000;

			ts += (int64_t)(pqgen_u64(rng) % 2000000);
			canp_put_le64(rec + i * 16, (uint64_t)ts);
			canp_put_le64(rec + i * 16 + 8, payload(rng, row0 + done + i));
		}
		canp_runb_append(&b, &c);
	}
	canp_runb_finish(&b, 0, &run);
	return run;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	unsigned groups = argc > 1 ? (unsigned)atoi(argv[1]) : 41;
	const char *codec = argc > 2 ? argv[2] : "none";
	struct canp_pqschema_opts so = {.version = "0",
					.codec_level = argc > 3 ? atoi(argv[3]) : 1};
	struct canp_pqw_opts wo = {.scratch = &scratch,
				   .pool = &pool,
				   .rowgroup_rows = 262144,
				   .sink = {null_room, null_put, NULL}};
	static double place[GROUPS_MAX], step[GROUPS_MAX], all[GROUPS_MAX];
	struct canp_run *runs[RUNS];
	struct pqgen_rng rng = {9};
	struct canp_pqschema *schema;
	struct canp_pqw *w;
	struct pqgen g;
	double frames = RUNS * RUN_ROWS;

	groups = canp_max(1u, canp_min(groups, GROUPS_MAX));
	so.codec = strcmp(codec, "gzip") == 0   ? CANP_PQ_GZIP
		   : strcmp(codec, "zstd") == 0 ? CANP_PQ_ZSTD
						: CANP_PQ_NONE;
	if (canp_simd_init(CANP_ISA_AUTO, getenv("CANP_CPU_DISABLE")))
		return 1;
	pqgen_pool_init(&pool, 12000);
	table_make(&g);
	if (canp_pqschema_create(&g.table, &so, &schema))
		return 1;
	wo.shared = canp_pqshared_init(
		aligned_alloc(64, canp_align_up(canp_pqshared_bytes(), (size_t)64)));
	wo.schema = schema;
	for (uint32_t i = 0; i < RUNS; i++)
		runs[i] = run_make(&g, &rng, i * RUN_ROWS);
	w = canp_pqw_open(&wo, false);
	for (unsigned k = 0; k < groups; k++) {
		double t0 = cpu_now(), t1;

		for (uint32_t i = 0; i < RUNS; i++)
			canp_pqw_place(w, runs[i]);
		t1 = cpu_now();
		while (canp_pqw_step(w))
			;
		place[k] = (t1 - t0) * 1e9 / frames;
		step[k] = (cpu_now() - t1) * 1e9 / frames;
		all[k] = place[k] + step[k];
	}
	qsort(place, groups, sizeof(place[0]), by_size);
	qsort(step, groups, sizeof(step[0]), by_size);
	qsort(all, groups, sizeof(all[0]), by_size);
	printf("%s: place %.2f  close %.2f  all %.2f ns/frame, %.3f bytes/value\n", codec,
	       place[groups / 2], step[groups / 2], all[groups / 2],
	       (double)put_bytes / ((double)groups * frames * SIGNALS));
	canp_pqw_destroy(w);
	return 0;
}
