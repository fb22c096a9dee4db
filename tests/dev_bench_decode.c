/*
 * dev_bench_decode.c - what it costs to turn bytes into chunks, by format and by ISA: CPU time of
 * the thread, the contenders of a case alternated round by round, medians. Not built by default:
 *
 *   make .../tests/dev_bench_decode && dev_bench_decode [CASE]... (none: all; see main)
 *
 * frames: 24-byte frames in blocks of 64 KiB out of a ring of 16, as inflate leaves them, through
 * canp_group_push24() with each ISA; ns a frame. blf, candump: a small log through its walker,
 * several times over; BLF containers are stored, so that nothing is inflated. kernels: the column
 * kernels on chunks of 256 rows; ns a value. The owner of the chunks does nothing with them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/units.h"
#include "io/format/formats.h"
#include "simd/kernels.h"
#include "simd/simd.h"
#include "tests/lib/guard.h"

#define BLOCK    (65536u / 24u * 24u)
#define RING     16u
#define ROUNDS   21u
#define WINDOW   (1u << 20)
#define IDS_MAX  1024u
#define CONT_MAX 131072u
/* Small enough for L2, from where inflated data come too. */
#define LOG_ITEMS 8000u
#define LOG_WALKS 8u

static uint64_t seed = 0x2545f4914f6cdd1d;
static volatile uint64_t sunk;

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *memory(size_t n)
{
	void *p = aligned_alloc(64, canp_align_up(n, (size_t)64));

	if (!p)
		exit(1);
	memset(p, 0, n);
	return p;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static const enum canp_isa isas[] = {CANP_ISA_SCALAR, CANP_ISA_AVX2, CANP_ISA_AVX512};

/* ---- traffic ----------------------------------------------------------------------------------*/

enum kind { STD, EXT, J1939, RAW };

static uint32_t ids[IDS_MAX];
static unsigned nr_ids;

/* Ids that cost what real ones do: standard ones all over the range; J1939 ones of broadcast groups
 * from a few senders. */
static void ids_make(enum kind kind, unsigned n)
{
	nr_ids = n;
	for (unsigned i = 0; i < n; i++) {
		if (kind == EXT)
			ids[i] = 0x10000000 + i * 0x12345;
		else if (kind == J1939)
			ids[i] = 0x18f00000 + (i + 4) * 0x100;
		else
			ids[i] = 0x20 + i * (2000 / n);
	}
}

/* One message in four comes eight times as often as the others. */
static uint32_t id_next(enum kind kind)
{
	uint64_t r = guard_rand(&seed);
	unsigned i = r & 0x100 ? (unsigned)(r >> 32) % nr_ids : (unsigned)(r >> 32) % nr_ids / 4;

	return ids[i] + (kind == J1939 ? (r >> 16 & 3) : 0);
}

static struct canp_plan *plan_make(enum kind kind)
{
	char path[] = "/tmp/dev_bench_XXXXXX";
	struct canp_plan_dbc dbc = {NULL, path};
	struct canp_plan_opts opts = {.dbcs = &dbc, .nr_dbcs = 1, .raw = kind == RAW};
	struct canp_plan *plan;
	int fd = mkstemp(path);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (!f)
		exit(1);
	opts.j1939 = kind == J1939 ? CANP_J1939_ALWAYS : CANP_J1939_OFF;
	for (unsigned i = 0; i < nr_ids; i++)
		fprintf(f, "BO_ %u M%u: 8 X\n SG_ a : 0|64@1+ (1,0) [0|0] \"\" X\n",
			ids[i] | (kind == EXT || kind == J1939 ? 0x80000000u : 0), i);
	fclose(f);
	if (canp_plan_create(&opts, NULL, NULL, NULL, &plan))
		exit(1);
	unlink(path);
	return plan;
}

static void chunk_take(void *arg, unsigned slot, const struct canp_table *table,
		       const struct canp_chunk *chunk)
{
	(void)slot;
	(void)table;
	*(uint64_t *)arg += chunk->rows;
}

static uint64_t rows_taken;

static struct canp_group *group_make(const struct canp_plan *plan)
{
	struct canp_group_opts opts = {plan, chunk_take, &rows_taken, INT64_MIN, INT64_MAX};

	return canp_group_init(memory(canp_group_bytes(plan)), &opts);
}

/* ---- 24-byte frames ---------------------------------------------------------------------------*/

static void frames_make(enum kind kind, uint8_t *p, size_t n)
{
	uint64_t us = 1700000000000000;

	for (size_t i = 0; i < n; i++, p += 24) {
		us += 100 + guard_rand(&seed) % 100;
		canp_put_be64(p, us);
		canp_put_be32(p + 8,
			      id_next(kind) | (kind == EXT || kind == J1939 ? 0x80000000u : 0));
		canp_put_be32(p + 12, 0x08000000);
		canp_put_le64(p + 16, guard_rand(&seed));
	}
}

static void bench_frames(const char *name, enum kind kind, unsigned n_ids)
{
	static double t[CANP_ARRAY_SIZE(isas)][ROUNDS];
	static uint8_t *ring;
	const struct canp_busref *bus;
	struct canp_group *g;
	struct canp_plan *plan;

	if (!ring)
		ring = memory(RING * (BLOCK + 1088));
	ids_make(kind, n_ids);
	plan = plan_make(kind);
	g = group_make(plan);
	bus = canp_group_bus(g, "can0", 0);
	for (unsigned i = 0; i < RING; i++)
		frames_make(kind, ring + i * (BLOCK + 1088), BLOCK / 24);
	for (unsigned r = 0; r < ROUNDS; r++)
		for (unsigned k = 0; k < CANP_ARRAY_SIZE(isas); k++) {
			double start;

			canp_simd_init(isas[k], NULL);
			start = cpu_now();
			for (unsigned i = 0; i < 4 * RING; i++)
				canp_group_push24(g, bus, ring + i % RING * (BLOCK + 1088),
						  BLOCK / 24, 1000, 0);
			t[k][r] = 1e9 * (cpu_now() - start) / (4 * RING * (BLOCK / 24.0));
		}
	printf("frames %-10s %4u ids ", name, n_ids);
	for (unsigned k = 0; k < CANP_ARRAY_SIZE(isas); k++) {
		double m = median(t[k], ROUNDS);

		printf(" %s %.2f (best %.2f)", canp_isa_name(isas[k]), m, t[k][0]);
	}
	printf(" ns/frame\n");
	sunk += rows_taken;
}

/* ---- whole logs -------------------------------------------------------------------------------*/

struct log {
	uint8_t *p;
	size_t len, cap, items;
};

static uint8_t *log_room(struct log *l, size_t n)
{
	if (l->len + n + CANP_FORMAT_TAIL_PAD > l->cap) {
		l->cap = canp_max(2 * l->cap, l->len + n + CANP_FORMAT_TAIL_PAD);
		l->p = realloc(l->p, l->cap);
		if (!l->p)
			exit(1);
	}
	l->len += n;
	return l->p + l->len - n;
}

/* Object types: 1 and 86 are classic, 100 and 101 CAN FD; the sizes are what Vector's tools write.
 */
static const struct blf_case {
	const char *name;
	unsigned type, channels;
	bool fd; /* frames of 64 bytes, else classic ones */
} blf_cases[] = {
	{"blf1", 1, 1, false},       {"blf86", 86, 1, false},   {"blf86-2ch", 86, 2, false},
	{"blf100", 100, 1, false},   {"blf101", 101, 1, false}, {"blf100-fd", 100, 1, true},
	{"blf101-fd", 101, 1, true},
};

static size_t blf_object(uint8_t *p, const struct blf_case *c, uint64_t ns)
{
	static const uint8_t size[128] = {[1] = 48, [86] = 56, [100] = 116, [101] = 120};
	unsigned type = c->type, bytes = c->fd ? 64 : 8, id;
	size_t n = c->fd && type == 101 ? 136 : size[type];

	memset(p, 0, n);
	memcpy(p, "LOBJ\x20\0\1\0", 8);
	canp_put_le32(p + 8, (uint32_t)n);
	canp_put_le32(p + 12, type);
	canp_put_le32(p + 16, 2);
	canp_put_le64(p + 24, ns);
	p += 32;
	id = id_next(STD);
	p[0] = (uint8_t)(1 + id / 25 % c->channels); /* an id has one bus, as in a car */
	canp_put_le32(p + 4, id);
	p[type == 101 ? 1 : 3] = c->fd ? 15 : 8;
	p[type == 101 ? 2 : 14] = (uint8_t)bytes;
	if (c->fd)
		p[13] = type == 101 ? 0x10 : 1;
	canp_put_le64(p + (type == 101 ? 40 : type == 100 ? 20 : 8), guard_rand(&seed));
	if (type < 100)
		canp_put_le64(p + 8, guard_rand(&seed));
	return n;
}

static struct log blf_make(const struct blf_case *c, size_t items)
{
	static uint8_t cont[CONT_MAX];
	struct log l = {.items = items};
	uint8_t *h = memset(log_room(&l, 144), 0, 144);
	uint64_t ns = 0;
	size_t n;

	memcpy(h, "LOGG\x90", 5);
	while (items) {
		for (n = 0; items && n + 136 <= sizeof(cont); items--)
			n += blf_object(cont + n, c, ns += 100000);
		h = memset(log_room(&l, 32), 0, 32);
		memcpy(h, "LOBJ\x10\0\1\0", 8);
		canp_put_le32(h + 8, (uint32_t)(n + 32));
		canp_put_le32(h + 12, 10);
		canp_put_le32(h + 24, (uint32_t)n);
		memcpy(log_room(&l, n), cont, n);
	}
	return l;
}

/* form 0: candump -l; 1: with CAN FD frames of 64 bytes; 2: the console form. */
static struct log candump_make(unsigned form, size_t items)
{
	struct log l = {.items = items};
	uint64_t us = 1700000000000000;

	for (size_t i = 0; i < items; i++) {
		char line[256], *p = line;
		unsigned bytes = form == 1 ? 64 : 8;

		us += 100 + guard_rand(&seed) % 100;
		p += sprintf(
			p, form == 2 ? " (%u.%06u)  can%u  %03X   [8] " : "(%u.%06u) can%u %03X#%s",
			(unsigned)(us / 1000000), (unsigned)(us % 1000000), i % 16 == 0,
			id_next(STD), form == 1 ? "#1" : "");
		while (bytes--)
			p += sprintf(p, form == 2 ? " %02X" : "%02X",
				     (unsigned)(guard_rand(&seed) >> 40 & 0xff));
		*p++ = '\n';
		memcpy(log_room(&l, (size_t)(p - line)), line, (size_t)(p - line));
	}
	return l;
}

static void fault_print(void *arg, const struct canp_fault *f)
{
	(void)arg;
	fprintf(stderr, "fault at %llu: %s\n", (unsigned long long)f->offset, f->detail);
	exit(1);
}

static uint32_t device_none(void *arg, const char *name, size_t len)
{
	(void)arg;
	(void)name;
	(void)len;
	return 0;
}

static void walk(const struct canp_format *fmt, struct canp_group *g, const struct log *l)
{
	static const struct canp_format_opts opts = {
		.canp_ts_mul = 1000,
		.limits = {1ull << 40, 64u << 20, 1000},
	};
	struct canp_format_host host = {
		.group = g, .opts = &opts, .fault = fault_print, .device = device_none};
	static void *mem;
	struct canp_format_stats stats;
	struct canp_walker *w;
	size_t pos = 0, used;

	if (!mem)
		mem = memory(canp_walker_bytes());
	canp_group_file_begin(g, 1);
	w = canp_walker_open(mem, fmt, false, &host, l->len);
	while (pos < l->len) {
		size_t n = canp_min(l->len - pos, (size_t)WINDOW);

		canp_walker_walk(w, l->p + pos, n, pos, pos + n == l->len, &used);
		pos += used;
	}
	canp_walker_close(w, &stats);
	if (canp_group_counts(g)->frames != l->items)
		exit(1);
}

static void bench_log(const char *name, const struct canp_format *fmt, struct log l)
{
	static double t[CANP_ARRAY_SIZE(isas)][ROUNDS];
	struct canp_group *g;

	ids_make(STD, 80);
	g = group_make(plan_make(STD));
	for (unsigned r = 0; r < ROUNDS; r++)
		for (unsigned k = 0; k < CANP_ARRAY_SIZE(isas); k++) {
			double start;

			canp_simd_init(isas[k], NULL);
			start = cpu_now();
			for (unsigned i = 0; i < LOG_WALKS; i++)
				walk(fmt, g, &l);
			t[k][r] = 1e9 * (cpu_now() - start) / (double)(LOG_WALKS * l.items);
		}
	printf("%-17s %5.1f bytes ", name, (double)l.len / (double)l.items);
	for (unsigned k = 0; k < CANP_ARRAY_SIZE(isas); k++) {
		double m = median(t[k], ROUNDS);

		printf(" %s %.2f (%.0f MB/s)", canp_isa_name(isas[k]), m,
		       1e3 * (double)l.len / (double)l.items / m);
	}
	printf(" ns/item\n");
	free(l.p);
}

/* ---- column kernels ---------------------------------------------------------------------------*/

#define K_ROWS  256u
#define K_CALLS 2000u

static uint64_t *k_win, *k_out;
static uint8_t *k_rec;
static uint32_t k_mask[8];

typedef void (*kernel_run)(void (*f)(void), unsigned w);

/* One call of a kernel by its member type. */
#define AS(member, f) ((__typeof__(canp_simd.member))(f))

static void run_window(void (*f)(void), unsigned w)
{
	AS(window, f)(k_rec, w, 8, K_ROWS, k_out);
}

static void run_bswap64(void (*f)(void), unsigned w)
{
	(void)w;
	AS(bswap64, f)(k_win, K_ROWS, k_out);
}

static void run_range_mask(void (*f)(void), unsigned w)
{
	AS(range_mask, f)(k_win, K_ROWS, 3, w, 2, 5, k_mask);
	k_mask[0] |= 1;
}

#define RUN(bits)                                                                                  \
	static void run_extract##bits(void (*f)(void), unsigned w)                                 \
	{                                                                                          \
		struct canp_minmax mm;                                                             \
                                                                                                   \
		AS(extract##bits, f)(k_win, K_ROWS, 5, w, 0, (uint##bits##_t *)k_out, &mm);        \
		sunk += mm.max;                                                                    \
	}                                                                                          \
	static void run_compress##bits(void (*f)(void), unsigned w)                                \
	{                                                                                          \
		(void)w;                                                                           \
		sunk += AS(compress##bits, f)((uint##bits##_t *)k_out, K_ROWS, k_mask);            \
	}                                                                                          \
	static void run_pack##bits(void (*f)(void), unsigned w)                                    \
	{                                                                                          \
		sunk += AS(pack##bits, f)((uint##bits##_t *)k_out, K_ROWS, w, k_rec);              \
	}
RUN(16)
RUN(32)
RUN(64)

static const struct kernel_case {
	const char *kernel;
	kernel_run run;
	unsigned w;
} kernel_cases[] = {
	{"window", run_window, 16},        {"window", run_window, 32},
	{"window", run_window, 80},        {"bswap64", run_bswap64, 0},
	{"extract16", run_extract16, 11},  {"extract32", run_extract32, 20},
	{"extract64", run_extract64, 40},  {"range_mask", run_range_mask, 4},
	{"compress16", run_compress16, 0}, {"compress32", run_compress32, 0},
	{"compress64", run_compress64, 0}, {"pack16", run_pack16, 1},
	{"pack16", run_pack16, 4},         {"pack16", run_pack16, 8},
	{"pack16", run_pack16, 11},        {"pack16", run_pack16, 16},
	{"pack32", run_pack32, 7},         {"pack32", run_pack32, 20},
	{"pack32", run_pack32, 32},        {"pack64", run_pack64, 7},
	{"pack64", run_pack64, 20},        {"pack64", run_pack64, 40},
	{"pack64", run_pack64, 57},
};

struct kernel_rows {
	const char *kernel;
	unsigned nr;
	struct canp_kernel_row row[CANP_ISA_NR];
};

static void kernel_row(void *arg, const struct canp_kernel_row *row)
{
	struct kernel_rows *k = arg;

	if (row->runnable && !strcmp(row->kernel, k->kernel))
		k->row[k->nr++] = *row;
}

static void bench_kernel(const struct kernel_case *c)
{
	static double t[CANP_ISA_NR][ROUNDS];
	struct kernel_rows k = {.kernel = c->kernel};
	double base = 0;

	canp_kernels_for_each(kernel_row, &k);
	for (unsigned i = 0; i < 8; i++)
		k_mask[i] = (uint32_t)(guard_rand(&seed) >> 32);
	for (unsigned r = 0; r < ROUNDS; r++)
		for (unsigned i = 0; i < k.nr; i++) {
			double start;

			memset(k_out, 0, K_ROWS * 8);
			start = cpu_now();
			for (unsigned n = 0; n < K_CALLS; n++)
				c->run(k.row[i].func, c->w);
			t[i][r] = 1e9 * (cpu_now() - start) / (K_CALLS * K_ROWS);
		}
	printf("kernel %-10s %2u", c->kernel, c->w);
	for (unsigned i = 0; i < k.nr; i++) {
		double m = median(t[i], ROUNDS);

		base = i ? base : m;
		printf("  %s %.3f (x%.2f)", canp_isa_name(k.row[i].isa), m, base / m);
	}
	printf(" ns/value\n");
}

static void bench_kernels(void)
{
	k_win = memory(K_ROWS * 8);
	k_out = memory(K_ROWS * 8);
	k_rec = memory(K_ROWS * 96);
	for (unsigned i = 0; i < K_ROWS; i++)
		k_win[i] = guard_rand(&seed);
	for (size_t i = 0; i < CANP_ARRAY_SIZE(kernel_cases); i++)
		bench_kernel(&kernel_cases[i]);
}

/* ---- main -------------------------------------------------------------------------------------*/

static bool wanted(int argc, char **argv, const char *what)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], what))
			return true;
	return argc == 1;
}

int main(int argc, char **argv)
{
	static const char *const forms[] = {"candump", "candump-fd", "candump-console"};

	if (wanted(argc, argv, "s80"))
		bench_frames("class-S", STD, 80);
	if (wanted(argc, argv, "s300"))
		bench_frames("class-S", STD, 300);
	if (wanted(argc, argv, "ext"))
		bench_frames("29-bit", EXT, 80);
	if (wanted(argc, argv, "j1939"))
		bench_frames("J1939", J1939, 80);
	if (wanted(argc, argv, "raw"))
		bench_frames("S+raw", RAW, 80);
	for (size_t i = 0; i < CANP_ARRAY_SIZE(blf_cases); i++) {
		ids_make(STD, 80);
		if (wanted(argc, argv, blf_cases[i].name))
			bench_log(blf_cases[i].name, &canp_fmt_blf,
				  blf_make(&blf_cases[i], LOG_ITEMS));
	}
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(forms); i++) {
		ids_make(STD, 80);
		if (wanted(argc, argv, forms[i]))
			bench_log(forms[i], &canp_fmt_candump, candump_make(i, LOG_ITEMS));
	}
	if (wanted(argc, argv, "kernels"))
		bench_kernels();
	return 0;
}
