/*
 * gen_traffic.c - the traffic: cyclic messages with jitter on one 500 kbit/s bus, arbitrated by id,
 * carrying signals that move like those of a car.
 *
 * The shape follows measured logs: cycles of 10 ms to 1 s, 30 us of jitter, an end-to-end counter
 * and CRC-8 on 45 % (dense) or 12 % (sparse) of the messages, and a mix of inertial walks, slow
 * values, sensor noise, enumerations, flags and constants that gives about 8.7 (7.7) signals a
 * frame and compresses like the real thing. Everything is integer arithmetic, so that a seed gives
 * the same bytes on every machine.
 */
#include "tools/gen_traffic.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "core/base/units.h"
#include "tools/gen_model.h"

#define PERCENT(x) ((uint32_t)(((uint64_t)(x) << 32) / 100))
#define PPM(x)     ((uint32_t)(((uint64_t)(x) << 32) / 1000000))
#define JITTER_NS  30000
/* A standard frame has 47 bits around its data; stuffing adds some 15 %; a bit takes 2 us. */
#define FRAME_NS(dlc) ((47 + 8 * (int64_t)(dlc)) * 2300)

/* xoshiro256**. */
static uint64_t rnd64(struct canp_gen_traffic *t)
{
	uint64_t *s = t->rnd, r = s[1] * 5, u = s[1] << 17;

	r = ((r << 7) | (r >> 57)) * 9;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= u;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return r;
}

static uint32_t rnd32(struct canp_gen_traffic *t)
{
	return (uint32_t)(rnd64(t) >> 32);
}

static unsigned below(struct canp_gen_traffic *t, unsigned n)
{
	return (unsigned)(((uint64_t)rnd32(t) * n) >> 32);
}

/* Nearly normal, mean 0, deviation 1.0 = 65536: four dice of 16 bits. */
static int64_t gauss(struct canp_gen_traffic *t)
{
	uint64_t r = rnd64(t);
	int64_t sum = (int64_t)(r & 0xffff) + (int64_t)(r >> 16 & 0xffff) +
		      (int64_t)(r >> 32 & 0xffff) + (int64_t)(r >> 48);

	/* The sum has deviation 65536 / sqrt(3); 113512 = 65536 * sqrt(3). */
	return ((sum - 131070) * 113512) >> 16;
}

static int64_t mul16(int64_t a, int64_t b)
{
	return (a * b) >> 16;
}

static uint8_t crc8(const uint8_t *p, unsigned n)
{
	uint8_t c = 0xff;

	while (n--) {
		c ^= *p++;
		for (int k = 0; k < 8; k++)
			c = (uint8_t)(c & 0x80 ? c << 1 ^ 0x1d : c << 1);
	}
	return c ^ 0xff;
}

/* Amplitude of a walk as a fraction of its range, 10^-3.2 .. 10^-1.6 in 16 steps, of 2^20. */
static int64_t walk_amplitude(struct canp_gen_traffic *t, unsigned len)
{
	static const uint16_t steps[16] = {662,  844,  1074, 1367, 1740,  2215,  2820,  3590,
					   4570, 5818, 7407, 9429, 12004, 15282, 19455, 24767};
	int64_t a = ((int64_t)steps[below(t, 16)] << (len + 16)) >> 20;

	return t->sparse ? a * 10 / 63 : a; /* 10^-0.8 */
}

/* Draws kind and width of the next signal; cumulative shares of 100. */
static void draw_kind(struct canp_gen_traffic *t, struct canp_gen_signal *g)
{
	unsigned z = below(t, 100);

	if (t->sparse && below(t, 100) < 40)
		z = 90;
	if (z < 12) {
		g->kind = CANP_GEN_WALK;
		g->len = (uint8_t)(8 + below(t, 5));
	} else if (z < 27) {
		g->kind = CANP_GEN_WALK;
		g->len = (uint8_t)(12 + below(t, 5));
	} else if (z < 35) {
		g->kind = CANP_GEN_SLOW;
		g->len = (uint8_t)(8 + below(t, 9));
	} else if (z < 42) {
		g->kind = CANP_GEN_NOISE;
		g->len = (uint8_t)(12 + below(t, 3));
	} else if (z < 60) {
		g->kind = CANP_GEN_ENUM;
		g->len = (uint8_t)(2 + below(t, 3));
	} else if (z < 80) {
		g->kind = CANP_GEN_FLAG;
		g->len = 1;
	} else {
		g->kind = CANP_GEN_CONST;
		g->len = (uint8_t)(4 + below(t, 12));
	}
}

static uint64_t mask(unsigned len)
{
	return (1ull << len) - 1;
}

static void init_value(struct canp_gen_traffic *t, struct canp_gen_signal *g)
{
	int64_t range = 1ll << (g->len + 16);

	g->value = range / 5 +
		   (int64_t)(((unsigned __int128)rnd64(t) * (uint64_t)(range * 3 / 5)) >> 64);
	switch (g->kind) {
	case CANP_GEN_WALK:
		g->amplitude = walk_amplitude(t, g->len);
		break;
	case CANP_GEN_NOISE:
		g->amplitude = 65536 + 3 * (int64_t)below(t, 65536);
		break;
	case CANP_GEN_CONST:
		g->raw = below(t, 100) < 60 ? 0
			 : below(t, 2)      ? mask(g->len)
					    : rnd64(t) & mask(g->len);
		break;
	case CANP_GEN_ENUM:
	case CANP_GEN_FLAG:
		g->raw = below(t, 100) < 70 ? 0 : rnd64(t) & mask(g->len);
		g->chance = g->kind == CANP_GEN_ENUM ? PPM(200) : PPM(100);
		g->chance += below(t, PPM(2000));
		break;
	default:
		g->amplitude = 65536 / 50;
	}
	g->is_signed = g->kind == CANP_GEN_WALK && below(t, 5) == 0;
	g->scale = (uint8_t)below(t, 8);
}

static void init_signals(struct canp_gen_traffic *t, struct canp_gen_message *m)
{
	unsigned bit = 0, end = m->dlc * 8u;

	if (m->protected_) {
		m->signals[m->nr_signals++] =
			(struct canp_gen_signal){.kind = CANP_GEN_CRC, .start = 0, .len = 8};
		m->signals[m->nr_signals++] =
			(struct canp_gen_signal){.kind = CANP_GEN_COUNTER, .start = 8, .len = 4};
		bit = 12;
	}
	while (bit < end && m->nr_signals < CANP_GEN_SIGNALS_MAX - 1) {
		struct canp_gen_signal *g = &m->signals[m->nr_signals++];

		draw_kind(t, g);
		g->len = (uint8_t)canp_min((unsigned)g->len, end - bit);
		g->start = (uint8_t)bit;
		init_value(t, g);
		bit += g->len;
	}
}

static void init_message(struct canp_gen_traffic *t, unsigned i)
{
	static const struct {
		uint8_t share;
		uint16_t ms;
	} cycles[] = {{14, 10}, {22, 20}, {16, 50}, {26, 100}, {8, 200}, {7, 500}, {7, 1000}};
	struct canp_gen_message *m = &t->messages[i];
	/* Dealt out, not drawn: the few fast messages make most of the traffic, so luck with them
	 * would make one seed twice as compressible as the next. */
	unsigned z = (i * 61 + (unsigned)(t->seed % 100)) % 100, k = 0;

	while (k < CANP_ARRAY_SIZE(cycles) - 1 && z >= cycles[k].share)
		z -= cycles[k++].share;
	m->cycle_us = cycles[k].ms * 1000u;
	/* Spread over the identifiers, unique because the step is at least one. */
	m->id = 0x60 + i * 0x7a0 / t->nr;
	m->dlc = (uint8_t)(below(t, 100) < 86 ? 8 : 3 + below(t, 6));
	m->due_ns = (int64_t)below(t, m->cycle_us) * 1000;
	m->protected_ = m->cycle_us <= 100000 && rnd32(t) < PERCENT(t->sparse ? 12 : 45);
	init_signals(t, m);
}

struct canp_gen_traffic *canp_gen_traffic_create(uint64_t seed, unsigned ids, bool sparse,
						 uint64_t start_ns)
{
	struct canp_gen_traffic *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->messages = calloc(ids, sizeof(*t->messages));
	if (!t->messages) {
		free(t);
		return NULL;
	}
	t->nr = ids;
	t->sparse = sparse;
	t->start_ns = start_ns;
	t->seed = seed;
	t->activity = 256;
	for (unsigned i = 0; i < 4; i++)
		t->rnd[i] = seed * 0x9e3779b97f4a7c15ull + i * 0xd1b54a32d192ed03ull + 1;
	for (unsigned i = 0; i < 20; i++)
		rnd64(t);
	for (unsigned i = 0; i < ids; i++)
		init_message(t, i);
	return t;
}

void canp_gen_traffic_destroy(struct canp_gen_traffic *t)
{
	if (t)
		free(t->messages);
	free(t);
}

/* Keeps a value inside its range; a walk that hits the end stops. */
static void clamp_value(struct canp_gen_signal *g)
{
	int64_t top = (int64_t)mask(g->len) << 16;

	if (g->value >= 0 && g->value <= top)
		return;
	g->value = g->value < 0 ? 0 : top;
	g->speed = 0;
}

static void move_signal(struct canp_gen_traffic *t, struct canp_gen_signal *g)
{
	int64_t x;

	switch (g->kind) {
	case CANP_GEN_WALK:
		g->speed =
			g->speed * 9 / 10 + mul16(g->amplitude, gauss(t)) * t->activity * 3 / 2560;
		g->value += g->speed;
		clamp_value(g);
		g->raw = (uint64_t)g->value >> 16;
		break;
	case CANP_GEN_SLOW:
		g->value += mul16(g->amplitude, gauss(t));
		clamp_value(g);
		g->raw = (uint64_t)g->value >> 16;
		break;
	case CANP_GEN_NOISE:
		x = g->value + mul16(g->amplitude, gauss(t));
		x = canp_max(canp_min(x, (int64_t)mask(g->len) << 16), (int64_t)0);
		g->raw = (uint64_t)x >> 16;
		g->value += gauss(t) * t->activity / 2560;
		clamp_value(g);
		break;
	case CANP_GEN_ENUM:
	case CANP_GEN_FLAG:
		if (rnd32(t) < (uint32_t)((uint64_t)g->chance * (uint64_t)t->activity >> 8))
			g->raw = rnd64(t) & mask(g->len);
		break;
	case CANP_GEN_COUNTER:
		g->raw = (g->raw + 1) & 15;
		break;
	default:
		break;
	}
}

static void fill_frame(struct canp_gen_traffic *t, struct canp_gen_message *m,
		       struct canp_gen_frame *f)
{
	uint8_t tmp[8];
	uint64_t w = 0;

	for (unsigned i = 0; i < m->nr_signals; i++) {
		struct canp_gen_signal *g = &m->signals[i];
		uint64_t raw;

		move_signal(t, g);
		/* Signed signals swing around the middle of their range. */
		raw = g->is_signed ? g->raw - (1ull << (g->len - 1)) : g->raw;
		w |= (raw & mask(g->len)) << g->start;
	}
	for (unsigned i = 0; i < 8; i++)
		f->data[i] = (uint8_t)(w >> 8 * i);
	f->id = m->id;
	f->dlc = m->dlc;
	if (!m->protected_)
		return;
	memcpy(tmp, f->data + 1, 7);
	tmp[m->dlc - 1] = (uint8_t)m->id;
	f->data[0] = crc8(tmp, m->dlc);
}

/* The message that wins the bus: the earliest due one, among those already waiting the lowest id.
 */
static struct canp_gen_message *arbitrate(struct canp_gen_traffic *t)
{
	struct canp_gen_message *best = &t->messages[0];

	for (unsigned i = 1; i < t->nr; i++) {
		struct canp_gen_message *m = &t->messages[i];

		/* Ids rise with the index, so among waiting messages the first seen stays. */
		if (m->due_ns < best->due_ns && best->due_ns >= t->bus_free_ns)
			best = m;
	}
	return best;
}

void canp_gen_traffic_next(struct canp_gen_traffic *t, struct canp_gen_frame *f)
{
	struct canp_gen_message *m = arbitrate(t);
	int64_t at = canp_max(m->due_ns, t->bus_free_ns);

	if (at > t->activity_until_ns) {
		unsigned z = below(t, 4);

		t->activity = z == 0 ? 0 : z == 1 ? 51 : 256;
		t->activity_until_ns = at + 5000000000ll + (int64_t)below(t, 30000) * 1000000;
	}
	fill_frame(t, m, f);
	t->bus_free_ns = at + FRAME_NS(m->dlc);
	f->ts_ns = t->start_ns + (uint64_t)t->bus_free_ns;
	m->due_ns += (int64_t)m->cycle_us * 1000 + mul16(JITTER_NS, gauss(t));
	t->frames++;
	t->nr_signals += m->nr_signals;
}

void canp_gen_traffic_counts(const struct canp_gen_traffic *t, uint64_t *frames, uint64_t *signals)
{
	*frames = t->frames;
	*signals = t->nr_signals;
}
