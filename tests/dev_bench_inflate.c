/*
 * dev_bench_inflate.c - the interleaved inflate against isal_inflate on the same members,
 * alternated round by round: GB/s of output (CPU time of the thread) and ratios, medians. Not built
 * by default:
 *
 *   make .../tests/dev_bench_inflate && dev_bench_inflate FILE MEMBER_BYTES LEVEL [ROUNDS [only]]
 *
 * `only` leaves the others out, for a profile.
 *
 * FILE: a CANP file, of which the members are taken as they are when MEMBER_BYTES is 0, else
 * unpacked and packed again; or any other file, cut into members of MEMBER_BYTES of zlib LEVEL.
 * Output goes to a ring of 16 buffers, as in the product, so that it stays in the L2 cache.
 */
#include <isa-l.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "simd/inflate_x4.h"
#include "simd/simd.h"

#define RING        16u
#define ROUNDS_MAX  201u
#define CANP_HEAD   35u
#define ROUND_BYTES (8u << 20)

static struct canp_inflate_job *jobs;
static size_t nr_jobs, plain_bytes, packed_bytes, out_max;
static uint8_t *ring;

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

static void job_add(const uint8_t *member, size_t len, size_t plain)
{
	jobs = realloc(jobs, (nr_jobs + 1) * sizeof(*jobs));
	jobs[nr_jobs++] = (struct canp_inflate_job){
		.in = member, .in_len = len, .out_cap = plain, .kind = CANP_INFLATE_GZIP};
	plain_bytes += plain;
	packed_bytes += len;
	out_max = canp_max(out_max, plain);
}

/* Members as they are, or NULL; with plain also their bytes put together. */
static bool canp_members(const uint8_t *file, size_t n, uint8_t **plain, size_t *plain_len)
{
	size_t pos = 0, len, made = 0;

	*plain = NULL;
	while (pos + CANP_HEAD + 18 <= n) {
		len = canp_be32(file + pos + CANP_HEAD - 4);
		pos += CANP_HEAD;
		if (len > n - pos || len < 18 || file[pos] != 0x1f || file[pos + 1] != 0x8b)
			return false;
		made += canp_le32(file + pos + len - 4);
		pos += len;
	}
	if (pos != n)
		return false;
	*plain = malloc(made + 1);
	*plain_len = made;
	made = 0;
	for (pos = 0; pos < n; pos += len) {
		z_stream z = {.next_out = *plain + made, .avail_out = (uInt)(*plain_len - made)};

		len = canp_be32(file + pos + CANP_HEAD - 4);
		pos += CANP_HEAD;
		z.next_in = (uint8_t *)file + pos;
		z.avail_in = (uInt)len;
		if (inflateInit2(&z, 31) != Z_OK || inflate(&z, Z_FINISH) != Z_STREAM_END)
			exit(1);
		made += z.total_out;
		inflateEnd(&z);
	}
	return true;
}

static void members_make(uint8_t *file, size_t n, size_t member, int level)
{
	uint8_t *plain = file;
	size_t plain_len = n;

	if (canp_members(file, n, &plain, &plain_len) && member == 0) {
		for (size_t pos = 0; pos < n;) {
			size_t len = canp_be32(file + pos + CANP_HEAD - 4);

			pos += CANP_HEAD;
			job_add(file + pos, len, canp_le32(file + pos + len - 4));
			pos += len;
		}
		return;
	}
	if (!plain) {
		plain = file;
		plain_len = n;
	}
	for (size_t pos = 0; pos < plain_len && member; pos += member) {
		size_t k = canp_min(member, plain_len - pos);
		z_stream z = {.next_in = plain + pos, .avail_in = (uInt)k};
		uint8_t *packed = malloc(2 * k + 1000);

		z.next_out = packed;
		z.avail_out = (uInt)(2 * k + 1000);
		deflateInit2(&z, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
		deflate(&z, Z_FINISH);
		job_add(packed, z.total_out, k);
		deflateEnd(&z);
	}
}

/* Small files are gone through several times a round, or the clock would be measured. */
static void members_repeat(void)
{
	size_t once = nr_jobs, bytes = plain_bytes;

	while (once && plain_bytes < ROUND_BYTES) {
		jobs = realloc(jobs, (nr_jobs + once) * sizeof(*jobs));
		memcpy(jobs + nr_jobs, jobs, once * sizeof(*jobs));
		nr_jobs += once;
		plain_bytes += bytes;
	}
}

/* ---- the contenders ---------------------------------------------------------------------------*/

static double run_isal(void)
{
	static struct inflate_state state;
	double start = cpu_now();

	for (size_t i = 0; i < nr_jobs; i++) {
		isal_inflate_init(&state);
		state.crc_flag = ISAL_GZIP;
		state.next_in = (uint8_t *)jobs[i].in;
		state.avail_in = (uint32_t)jobs[i].in_len;
		state.next_out = ring + i % RING * out_max;
		state.avail_out = (uint32_t)jobs[i].out_cap;
		if (isal_inflate(&state) != ISAL_DECOMP_OK || state.avail_out)
			exit(2);
	}
	return cpu_now() - start;
}

static double run_x4(struct canp_inflate_x4 *ctx)
{
	double start = cpu_now();
	size_t started = 0;
	unsigned free_ring = (1u << RING) - 1;

	for (;;) {
		struct canp_inflate_job *job;

		while (started < nr_jobs && canp_inflate_x4_nr_free(ctx)) {
			unsigned slot = (unsigned)__builtin_ctz(free_ring);

			free_ring &= free_ring - 1;
			/* The slot taken last is the coldest. */
			jobs[started].out = ring + slot * out_max;
			canp_inflate_x4_submit(ctx, &jobs[started++]);
		}
		job = canp_inflate_x4_next(ctx);
		if (!job)
			break;
		if (job->result != CANP_INFLATE_OK || job->redone || job->out_len != job->out_cap)
			exit(3);
		free_ring |= 1u << (size_t)(job->out - ring) / out_max;
	}
	return cpu_now() - start;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static double t[3][ROUNDS_MAX];
	struct canp_inflate_x4 *x4, *scalar;
	unsigned rounds = argc > 4 ? (unsigned)atoi(argv[4]) : 15;
	bool only = argc > 5 && strcmp(argv[5], "only") == 0;
	uint8_t *file;
	size_t n;

	if (argc < 4 || rounds == 0 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: dev_bench_inflate FILE MEMBER_BYTES LEVEL [ROUNDS]\n");
		return 1;
	}
	canp_simd_init(CANP_ISA_AUTO, NULL);
	file = file_read(argv[1], &n);
	members_make(file, n, (size_t)atol(argv[2]), atoi(argv[3]));
	members_repeat();
	/* Apart by more than the data: equal offsets in a page would alias. */
	out_max = canp_align_up(out_max + 64, (size_t)64) + 1088;
	ring = calloc(RING, out_max);
	x4 = canp_inflate_x4_init(aligned_alloc(64, canp_inflate_x4_bytes()), CANP_INFLATE_AUTO);
	scalar = canp_inflate_x4_init(aligned_alloc(64, canp_inflate_x4_bytes()),
				      CANP_INFLATE_SCALAR);
	for (unsigned r = 0; r < rounds; r++) {
		t[0][r] = only ? 1 : run_isal();
		t[1][r] = run_x4(x4);
		t[2][r] = only ? 1 : run_x4(scalar);
	}
	for (unsigned i = 0; i < 3; i++)
		qsort(t[i], rounds, sizeof(double), by_value);
	printf("%zu members, %zu -> %zu bytes\n", nr_jobs, packed_bytes, plain_bytes);
	for (unsigned i = 0; i < 3; i++)
		printf("%-12s median %.3f best %.3f GB/s  ratio to isal_inflate: median %.2f best "
		       "%.2f\n",
		       (const char *[]){"isal_inflate", "interleaved", "scalar"}[i],
		       1e-9 * (double)plain_bytes / t[i][rounds / 2],
		       1e-9 * (double)plain_bytes / t[i][0], t[0][rounds / 2] / t[i][rounds / 2],
		       t[0][0] / t[i][0]);
	return 0;
}
