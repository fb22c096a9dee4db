/*
 * trace.c - the switch, tracers and W3C trace contexts. The trace points are inline in the header,
 * the exporters in trace_export.c.
 */
#include "core/observe/trace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/units.h"

uint32_t canp_trace_state;

void canp_trace_set(bool on)
{
	__atomic_store_n(&canp_trace_state, on ? 1 : 0, __ATOMIC_RELAXED);
}

void canp_tracer_init(struct canp_tracer *t, struct canp_ev *ev, uint32_t nr,
		      enum canp_evring_full full, const char *name, uint32_t tid)
{
	canp_evring_init(&t->ring, ev, nr, full);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->tid = tid;
}

int64_t canp_trace_wall_offset_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * CANP_NS_PER_S + ts.tv_nsec - (int64_t)canp_clock_ns();
}

/* Lower case only, as the standard has it; -1 otherwise. */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(const char *text, uint8_t *out, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		int hi = hex_digit(text[2 * i]);
		int lo = hi < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

static bool is_zero(const uint8_t *p, unsigned nr)
{
	uint8_t any = 0;

	for (unsigned i = 0; i < nr; i++)
		any |= p[i];
	return !any;
}

/* 00-<32 hex>-<16 hex>-<2 hex>; a later version may go on behind a dash. */
int canp_traceparent_parse(const char *text, struct canp_trace_ctx *ctx)
{
	struct canp_trace_ctx c;
	uint8_t version;

	if (strnlen(text, CANP_TRACEPARENT_LEN) < CANP_TRACEPARENT_LEN ||
	    !parse_hex(text, &version, 1) || version == 0xff)
		return -EINVAL;
	if (text[2] != '-' || text[35] != '-' || text[52] != '-' ||
	    !parse_hex(text + 3, c.trace_id, 16) || !parse_hex(text + 36, c.span_id, 8) ||
	    !parse_hex(text + 53, &c.flags, 1))
		return -EINVAL;
	if (text[55] && (version == 0 || text[55] != '-'))
		return -EINVAL;
	if (is_zero(c.trace_id, 16) || is_zero(c.span_id, 8))
		return -EINVAL;
	*ctx = c;
	return 0;
}

static char *put_hex(char *to, const uint8_t *p, unsigned nr)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < nr; i++) {
		*to++ = digits[p[i] >> 4];
		*to++ = digits[p[i] & 15];
	}
	return to;
}

void canp_traceparent_format(const struct canp_trace_ctx *ctx, char out[CANP_TRACEPARENT_LEN + 1])
{
	char *p = out;

	*p++ = '0';
	*p++ = '0';
	*p++ = '-';
	p = put_hex(p, ctx->trace_id, 16);
	*p++ = '-';
	p = put_hex(p, ctx->span_id, 8);
	*p++ = '-';
	p = put_hex(p, &ctx->flags, 1);
	*p = 0;
}

/* Random bytes that are not all zero; the clock where the kernel has none to give. */
static void random_id(uint8_t *out, unsigned nr)
{
	uint64_t seed = canp_clock_ns() ^ (uintptr_t)out;

	if (getrandom(out, nr, GRND_NONBLOCK) == (ssize_t)nr && !is_zero(out, nr))
		return;
	for (unsigned i = 0; i < nr; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		out[i] = (uint8_t)(seed >> 56);
	}
	out[nr - 1] |= 1;
}

void canp_trace_ctx_new(const struct canp_trace_ctx *parent, struct canp_trace_ctx *out)
{
	if (parent && parent != out)
		*out = *parent;
	if (!parent) {
		random_id(out->trace_id, 16);
		out->flags = 1;
	}
	random_id(out->span_id, 8);
}
