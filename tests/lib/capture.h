/*
 * capture.h - a grouper that only notes what a walker pushes, and a driver that offers a file to a
 * walker in windows of any size. Included by exactly one file of a test program: it defines the
 * canp_group_* functions the walkers call, so the real grouper is not linked.
 *
 * The driver holds walkers to their contract: consumed <= window, at most CANP_FORMAT_STRADDLE
 * bytes left, an end at eof. Windows are allocated at their exact size plus the promised pad, so
 * that a sanitizer sees every byte read beyond.
 */
#ifndef CANP_TESTS_CAPTURE_H
#define CANP_TESTS_CAPTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/units.h"
#include "io/format/ahead.h"
#include "io/format/format.h"
#include "simd/frames.h"
#include "simd/simd.h"
#include "tests/lib/corpus.h"

#define CAPTURE_KEEP   20000u
#define CAPTURE_FAULTS 64u

struct captured {
	int64_t ts;
	uint32_t id, device;
	unsigned flags, dlc, len, bus;
	uint8_t data[64];
};

struct canp_group {
	struct canp_busref refs[1024];
	char names[1024][64];
	unsigned nr_refs;
	uint32_t device;
	uint64_t frames, gaps, errors, remotes, overloads;
	uint64_t digest;       /* of everything pushed, in order */
	struct captured *kept; /* the first CAPTURE_KEEP */
	/* the host's half */
	uint64_t faults, fault_digest;
	uint64_t by_code[CANP_FAULT_NR];
	struct canp_fault first[CAPTURE_FAULTS];
	char devices[64][80];
	uint32_t nr_devices;
	struct canp_format_stats stats;
	enum canp_walk end;
	bool pausing;
	unsigned pauses;
};

static void capture_mix(uint64_t *digest, const void *p, size_t n)
{
	*digest = canp_hash_mix(*digest ^ canp_hash_bytes(p, n)) + 0x9e3779b97f4a7c15ULL;
}

const struct canp_busref *canp_group_bus(struct canp_group *g, const char *name, unsigned number)
{
	for (unsigned i = 0; i < g->nr_refs; i++)
		if (g->refs[i].number == (uint8_t)number && !strcmp(g->names[i], name ? name : ""))
			return &g->refs[i];
	assert_true(g->nr_refs < CANP_ARRAY_SIZE(g->refs));
	g->refs[g->nr_refs].number = (uint8_t)number;
	snprintf(g->names[g->nr_refs], sizeof(g->names[0]), "%s", name ? name : "");
	return &g->refs[g->nr_refs++];
}

void canp_group_device(struct canp_group *g, uint32_t device)
{
	g->device = device;
}

void canp_group_push(struct canp_group *g, const struct canp_busref *bus, int64_t ts_ns,
		     uint32_t id, unsigned flags, unsigned dlc, const uint8_t *data, unsigned len)
{
	struct captured c;

	assert_non_null(bus);
	assert_true(len <= 64 && dlc <= 15 && id <= 0x1fffffff);
	memset(&c, 0, sizeof(c));
	c.ts = ts_ns;
	c.id = id;
	c.device = g->device;
	c.flags = flags;
	c.dlc = dlc;
	c.len = len;
	c.bus = bus->number;
	if (len)
		memcpy(c.data, data, len);
	capture_mix(&g->digest, &c, sizeof(c));
	if (flags & CANP_FF_GAP) {
		g->gaps++;
		return;
	}
	if (g->kept && g->frames < CAPTURE_KEEP)
		g->kept[g->frames] = c;
	g->frames++;
	g->errors += !!(flags & CANP_FF_ERR);
	g->remotes += !!(flags & CANP_FF_RTR);
	g->overloads += !!(flags & CANP_FF_OVL);
}

void canp_group_push24(struct canp_group *g, const struct canp_busref *bus, const uint8_t *p,
		       size_t n, int64_t ts_mul, int64_t ts_add)
{
	for (; n--; p += 24) {
		uint32_t id = canp_be32(p + 8);
		unsigned flags = (id >> 31 ? CANP_FF_EXT : 0u) | (id >> 30 & 1 ? CANP_FF_RTR : 0u) |
				 (id >> 29 & 1 ? CANP_FF_ERR : 0u);
		unsigned len = flags & CANP_FF_RTR ? 0 : canp_min((unsigned)p[12], 8u);

		canp_group_push(g, bus,
				(int64_t)(canp_be64(p) * (uint64_t)ts_mul + (uint64_t)ts_add),
				id & 0x1fffffff, flags, p[12] & 15u, p + 16, len);
	}
}

static void capture_fault(void *arg, const struct canp_fault *f)
{
	struct canp_group *g = arg;

	if (g->faults < CAPTURE_FAULTS)
		g->first[g->faults] = *f;
	g->faults++;
	g->by_code[f->code]++;
	capture_mix(&g->fault_digest, &f->code, sizeof(f->code));
	capture_mix(&g->fault_digest, &f->offset, sizeof(f->offset));
	capture_mix(&g->fault_digest, &f->bytes, sizeof(f->bytes));
	capture_mix(&g->fault_digest, f->detail, strlen(f->detail));
}

static uint32_t capture_device(void *arg, const char *name, size_t len)
{
	struct canp_group *g = arg;

	for (uint32_t i = 0; i < g->nr_devices; i++)
		if (strlen(g->devices[i]) == len && !memcmp(g->devices[i], name, len))
			return i + 1;
	if (g->nr_devices < CANP_ARRAY_SIZE(g->devices) && len < sizeof(g->devices[0])) {
		memcpy(g->devices[g->nr_devices], name, len);
		return ++g->nr_devices;
	}
	return 99;
}

static bool capture_pause(void *arg)
{
	struct canp_group *g = arg;

	return g->pausing && g->pauses++ % 2 == 0;
}

static void capture_free(struct canp_group *g)
{
	free(g->kept);
	free(g);
}

/* Both walks said the same in every respect. */
static inline void capture_equal(const struct canp_group *a, const struct canp_group *b)
{
	assert_int_equal(a->frames, b->frames);
	assert_int_equal(a->gaps, b->gaps);
	assert_true(a->digest == b->digest);
	assert_int_equal(a->faults, b->faults);
	for (unsigned i = 0; i < canp_min(a->faults, (uint64_t)CAPTURE_FAULTS); i++) {
		assert_string_equal(a->first[i].detail, b->first[i].detail);
		assert_int_equal(a->first[i].offset, b->first[i].offset);
	}
	assert_true(a->fault_digest == b->fault_digest);
	assert_int_equal(a->end, b->end);
	assert_int_equal(a->stats.unverified_tail, b->stats.unverified_tail);
	assert_int_equal(a->stats.members, b->stats.members);
	assert_int_equal(a->stats.bytes_inflated, b->stats.bytes_inflated);
}

/* How the file is cut: 0 = one window; 1.. = seed of random cuts of up to cut_max bytes. */
struct cuts {
	uint64_t seed;
	size_t cut_max;
	bool pausing;
	const struct canp_format_opts *opts;
};

static size_t capture_next(struct cuts *c, size_t left)
{
	size_t n;

	if (!c->seed)
		return left;
	n = 1 + (size_t)(corpus_rnd(&c->seed) >> 16) % c->cut_max;
	return canp_min(n, left);
}

static struct canp_ahead *capture_ahead(void)
{
	static void *mem;
	const char *why;

	if (mem)
		return mem;
	mem = aligned_alloc(64, canp_align_up(canp_ahead_bytes(), (size_t)64));
	assert_non_null(mem);
	return canp_ahead_init(mem, canp_ahead_engine(CANP_INFLATE_INTERLEAVED, &why));
}

static struct canp_group *capture_once(const struct canp_format *fmt, bool gz, const uint8_t *data,
				       size_t len, struct cuts cuts, struct canp_ahead *ahead)
{
	static const struct canp_format_opts defaults = {.canp_ts_mul = 1000};
	struct canp_group *g = calloc(1, sizeof(*g));
	struct canp_format_host host = {.arg = g,
					.group = g,
					.opts = cuts.opts ? cuts.opts : &defaults,
					.fault = capture_fault,
					.device = capture_device,
					.should_pause = capture_pause,
					.ahead = ahead};
	size_t have = 0, base = 0, used, calls = 0;
	struct canp_walker *w;
	enum canp_walk rc;
	void *mem;

	assert_non_null(g);
	g->kept = calloc(CAPTURE_KEEP, sizeof(*g->kept));
	assert_non_null(g->kept);
	g->pausing = cuts.pausing;
	mem = aligned_alloc(64, canp_align_up(canp_walker_bytes(), (size_t)64));
	assert_non_null(mem);
	memset(mem, 0xee, 4096); /* walkers may not count on zeroed memory */
	w = canp_walker_open(mem, fmt, gz, &host, len);
	do {
		size_t more = capture_next(&cuts, len - base - have);
		uint8_t *win;
		size_t at = 0; /* a paused walker's window stays where it is */
		bool eof;

		have += more;
		eof = base + have == len;
		win = malloc(have + CANP_FORMAT_TAIL_PAD);
		assert_non_null(win);
		if (have)
			memcpy(win, data + base, have);
		memset(win + have, 0xee, CANP_FORMAT_TAIL_PAD);
		do {
			used = 0;
			rc = canp_walker_walk(w, win + at, have, base, eof, &used);
			assert_true(used <= have);
			base += used;
			have -= used;
			at += used;
			assert_true(++calls < 4 * len + 1000);
		} while (rc == CANP_WALK_PAUSED);
		free(win);
		assert_true(rc == CANP_WALK_STOP || have <= CANP_FORMAT_STRADDLE);
		if (eof && rc == CANP_WALK_MORE)
			assert_int_equal(have, 0);
		if (eof)
			break;
	} while (rc != CANP_WALK_STOP);
	g->end = rc;
	canp_walker_close(w, &g->stats);
	free(mem);
	return g;
}

/* Walks data and returns what came out; the caller frees it with capture_free(). Inflating ahead
 * must make no difference. */
static struct canp_group *capture_walk(const struct canp_format *fmt, bool gz, const uint8_t *data,
				       size_t len, struct cuts cuts)
{
	struct canp_group *g = capture_once(fmt, gz, data, len, cuts, NULL);
	struct canp_group *a = capture_once(fmt, gz, data, len, cuts, capture_ahead());

	capture_equal(g, a);
	capture_free(a);
	return g;
}

static inline struct canp_group *capture_all(const struct canp_format *fmt, bool gz,
					     const struct corpus_buf *b)
{
	return capture_walk(fmt, gz, b->p, b->len, (struct cuts){0});
}

/* The first n frames are those of corpus_frame(). bus: whether the format stores it. */
static inline void capture_is_corpus(const struct canp_group *g, uint64_t seed, unsigned first,
				     unsigned n, bool fd, bool bus)
{
	struct corpus_frame f;

	assert_true(g->frames >= n);
	for (unsigned i = 0; i < n; i++) {
		const struct captured *c = &g->kept[i];

		corpus_frame(seed, first + i, fd, &f);
		assert_int_equal(c->ts, f.ts_ns);
		assert_int_equal(c->id, f.id);
		assert_int_equal(c->flags, f.flags);
		assert_int_equal(c->dlc, f.dlc);
		assert_int_equal(c->len, f.len);
		assert_int_equal(c->bus, bus ? f.bus : 0);
		assert_memory_equal(c->data, f.data, f.len);
	}
}

/* Random windows give what one window gives. */
static inline void capture_same_in_any_windows(const struct canp_format *fmt, bool gz,
					       const uint8_t *data, size_t len, uint64_t seed,
					       size_t cut_max)
{
	struct canp_group *a = capture_walk(fmt, gz, data, len, (struct cuts){0});
	struct canp_group *b =
		capture_walk(fmt, gz, data, len,
			     (struct cuts){.seed = seed, .cut_max = cut_max, .pausing = seed & 1});

	capture_equal(a, b);
	capture_free(a);
	capture_free(b);
}

#endif
