/*
 * fuzz_walk.h - body of the libFuzzer programs for walkers. The input is a file; its last byte
 * chooses how it is cut into windows. Every run is done twice, in one window and in many, and must
 * give the same; that is the property the sanitizers cannot see.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. -include AUTOCONF \
 *         tests/fuzz_blf.c io/format/[a-z]*.c simd/[a-z]*.c core/base/{assert,err,log,timeconv}.c
 * -lisal
 *
 * (the _avx2 and _avx512 files need their flags, see Makefile; or link the archives of the asan
 * flavour instead.)
 */
#ifndef CANP_TESTS_FUZZ_WALK_H
#define CANP_TESTS_FUZZ_WALK_H

#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/base/units.h"
#include "io/format/ahead.h"
#include "io/format/format.h"
#include "io/format/formats.h"
#include "simd/simd.h"

struct canp_group {
	struct canp_busref ref;
	uint64_t digest, frames, faults;
};

static void fuzz_mix(struct canp_group *g, const void *p, size_t n)
{
	g->digest = canp_hash_mix(g->digest ^ canp_hash_bytes(p, n)) + 1;
}

const struct canp_busref *canp_group_bus(struct canp_group *g, const char *name, unsigned number)
{
	if (name)
		fuzz_mix(g, name, strlen(name));
	fuzz_mix(g, &number, sizeof(number));
	return &g->ref;
}

void canp_group_device(struct canp_group *g, uint32_t device)
{
	fuzz_mix(g, &device, sizeof(device));
}

void canp_group_push(struct canp_group *g, const struct canp_busref *bus, int64_t ts_ns,
		     uint32_t id, unsigned flags, unsigned dlc, const uint8_t *data, unsigned len)
{
	const uint64_t head[] = {(uint64_t)ts_ns, id, flags, dlc, len};

	if (bus != &g->ref || len > 64 || dlc > 15)
		abort();
	fuzz_mix(g, head, sizeof(head));
	if (len)
		fuzz_mix(g, data, len);
	g->frames++;
}

void canp_group_push24(struct canp_group *g, const struct canp_busref *bus, const uint8_t *frames,
		       size_t n, int64_t ts_mul, int64_t ts_add)
{
	/* Frame by frame and as if pushed alone: how many come at once, and whether they come this
	 * way, is the walker's affair. */
	for (; n; n--, frames += 24) {
		uint32_t id = canp_be32(frames + 8);
		unsigned flags = (id >> 31 ? CANP_FF_EXT : 0u) | (id >> 30 & 1 ? CANP_FF_RTR : 0u) |
				 (id >> 29 & 1 ? CANP_FF_ERR : 0u);

		canp_group_push(g, bus,
				(int64_t)(canp_be64(frames) * (uint64_t)ts_mul + (uint64_t)ts_add),
				id & 0x1fffffff, flags, frames[12] & 15u, frames + 16,
				canp_min((unsigned)frames[12], 8u));
	}
}

static void fuzz_fault(void *arg, const struct canp_fault *f)
{
	struct canp_group *g = arg;

	fuzz_mix(g, &f->offset, sizeof(f->offset));
	fuzz_mix(g, f->detail, strlen(f->detail));
	g->faults++;
}

static uint32_t fuzz_device(void *arg, const char *name, size_t len)
{
	fuzz_mix(arg, name, len);
	return 1;
}

static void fuzz_once(const struct canp_format *fmt, bool gz, const uint8_t *data, size_t len,
		      size_t step, struct canp_ahead *ahead, struct canp_group *g)
{
	static const struct canp_format_opts opts = {.canp_ts_mul = 1000,
						     .limits = {.file_inflated_max = 64 << 20,
								.member_inflated_max = 4 << 20,
								.ratio_max = 100}};
	struct canp_format_host host = {.arg = g,
					.group = g,
					.opts = &opts,
					.fault = fuzz_fault,
					.device = fuzz_device,
					.ahead = ahead};
	static void *mem; /* once: getting a MiB each time costs more than the walk */
	struct canp_format_stats stats;
	size_t base = 0, have = 0, used;
	struct canp_walker *w;
	enum canp_walk rc;

	if (!mem)
		mem = aligned_alloc(64, canp_align_up(canp_walker_bytes(), (size_t)64));
	if (!mem)
		abort();
	memset(g, 0, sizeof(*g));
	w = canp_walker_open(mem, fmt, gz, &host, len);
	do {
		uint8_t *win;

		have += canp_min(step, len - base - have);
		win = malloc(have + CANP_FORMAT_TAIL_PAD);
		if (!win)
			abort();
		memcpy(win, data + base, have);
		memset(win + have, 0xee, CANP_FORMAT_TAIL_PAD);
		rc = canp_walker_walk(w, win, have, base, base + have == len, &used);
		free(win);
		if (used > have || (rc == CANP_WALK_MORE && base + have == len && used != have))
			abort();
		base += used;
		have -= used;
	} while (rc == CANP_WALK_MORE && base + have < len);
	canp_walker_close(w, &stats);
	fuzz_mix(g, &stats.members, sizeof(stats.members));
	fuzz_mix(g, &stats.bytes_inflated, sizeof(stats.bytes_inflated));
}

static struct canp_ahead *fuzz_ahead(void)
{
	const char *why;
	void *mem;

	if (canp_simd_init(CANP_ISA_AUTO, NULL))
		abort();
	mem = aligned_alloc(64, canp_align_up(canp_ahead_bytes(), (size_t)64));
	if (!mem)
		abort();
	return canp_ahead_init(mem, canp_ahead_engine(CANP_INFLATE_INTERLEAVED, &why));
}

static void fuzz_same(const struct canp_group *a, const struct canp_group *b)
{
	if (a->digest != b->digest || a->frames != b->frames || a->faults != b->faults)
		abort();
}

static inline int fuzz_walk(const struct canp_format *fmt, bool gz, const uint8_t *data, size_t len)
{
	struct canp_group whole, cut, ahead;
	static struct canp_ahead *a; /* lives on from file to file, as on a shard */

	if (!a)
		a = fuzz_ahead();
	if (!len)
		return 0;
	fuzz_once(fmt, gz, data, len - 1, SIZE_MAX, NULL, &whole);
	fuzz_once(fmt, gz, data, len - 1, 1u + data[len - 1], NULL, &cut);
	fuzz_same(&whole, &cut);
	fuzz_once(fmt, gz, data, len - 1, SIZE_MAX, a, &ahead);
	fuzz_same(&whole, &ahead);
	fuzz_once(fmt, gz, data, len - 1, 1u + data[len - 1], a, &ahead);
	fuzz_same(&whole, &ahead);
	return 0;
}

#endif
