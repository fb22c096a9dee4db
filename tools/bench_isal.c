/*
 * bench_isal.c - inflates the members of CANP files, the containers of BLF files or whole gzip'd
 * texts with ISA-L and does nothing else: the lower bound that a job is compared with.
 *
 * The files are in memory; only the calls of isal_inflate are timed, on one pinned thread, without
 * checksums. The output buffer is reused, so it stays in the cache as far as it fits. Damaged
 * members end the run: this is no reader.
 */
#include <isa-l.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "tools/bench_job.h"

#define CANP_HEAD  35u
#define OUT_BYTES  (16u << 20)
#define TEXT_BYTES (128u << 10)

struct isal {
	struct canp_bench_setup *s;
	struct canp_bench_run *run;
	uint8_t *out;
	struct inflate_state st;
};

static bool isal_bad(struct isal *g, const char *what)
{
	snprintf(g->run->error, sizeof(g->run->error), "ISA-L alone: %s", what);
	return false;
}

/* Raw deflate data of at most len bytes; what follows it (a trailer) is left alone. */
static bool inflate_raw(struct isal *g, const uint8_t *p, size_t len)
{
	double start = canp_bench_cpu_s();
	uint64_t wall = canp_clock_ns();
	int rc;

	isal_inflate_init(&g->st);
	g->st.crc_flag = ISAL_DEFLATE;
	g->st.next_in = (uint8_t *)(uintptr_t)p;
	g->st.avail_in = (uint32_t)len;
	g->st.next_out = g->out;
	g->st.avail_out = OUT_BYTES;
	rc = isal_inflate_stateless(&g->st);
	g->run->cpu_s += canp_bench_cpu_s() - start;
	g->run->wall_s += 1e-9 * (double)(canp_clock_ns() - wall);
	g->run->inflated += g->st.total_out;
	return rc == ISAL_DECOMP_OK || isal_bad(g, "cannot inflate a member");
}

/* The fixed header of ten bytes and the optional fields that generators write: none. */
static bool member_gzip(struct isal *g, const uint8_t *p, size_t len)
{
	if (len < 18 || p[0] != 0x1f || p[1] != 0x8b || p[3])
		return isal_bad(g, "not a plain gzip member");
	return inflate_raw(g, p + 10, len - 18);
}

static bool walk_canp(struct isal *g, const uint8_t *p, size_t len)
{
	while (len >= CANP_HEAD) {
		size_t n = canp_be32(p + 31);

		if (n > len - CANP_HEAD)
			return isal_bad(g, "a block is longer than the file");
		if (!member_gzip(g, p + CANP_HEAD, n))
			return false;
		p += CANP_HEAD + n;
		len -= CANP_HEAD + n;
	}
	return true;
}

/* Containers of zlib streams, objectSize % 4 bytes of padding behind each. */
static bool walk_blf(struct isal *g, const uint8_t *p, size_t len)
{
	size_t pos = canp_le32(p + 4);

	while (pos + 32 <= len && !memcmp(p + pos, "LOBJ", 4)) {
		size_t head = canp_le16(p + pos + 4), size = canp_le32(p + pos + 8);

		if (size < head + 16 + 6 || size > len - pos)
			return isal_bad(g, "a container is longer than the file");
		if (canp_le32(p + pos + 12) == 10 && canp_le16(p + pos + head) == 2 &&
		    !inflate_raw(g, p + pos + head + 18, size - head - 22))
			return false;
		pos += size + size % 4;
	}
	return true;
}

/* One gzip stream as large as the file, by the piece. */
static bool walk_text(struct isal *g, const uint8_t *p, size_t len)
{
	double start = canp_bench_cpu_s();
	uint64_t wall = canp_clock_ns();
	int rc;

	isal_inflate_init(&g->st);
	g->st.crc_flag = ISAL_DEFLATE;
	g->st.next_in = (uint8_t *)(uintptr_t)p;
	g->st.avail_in = (uint32_t)len;
	do {
		g->st.next_out = g->out;
		g->st.avail_out = TEXT_BYTES;
		rc = isal_inflate(&g->st);
	} while (rc == ISAL_DECOMP_OK && g->st.block_state != ISAL_BLOCK_FINISH &&
		 g->st.avail_out < TEXT_BYTES);
	g->run->cpu_s += canp_bench_cpu_s() - start;
	g->run->wall_s += 1e-9 * (double)(canp_clock_ns() - wall);
	g->run->inflated += g->st.total_out;
	return g->st.block_state == ISAL_BLOCK_FINISH || isal_bad(g, "cannot inflate a text");
}

/* A BLF or CANP file, or a gzip stream of a text. */
static bool one_file(struct isal *g, const struct canp_stage_file *f)
{
	g->run->files++;
	g->run->bytes_in += f->bytes;
	if (f->bytes >= 144 && !memcmp(f->data, "LOGG", 4))
		return walk_blf(g, f->data, f->bytes);
	if (f->bytes > 18 && f->data[0] == 0x1f && f->data[1] == 0x8b && f->bytes <= UINT32_MAX)
		return walk_text(g, f->data + 10, f->bytes - 10);
	return walk_canp(g, f->data, f->bytes);
}

static void isal_main(void *arg, struct canp_bench_run *run)
{
	struct isal *g = arg;

	g->run = run;
	g->out = malloc(OUT_BYTES);
	if (!g->out) {
		isal_bad(g, "out of memory");
		return;
	}
	memset(g->out, 0, OUT_BYTES);
	for (uint32_t i = 0; i < g->s->data.nr && one_file(g, &g->s->data.files[i]); i++)
		;
	free(g->out);
}

const char *canp_bench_isal_refuse(const struct canp_bench_setup *s)
{
	const struct canp_stage_file *f = s->data.files;

	if (f->bytes >= 144 && !memcmp(f->data, "LOGG", 4))
		return NULL;
	if (f->bytes > CANP_HEAD + 18 && f->data[CANP_HEAD] == 0x1f &&
	    f->data[CANP_HEAD + 1] == 0x8b)
		return NULL;
	if (f->bytes <= 18 || f->data[0] != 0x1f || f->data[1] != 0x8b)
		return "the logs are not compressed";
	if (f->data[3])
		return "the gzip header has optional fields";
	return NULL;
}

int canp_bench_run_isal(struct canp_bench_setup *s, struct canp_bench_run *run)
{
	struct isal *g = calloc(1, sizeof(*g));
	double rusage_s;
	int rc;

	if (!g)
		return -ENOMEM;
	g->s = s;
	rc = canp_bench_fork(isal_main, g, s->cpu, run, &rusage_s);
	run->cores = 1;
	free(g);
	return rc;
}
