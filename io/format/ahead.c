/*
 * ahead.c - a chain of guessed members on the lanes of the interleaved decoder.
 *
 * The chain is followed by file offset (cursor), so it survives the change of windows. A block is
 * free, in flight, or done; it is dropped when the walker has come past it or asks for something
 * that is not in the chain. What is in flight cannot be called back: it ends as any other and is
 * free then.
 *
 * Blocks that were freed last are used first, because they are in the cache. They do not start at
 * equal offsets of a page: five lanes that write in step would meet in the same sets.
 */
#include "io/format/ahead.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "io/format/member.h"
#include "simd/simd.h"

/* Five in flight, the one being read, and two for members that end before an earlier one does. */
#define AHEAD_BLOCKS 8u
#define AHEAD_SIDE   (64u * 1024u)
/* The most that is left of a window for the sake of the lanes. */
#define AHEAD_LEAVE (CANP_FORMAT_STRADDLE / 2)
/* Input is copied when fewer members of its size than this follow in the window. */
#define AHEAD_COPY_MEMBERS 6u
/* Guesses may cost as much as they gained, and this many bytes in advance. */
#define AHEAD_WASTE_FREE (4u << 20)
#define AHEAD_STAGGER    (13u * CANP_CACHELINE)

enum block_state { BLOCK_FREE, BLOCK_BUSY, BLOCK_DONE };

struct ahead_block {
	struct canp_inflate_job job; /* first: the decoder hands it back */
	uint64_t file, pos;
	uint8_t *data, *side;
	enum block_state state;
	bool copied;
	bool unwanted; /* BUSY: free when it ends */
};

/* A file that comes after the one being walked. */
struct ahead_offer {
	uint64_t file;
	canp_ahead_find_fn find;
	const uint8_t *win;
	size_t len, cursor;
};

struct canp_ahead {
	struct canp_inflate_x4 *x4;
	uint64_t file, next;                         /* being walked; to be opened, 0: unknown */
	struct ahead_offer offer[CANP_AHEAD_OFFERS]; /* in the order they will be opened */
	unsigned nr_offers;
	struct ahead_block block[AHEAD_BLOCKS];
	uint8_t free[AHEAD_BLOCKS]; /* stack of free blocks */
	unsigned nr_free, nr_busy;
	struct ahead_block *taken; /* what the walker reads from */
	canp_ahead_find_fn find;
	void *arg;
	const uint8_t *win;
	size_t len;
	uint64_t base;
	bool eof;
	bool starved;        /* the window has no more members for the lanes */
	bool off;            /* the guesses of this file are not worth it */
	uint64_t cursor;     /* file offset where the chain goes on */
	uint64_t used, lost; /* bytes in and out of members taken and dropped, this file */
	struct canp_ahead_stats stats;
};

CANP_STATIC_ASSERT(AHEAD_BLOCKS > CANP_INFLATE_LANES, "one to read, the others in flight");

enum canp_inflate_engine canp_ahead_engine(enum canp_inflate_engine wanted, const char **why)
{
	bool avx2 = CANP_ENABLED(CONFIG_CANP_SIMD_AVX2) && canp_simd.isa >= CANP_ISA_AVX2;

	if (wanted == CANP_INFLATE_ISAL) {
		*why = "as asked";
		return CANP_INFLATE_ISAL;
	}
	if (avx2) {
		*why = wanted == CANP_INFLATE_AUTO ? "the fastest here" : "as asked";
		return CANP_INFLATE_INTERLEAVED;
	}
	if (wanted == CANP_INFLATE_AUTO) {
		*why = "interleaving needs AVX2, which is absent or switched off";
		return CANP_INFLATE_ISAL;
	}
	*why = "as asked, but without AVX2 one member after the other";
	return CANP_INFLATE_SCALAR;
}

const char *canp_ahead_engine_name(enum canp_inflate_engine engine)
{
	static const char *const names[] = {[CANP_INFLATE_AUTO] = "auto",
					    [CANP_INFLATE_INTERLEAVED] = "interleaved",
					    [CANP_INFLATE_SCALAR] = "scalar",
					    [CANP_INFLATE_ISAL] = "isal"};

	return names[engine];
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t ahead_head(void)
{
	return canp_align_up(sizeof(struct canp_ahead), (size_t)CANP_CACHELINE);
}

static size_t block_bytes(void)
{
	return canp_align_up((size_t)CANP_CARRY_MAX + CANP_HOLD_BYTES + CANP_HOLD_SLACK + 64,
			     (size_t)4096) +
	       AHEAD_STAGGER;
}

size_t canp_ahead_bytes(void)
{
	return ahead_head() + canp_inflate_x4_bytes() +
	       AHEAD_BLOCKS * (block_bytes() + AHEAD_SIDE + CANP_CACHELINE);
}

struct canp_ahead *canp_ahead_init(void *mem, enum canp_inflate_engine engine)
{
	struct canp_ahead *a = mem;
	uint8_t *p = (uint8_t *)mem + ahead_head();

	memset(a, 0, sizeof(*a));
	a->x4 = canp_inflate_x4_init(p, engine);
	p += canp_inflate_x4_bytes();
	for (unsigned i = 0; i < AHEAD_BLOCKS; i++) {
		a->block[i].data = p + CANP_CARRY_MAX;
		p += block_bytes();
	}
	for (unsigned i = 0; i < AHEAD_BLOCKS; i++) {
		a->block[i].side = p;
		p += AHEAD_SIDE + CANP_CACHELINE;
		a->free[i] = (uint8_t)i;
	}
	a->nr_free = AHEAD_BLOCKS;
	return a;
}

const struct canp_ahead_stats *canp_ahead_stats(const struct canp_ahead *a)
{
	return &a->stats;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void block_free(struct canp_ahead *a, struct ahead_block *b)
{
	b->state = BLOCK_FREE;
	a->free[a->nr_free++] = (uint8_t)(b - a->block);
}

static void block_drop(struct canp_ahead *a, struct ahead_block *b)
{
	if (b->state == BLOCK_FREE || b == a->taken || (b->state == BLOCK_BUSY && b->unwanted))
		return;
	a->stats.dropped++;
	a->lost += b->job.in_len + b->job.out_cap;
	a->off |= a->lost > a->used + AHEAD_WASTE_FREE;
	if (b->state == BLOCK_BUSY)
		b->unwanted = true;
	else
		block_free(a, b);
}

/* Drops what lies before pos in the file being walked: the walker never goes back. */
static void drop_before(struct canp_ahead *a, uint64_t pos)
{
	for (unsigned i = 0; i < AHEAD_BLOCKS; i++)
		if (a->block[i].file == a->file && a->block[i].pos < pos)
			block_drop(a, &a->block[i]);
}

static struct ahead_block *block_at(struct canp_ahead *a, uint64_t pos)
{
	for (unsigned i = 0; i < AHEAD_BLOCKS; i++) {
		struct ahead_block *b = &a->block[i];

		if (b->pos == pos && b->file == a->file && b->state != BLOCK_FREE && !b->unwanted &&
		    b != a->taken)
			return b;
	}
	return NULL;
}

/* Lets the decoder work until one member is complete. */
static void ahead_work(struct canp_ahead *a)
{
	struct ahead_block *b;

	a->stats.lanes[a->nr_busy]++;
	b = (struct ahead_block *)canp_inflate_x4_next(a->x4);
	CANP_ASSERT(b);
	a->nr_busy--;
	b->state = BLOCK_DONE;
	if (b->unwanted)
		block_free(a, b);
}

/* ---- the chain ------------------------------------------------------------------------------- */

static void block_submit(struct canp_ahead *a, uint64_t file, uint64_t pos, const uint8_t *in,
			 bool copy, const struct canp_ahead_found *f)
{
	struct ahead_block *b = &a->block[a->free[--a->nr_free]];

	b->file = file;
	b->pos = pos;
	b->state = BLOCK_BUSY;
	b->unwanted = false;
	b->copied = copy;
	if (copy) {
		memcpy(b->side, in, f->in_len);
		in = b->side;
		a->stats.copied++;
	}
	b->job = (struct canp_inflate_job){.in = in,
					   .in_len = f->in_len,
					   .out = b->data,
					   .out_cap = CANP_HOLD_BYTES + CANP_HOLD_SLACK,
					   .kind = f->kind};
	a->nr_busy++;
	canp_inflate_x4_submit(a->x4, &b->job);
}

static void ahead_submit(struct canp_ahead *a, const uint8_t *p, size_t left,
			 const struct canp_ahead_found *f)
{
	bool copy = !a->eof && f->in_len <= AHEAD_SIDE &&
		    left - f->advance < AHEAD_COPY_MEMBERS * f->advance;

	block_submit(a, a->file, a->cursor + f->pos, p + f->in, copy, f);
}

/* One member of the files after this one; false: they have none to offer. */
static bool offer_submit(struct canp_ahead *a)
{
	for (unsigned i = 0; i < a->nr_offers; i++) {
		struct ahead_offer *o = &a->offer[i];

		while (o->cursor < o->len) {
			struct canp_ahead_found f = {.advance = 0};
			size_t at = o->cursor;

			if (!o->find(NULL, o->win + at, o->len - at, &f) || f.in_len > AHEAD_SIDE) {
				/* What follows cannot be told before the walker is there, nor can
				 * any file behind it: its blocks would be in the way. */
				return false;
			}
			CANP_ASSERT(f.advance && f.in + f.in_len <= o->len - at);
			o->cursor += f.advance;
			if (f.skip)
				continue;
			block_submit(a, o->file, at + f.pos, o->win + at + f.in, true, &f);
			a->stats.early++;
			return true;
		}
	}
	return false;
}

/* The next member of the window, or -1 when there is none. 0: one that is not for the lanes. */
static int window_submit(struct canp_ahead *a)
{
	struct canp_ahead_found f = {.advance = 0};
	uint64_t at = a->cursor - a->base;
	size_t left;

	if (a->cursor < a->base || at >= a->len)
		return -1;
	left = a->len - (size_t)at;
	if (!a->find(a->arg, a->win + at, left, &f))
		return -1;
	CANP_ASSERT(f.advance && f.in + f.in_len <= left);
	if (!f.skip)
		ahead_submit(a, a->win + at, left, &f);
	a->cursor += f.advance;
	return !f.skip;
}

/* Gives every lane a member while there are members and blocks. */
static void ahead_fill(struct canp_ahead *a)
{
	while (!a->off && a->nr_free && a->nr_busy < CANP_INFLATE_LANES) {
		a->starved = a->starved || window_submit(a) < 0;
		if (a->starved && (!a->eof || !offer_submit(a)))
			return;
	}
}

/* The block of the member at pos; takes up the chain there when it went another way. */
static struct ahead_block *ahead_seek(struct canp_ahead *a, uint64_t pos)
{
	struct ahead_block *b;

	drop_before(a, pos);
	b = block_at(a, pos);
	if (b)
		return b;
	if (a->cursor != pos) {
		drop_before(a, UINT64_MAX);
		a->cursor = pos;
		a->starved = false;
	}
	ahead_fill(a);
	return block_at(a, pos);
}

static void ahead_release(struct canp_ahead *a)
{
	if (a->taken)
		block_free(a, a->taken);
	a->taken = NULL;
}

bool canp_ahead_ready(struct canp_ahead *a, uint64_t pos, size_t rest)
{
	struct ahead_block *b;

	if (!a || a->off || a->eof || rest > AHEAD_LEAVE)
		return true;
	ahead_release(a);
	b = ahead_seek(a, pos);
	while (b && b->state == BLOCK_BUSY && b->copied) {
		ahead_fill(a);
		if (a->starved && a->nr_busy < CANP_INFLATE_LANES)
			return false;
		ahead_work(a);
	}
	return true;
}

const struct canp_inflate_job *canp_ahead_take(struct canp_ahead *a, uint64_t pos,
					       enum canp_inflate_kind kind, size_t in_len)
{
	struct ahead_block *b;

	if (!a || a->off || !a->find)
		return NULL;
	ahead_release(a);
	b = ahead_seek(a, pos);
	if (!b || b->job.kind != kind || b->job.in_len != in_len)
		return NULL;
	while (b->state == BLOCK_BUSY) {
		ahead_fill(a);
		ahead_work(a);
	}
	a->taken = b;
	a->stats.taken++;
	a->used += b->job.in_len + b->job.out_len;
	return &b->job;
}

/* ---- files and windows ----------------------------------------------------------------------- */

/* Blocks of files that will not be opened next, or not at all. */
static void drop_strangers(struct canp_ahead *a)
{
	for (unsigned i = 0; i < AHEAD_BLOCKS; i++) {
		bool known = a->block[i].file == a->file;

		for (unsigned o = 0; o < a->nr_offers; o++)
			known |= a->block[i].file == a->offer[o].file;
		if (!known)
			block_drop(a, &a->block[i]);
	}
}

void canp_ahead_next(struct canp_ahead *a, uint64_t file)
{
	if (a)
		a->next = file;
}

bool canp_ahead_wants(const struct canp_ahead *a)
{
	return a && a->nr_offers < CANP_AHEAD_OFFERS;
}

bool canp_ahead_offer(struct canp_ahead *a, uint64_t file, const struct canp_ahead_start *start,
		      const uint8_t *win, size_t len)
{
	size_t first = a && start ? start->first(win, len) : len;

	if (first >= len || !canp_ahead_wants(a))
		return false;
	a->offer[a->nr_offers++] = (struct ahead_offer){
		.file = file, .find = start->find, .win = win, .len = len, .cursor = first};
	return true;
}

/* Forgets the first n offers. */
static void offers_drop(struct canp_ahead *a, unsigned n)
{
	a->nr_offers -= n;
	memmove(a->offer, a->offer + n, a->nr_offers * sizeof(a->offer[0]));
	drop_strangers(a);
}

void canp_ahead_withdraw(struct canp_ahead *a)
{
	if (a)
		offers_drop(a, a->nr_offers);
}

void canp_ahead_open(struct canp_ahead *a)
{
	unsigned i = 0;

	if (!a)
		return;
	ahead_release(a);
	drop_before(a, UINT64_MAX);
	a->file = a->next;
	a->next = 0;
	a->find = NULL;
	a->cursor = 0;
	a->used = a->lost = 0;
	a->off = false;
	while (i < a->nr_offers && a->offer[i].file != a->file)
		i++;
	if (i < a->nr_offers) {
		a->cursor = a->offer[i].cursor;
		offers_drop(a, i + 1); /* those in front were given up */
	} else if (!a->file) {
		offers_drop(a, i);
	}
}

void canp_ahead_window(struct canp_ahead *a, canp_ahead_find_fn find, void *arg, const uint8_t *win,
		       size_t len, uint64_t base, bool eof)
{
	if (!a)
		return;
	a->find = find;
	a->arg = arg;
	a->win = win;
	a->len = len;
	a->base = base;
	a->eof = eof;
	a->starved = false;
}

void canp_ahead_leave(struct canp_ahead *a)
{
	if (!a)
		return;
	a->find = NULL;
	for (unsigned i = 0; i < AHEAD_BLOCKS; i++)
		while (a->block[i].state == BLOCK_BUSY && !a->block[i].copied)
			ahead_work(a);
}
