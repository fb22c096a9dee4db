/*
 * isolate_event.c - events of a worker: writing, and reading what must not be trusted.
 */
#include "io/isolate_event.h"

#include <errno.h>
#include <string.h>

#include "core/base/units.h"

#define FRAME24 24u

struct iso_head {
	uint32_t size;
	uint8_t kind, bus;
	uint16_t n;
};

struct iso_format {
	uint32_t index; /* in canp_formats; UINT32_MAX: none */
	uint32_t gz;
};

struct iso_bus {
	uint32_t number;
	uint32_t named;
};

struct iso_push {
	int64_t ts_ns;
	uint32_t id;
	uint16_t flags;
	uint8_t dlc, len;
};

struct iso_push24 {
	int64_t mul, add;
};

struct iso_fault {
	uint32_t code, pad;
	uint64_t offset, bytes;
	char detail[sizeof(((struct canp_fault *)NULL)->detail)];
};

struct iso_end {
	uint64_t members, bytes_inflated;
	uint32_t unverified_tail, whole;
};

_Static_assert(sizeof(struct iso_head) == 8, "events are multiples of 8");
_Static_assert(sizeof(struct iso_head) + sizeof(struct iso_push) + 8 == CANP_ISO_PUSH_MIN,
	       "a frame by value");

/* ---- reading ---- */

static int parse_format(const uint8_t *body, struct canp_iso_event *ev)
{
	struct iso_format f;
	uint32_t i = 0;

	memcpy(&f, body, sizeof(f));
	ev->format.format = NULL;
	ev->format.gz = f.gz & 1;
	if (f.index == UINT32_MAX)
		return 0;
	while (canp_formats[i] && i < f.index)
		i++;
	ev->format.format = canp_formats[i];
	return canp_formats[i] ? 0 : -EBADMSG;
}

static int parse_bus(const uint8_t *body, size_t len, unsigned n, struct canp_iso_event *ev)
{
	struct iso_bus b;

	memcpy(&b, body, sizeof(b));
	if (n >= CANP_ISO_NAME_MAX || sizeof(b) + n > len)
		return -EBADMSG;
	ev->name.named = b.named & 1;
	ev->name.number = b.number;
	ev->name.len = n;
	memcpy(ev->name.name, body + sizeof(b), n);
	ev->name.name[n] = '\0';
	return 0;
}

static int parse_name(const uint8_t *body, size_t len, unsigned n, struct canp_iso_event *ev)
{
	if (n >= CANP_ISO_NAME_MAX || n > len)
		return -EBADMSG;
	ev->name.named = true;
	ev->name.number = 0;
	ev->name.len = n;
	memcpy(ev->name.name, body, n);
	ev->name.name[n] = '\0';
	return 0;
}

static int parse_push(const uint8_t *body, size_t len, struct canp_iso_event *ev)
{
	struct iso_push f;

	memcpy(&f, body, sizeof(f));
	if (f.len > 64 || sizeof(f) + f.len > len)
		return -EBADMSG;
	ev->push.ts_ns = f.ts_ns;
	ev->push.id = f.id;
	ev->push.flags = f.flags;
	ev->push.dlc = f.dlc;
	ev->push.len = f.len;
	ev->push.data = body + sizeof(f);
	return 0;
}

static int parse_push24(const uint8_t *body, size_t len, unsigned n, struct canp_iso_event *ev)
{
	struct iso_push24 f;

	memcpy(&f, body, sizeof(f));
	if (!n || n > CANP_ISO_FRAMES_MAX || sizeof(f) + (size_t)n * FRAME24 > len)
		return -EBADMSG;
	ev->push24.mul = f.mul;
	ev->push24.add = f.add;
	ev->push24.frames = body + sizeof(f);
	ev->push24.n = n;
	return 0;
}

static int parse_fault(const uint8_t *body, struct canp_iso_event *ev)
{
	struct iso_fault f;

	memcpy(&f, body, sizeof(f));
	if (f.code == CANP_FAULT_NONE || f.code >= CANP_FAULT_NR)
		return -EBADMSG;
	ev->fault.code = (enum canp_fault_code)f.code;
	ev->fault.offset = f.offset;
	ev->fault.bytes = f.bytes;
	memcpy(ev->fault.detail, f.detail, sizeof(f.detail));
	ev->fault.detail[sizeof(f.detail) - 1] = '\0';
	return 0;
}

static int parse_end(const uint8_t *body, struct canp_iso_event *ev)
{
	struct iso_end e;

	memcpy(&e, body, sizeof(e));
	ev->end.stats.members = e.members;
	ev->end.stats.bytes_inflated = e.bytes_inflated;
	ev->end.stats.unverified_tail = e.unverified_tail & 1;
	ev->end.whole = e.whole & 1;
	return 0;
}

/* The least a body has, by kind. */
static const uint8_t iso_least[CANP_ISO_NR] = {
	[CANP_ISO_FORMAT] = sizeof(struct iso_format), [CANP_ISO_BUS] = sizeof(struct iso_bus),
	[CANP_ISO_DEVICE] = sizeof(uint32_t),          [CANP_ISO_PUSH] = sizeof(struct iso_push),
	[CANP_ISO_PUSH24] = sizeof(struct iso_push24), [CANP_ISO_FAULT] = sizeof(struct iso_fault),
	[CANP_ISO_END] = sizeof(struct iso_end),
};

static int parse_body(const struct iso_head *h, const uint8_t *body, struct canp_iso_event *ev)
{
	size_t len = h->size - sizeof(*h);

	switch (ev->kind) {
	case CANP_ISO_FORMAT:
		return parse_format(body, ev);
	case CANP_ISO_BUS:
		return parse_bus(body, len, h->n, ev);
	case CANP_ISO_NAME:
		return parse_name(body, len, h->n, ev);
	case CANP_ISO_DEVICE:
		memcpy(&ev->device, body, sizeof(ev->device));
		return 0;
	case CANP_ISO_PUSH:
		return parse_push(body, len, ev);
	case CANP_ISO_PUSH24:
		return parse_push24(body, len, h->n, ev);
	case CANP_ISO_FAULT:
		return parse_fault(body, ev);
	case CANP_ISO_END:
		return parse_end(body, ev);
	case CANP_ISO_NR:
		break;
	}
	return -EBADMSG;
}

static int parse(const uint8_t *p, size_t len, bool skim, struct canp_iso_event *ev)
{
	struct iso_head h;
	size_t need;
	int rc;

	if (len < sizeof(h))
		return 0;
	memcpy(&h, p, sizeof(h));
	if (h.size < sizeof(h) || h.size > CANP_ISO_EVENT_MAX || h.size % 8 || !h.kind ||
	    h.kind >= CANP_ISO_NR || h.size - sizeof(h) < iso_least[h.kind])
		return -EBADMSG;
	need = h.size;
	if (skim && h.kind == CANP_ISO_PUSH24)
		need = sizeof(h) + sizeof(struct iso_push24);
	if (len < need)
		return 0;
	ev->kind = (enum canp_iso_kind)h.kind;
	ev->bus = h.bus;
	rc = parse_body(&h, p + sizeof(h), ev);
	return rc ? rc : (int)h.size;
}

int canp_iso_parse(const uint8_t *p, size_t len, struct canp_iso_event *ev)
{
	return parse(p, len, false, ev);
}

int canp_iso_skim(const uint8_t *p, size_t len, struct canp_iso_event *ev)
{
	return parse(p, len, true, ev);
}

bool canp_iso_follow(struct canp_iso_state *st, const struct canp_iso_event *ev)
{
	if (st->ended || st->begun == (ev->kind == CANP_ISO_FORMAT))
		return false;
	st->begun = true;
	switch (ev->kind) {
	case CANP_ISO_BUS:
		return ev->bus == st->buses && st->buses++ < CANP_ISO_BUSES_MAX;
	case CANP_ISO_NAME:
		return st->devices++ < CANP_ISO_DEVICES_MAX;
	case CANP_ISO_DEVICE:
		return ev->device <= st->devices;
	case CANP_ISO_PUSH:
	case CANP_ISO_PUSH24:
		return ev->bus < st->buses;
	case CANP_ISO_END:
		st->ended = true;
		return true;
	default:
		return true;
	}
}

/* ---- writing ---- */

/* An event with a body of len bytes; the padding is cleared, the body is the caller's to fill. */
static void *put(struct canp_iso_out *o, enum canp_iso_kind kind, unsigned bus, unsigned n,
		 size_t len)
{
	size_t size = canp_align_up(sizeof(struct iso_head) + len, 8UL);
	struct iso_head h = {.size = (uint32_t)size, .kind = (uint8_t)kind, .bus = (uint8_t)bus};
	uint8_t *p = o->room(o->arg, size);

	if (!p)
		return NULL;
	h.n = (uint16_t)n;
	memset(p + size - 8, 0, 8);
	memcpy(p, &h, sizeof(h));
	return p + sizeof(h);
}

void canp_iso_put_format(struct canp_iso_out *o, const struct canp_format *format, bool gz)
{
	struct iso_format f = {.index = UINT32_MAX, .gz = gz};
	void *p = put(o, CANP_ISO_FORMAT, 0, 0, sizeof(f));

	for (uint32_t i = 0; format && canp_formats[i]; i++)
		if (canp_formats[i] == format)
			f.index = i;
	if (p)
		memcpy(p, &f, sizeof(f));
}

void canp_iso_put_end(struct canp_iso_out *o, const struct canp_format_stats *stats, bool whole)
{
	struct iso_end e = {.members = stats->members,
			    .bytes_inflated = stats->bytes_inflated,
			    .unverified_tail = stats->unverified_tail,
			    .whole = whole};
	void *p = put(o, CANP_ISO_END, 0, 0, sizeof(e));

	if (p)
		memcpy(p, &e, sizeof(e));
}

void canp_iso_put_bus(void *arg, unsigned bus, const char *name, unsigned number)
{
	size_t n = name ? strnlen(name, CANP_ISO_NAME_MAX - 1) : 0;
	struct iso_bus b = {.number = number, .named = name != NULL};
	uint8_t *p = put(arg, CANP_ISO_BUS, bus, (unsigned)n, sizeof(b) + n);

	if (!p)
		return;
	memcpy(p, &b, sizeof(b));
	if (n)
		memcpy(p + sizeof(b), name, n);
}

uint32_t canp_iso_put_name(void *arg, const char *name, size_t len)
{
	struct canp_iso_out *o = arg;
	uint8_t *p;

	len = canp_min(len, (size_t)CANP_ISO_NAME_MAX - 1);
	/* More names than anyone has devices: the last one stands for the rest. */
	if (o->devices == CANP_ISO_DEVICES_MAX)
		return o->devices;
	p = put(o, CANP_ISO_NAME, 0, (unsigned)len, len ? len : 8);
	if (p)
		memcpy(p, name, len);
	return ++o->devices;
}

void canp_iso_put_device(void *arg, uint32_t device)
{
	void *p = put(arg, CANP_ISO_DEVICE, 0, 0, sizeof(device));

	if (p)
		memcpy(p, &device, sizeof(device));
}

void canp_iso_put_push(void *arg, unsigned bus, int64_t ts_ns, uint32_t id, unsigned flags,
		       unsigned dlc, const uint8_t *data, unsigned len)
{
	struct iso_push f = {.ts_ns = ts_ns,
			     .id = id,
			     .flags = (uint16_t)flags,
			     .dlc = (uint8_t)dlc,
			     .len = (uint8_t)canp_min(len, 64u)};
	uint8_t *p = put(arg, CANP_ISO_PUSH, bus, 0, sizeof(f) + canp_max(f.len, 8u));

	if (!p)
		return;
	memcpy(p, &f, sizeof(f));
	if (f.len)
		memcpy(p + sizeof(f), data, f.len);
}

void canp_iso_put_push24(void *arg, unsigned bus, const uint8_t *frames, size_t n, int64_t ts_mul,
			 int64_t ts_add)
{
	struct iso_push24 f = {ts_mul, ts_add};

	while (n) {
		size_t now = canp_min(n, (size_t)CANP_ISO_FRAMES_MAX);
		uint8_t *p =
			put(arg, CANP_ISO_PUSH24, bus, (unsigned)now, sizeof(f) + now * FRAME24);

		if (!p)
			return;
		memcpy(p, &f, sizeof(f));
		memcpy(p + sizeof(f), frames, now * FRAME24);
		frames += now * FRAME24;
		n -= now;
	}
}

void canp_iso_put_fault(void *arg, const struct canp_fault *fault)
{
	struct iso_fault f = {.code = fault->code, .offset = fault->offset, .bytes = fault->bytes};
	void *p = put(arg, CANP_ISO_FAULT, 0, 0, sizeof(f));

	if (!p)
		return;
	memcpy(f.detail, fault->detail, sizeof(f.detail));
	memcpy(p, &f, sizeof(f));
}
