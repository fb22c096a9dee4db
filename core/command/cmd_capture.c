/*
 * cmd_capture.c - the first half of the buffer takes the beginning of the stream, the second half
 * is a ring that keeps its end. A stream that fits lies in the buffer as it came.
 */
#include "core/command/cmd_capture.h"

#include <string.h>

#include "core/base/units.h"
#include "core/command/command.h"

void canp_cmd_capture_init(struct cmd_capture *c, char *buf, size_t cap)
{
	c->buf = buf;
	c->cap = cap;
	c->total = 0;
}

void canp_cmd_capture_add(struct cmd_capture *c, const void *data, size_t len)
{
	size_t head = c->cap / 2, ring = c->cap - head, n;
	const char *p = data;

	if (c->total < head) {
		n = canp_min(len, head - (size_t)c->total);
		memcpy(c->buf + c->total, p, n);
		c->total += n;
		p += n;
		len -= n;
	}
	if (len > ring) { /* only its end can survive */
		c->total += len - ring;
		p += len - ring;
		len = ring;
	}
	while (len) {
		size_t at = (size_t)((c->total - head) % ring);

		n = canp_min(len, ring - at);
		memcpy(c->buf + head + at, p, n);
		c->total += n;
		p += n;
		len -= n;
	}
}

static void reverse(char *p, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		char t = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = t;
	}
}

/* Moves the first n bytes of the ring to its end, by three reversals. */
static void ring_rotate(struct cmd_capture *c, size_t n)
{
	size_t head = c->cap / 2, ring = c->cap - head;

	reverse(c->buf + head, n);
	reverse(c->buf + head + n, ring - n);
	reverse(c->buf + head, ring);
}

void canp_cmd_capture_skip(struct cmd_capture *c, const struct canp_cmd_output *of)
{
	size_t ring = c->cap - c->cap / 2;

	if (!of->truncated || of->len != c->cap || c->total != c->cap)
		return;
	/* The ring has to look as if all of it had gone through here. */
	c->total = of->total;
	ring_rotate(c, ring - (size_t)((of->total - c->cap / 2) % ring));
}

void canp_cmd_capture_finish(struct cmd_capture *c, struct canp_cmd_output *out)
{
	size_t head = c->cap / 2, ring = c->cap - head;

	out->data = c->buf;
	out->total = c->total;
	out->truncated = c->total > c->cap;
	out->len = out->truncated ? c->cap : (size_t)c->total;
	out->head = out->truncated ? head : out->len;
	if (out->truncated) {
		/* The oldest byte of the ring comes first. */
		ring_rotate(c, (size_t)((c->total - head) % ring));
	}
}
