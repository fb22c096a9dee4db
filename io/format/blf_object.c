/*
 * blf_object.c - BLF objects (little-endian throughout).
 *
 *   object  = | "LOBJ" | u16 header size | u16 version | u32 object size | u32 type | ...header |
 *             body | 0..7 bytes padding
 *   header  = +16 u32 flags (1: unit 10 us, 2: 1 ns), +24 i64 time since the measurement's start
 *
 * Bodies of the CAN types, offsets from the body's start (which is header size, not a constant):
 *   1, 86     u16 channel@0 u8 flags@2 u8 dlc@3 u32 id@4 data@8           classic
 *   100       u16 channel@0 u8 flags@2 u8 dlc@3 u32 id@4 u8 fd flags@13 u8 valid bytes@14 data@20
 *   101       u8 channel@0 u8 dlc@1 u8 valid bytes@2 u32 id@4 u32 flags@12 u8 dir@34 u8 ext@35
 *             data@40
 *   2, 3      u16 channel@0                                               error, overload
 *   73        u16 channel@0 u8 dlc@10 u32 id@16 data@24                   error
 *   104       u8 channel@0 u8 dlc@1 u8 valid bytes@2 u16 ext flags@8 u32 id@12 data@44   FD error
 * Bytes that a short body lacks are zero; a body without its fixed part is a bad record.
 *
 * Nearly all objects are whole data frames without a flag. Those are rewritten as 24-byte frames
 * and leave in runs of one channel for the vector kernel; everything else takes the long way, one
 * by one and after the run before it. Both ways give the same rows.
 */
#include "io/format/blf_object.h"

#include <string.h>

#include "core/base/units.h"
#include "io/format/walk.h"

enum blf_type {
	BLF_CAN_MESSAGE = 1,
	BLF_CAN_ERROR = 2,
	BLF_CAN_OVERLOAD = 3,
	BLF_APP_TEXT = 65,
	BLF_CAN_ERROR_EXT = 73,
	BLF_CAN_MESSAGE2 = 86,
	BLF_CAN_FD_MESSAGE = 100,
	BLF_CAN_FD_MESSAGE_64 = 101,
	BLF_CAN_FD_ERROR_64 = 104,
	BLF_DATA_LOST_BEGIN = 125,
	BLF_DATA_LOST_END = 126,
};

#define ID_EXT   0x80000000u
#define ID_MASK  0x1fffffffu
#define NAME_MAX 63u

/* What a body says, before it is pushed. */
struct blf_frame {
	unsigned channel, flags, dlc, len;
	uint32_t id;
	uint8_t data[64];
};

/* A body with its length; loads behind its end are the caller's to avoid. */
struct body {
	const uint8_t *p;
	size_t len;
};

bool canp_blf_head(const uint8_t *p, struct canp_blf_head *h)
{
	h->header = canp_le16(p + 4);
	h->version = canp_le16(p + 6);
	h->size = canp_le32(p + 8);
	h->type = canp_le32(p + 12);
	return h->header >= CANP_BLF_OBJECT_MIN && h->header <= CANP_BLF_HEADER_MAX &&
	       h->size >= h->header && h->size <= CANP_BLF_OBJECT_MAX;
}

/* Fixed part of the body, 0 for types that are skipped. */
static size_t body_min(uint32_t type)
{
	switch (type) {
	case BLF_CAN_MESSAGE:
	case BLF_CAN_MESSAGE2:
		return 8;
	case BLF_CAN_ERROR:
	case BLF_CAN_OVERLOAD:
		return 2;
	case BLF_CAN_ERROR_EXT:
		return 20;
	case BLF_CAN_FD_MESSAGE:
		return 20;
	case BLF_CAN_FD_MESSAGE_64:
		return 40;
	case BLF_CAN_FD_ERROR_64:
		return 16;
	case BLF_APP_TEXT:
		return 16;
	case BLF_DATA_LOST_BEGIN:
	case BLF_DATA_LOST_END:
		return 4;
	default:
		return 0;
	}
}

static bool is_can(uint32_t type)
{
	return body_min(type) && type != BLF_APP_TEXT;
}

size_t canp_blf_need(const struct canp_blf_head *h)
{
	if (!body_min(h->type))
		return CANP_BLF_OBJECT_MIN;
	return canp_min((size_t)h->size, (size_t)CANP_BLF_OBJECT_NEED);
}

static const struct canp_busref *blf_bus(struct canp_blf_objects *o, unsigned channel)
{
	const struct canp_busref **slot;

	if (channel >= CANP_ARRAY_SIZE(o->bus))
		return canp_group_bus(o->host->group, NULL, channel);
	slot = &o->bus[channel];
	if (!*slot)
		*slot = canp_group_bus(o->host->group, NULL, channel);
	return *slot;
}

static void set_id(struct blf_frame *f, uint32_t id)
{
	f->id = id & ID_MASK;
	/* An id above 7FF cannot be a standard one, whatever its flag says. */
	if ((id & ID_EXT) || f->id > 0x7ff)
		f->flags |= CANP_FF_EXT;
}

/* len payload bytes at offset off, zeros for those the body (up to limit) does not hold. */
static void set_data(struct blf_frame *f, struct body b, size_t off, size_t limit, unsigned len)
{
	size_t have = canp_min(b.len, limit);

	f->len = canp_min(len, 64u);
	have = have > off ? canp_min(have - off, (size_t)f->len) : 0;
	memset(f->data, 0, sizeof(f->data));
	memcpy(f->data, b.p + (have ? off : 0), have);
}

static void classic(struct blf_frame *f, struct body b)
{
	uint8_t flags = b.p[2];

	f->channel = canp_le16(b.p);
	f->dlc = b.p[3] > 15 ? 8u : b.p[3];
	set_id(f, canp_le32(b.p + 4));
	f->flags |= flags & 0x01 ? CANP_FF_TX : 0u;
	if (flags & 0x80)
		f->flags |= CANP_FF_RTR;
	else
		set_data(f, b, 8, b.len, canp_min((unsigned)b.p[3], 8u));
}

static void fd_message(struct blf_frame *f, struct body b)
{
	uint8_t flags = b.p[2], fd = b.p[13];

	f->channel = canp_le16(b.p);
	f->dlc = b.p[3] & 15u;
	set_id(f, canp_le32(b.p + 4));
	f->flags |= flags & 0x01 ? CANP_FF_TX : 0u;
	if (fd & 1) {
		f->flags |= CANP_FF_FD | (fd & 2 ? CANP_FF_BRS : 0u) | (fd & 4 ? CANP_FF_ESI : 0u);
		set_data(f, b, 20, b.len, b.p[14]);
	} else if (flags & 0x80) {
		f->flags |= CANP_FF_RTR;
	} else {
		set_data(f, b, 20, b.len, canp_min((unsigned)b.p[14], 8u));
	}
}

/* header: size of the object's header; ext data offsets count from the object's start. */
static void fd_message_64(struct blf_frame *f, struct body b, size_t header)
{
	uint32_t flags = canp_le32(b.p + 12);
	size_t ext = b.p[35], limit = b.len;

	f->channel = b.p[0];
	f->dlc = b.p[1] & 15u;
	set_id(f, canp_le32(b.p + 4));
	f->flags |= b.p[34] ? CANP_FF_TX : 0u;
	if (ext >= header + 40)
		limit = ext - header;
	if (flags & 0x1000) {
		f->flags |= CANP_FF_FD | (flags & 0x2000 ? CANP_FF_BRS : 0u) |
			    (flags & 0x4000 ? CANP_FF_ESI : 0u);
		set_data(f, b, 40, limit, b.p[2]);
	} else if (flags & 0x10) {
		f->flags |= CANP_FF_RTR;
	} else {
		set_data(f, b, 40, limit, canp_min((unsigned)b.p[2], 8u));
	}
}

static void error_ext(struct blf_frame *f, struct body b)
{
	f->channel = canp_le16(b.p);
	f->dlc = b.p[10] & 15u;
	set_id(f, canp_le32(b.p + 16));
	f->flags |= CANP_FF_ERR;
	set_data(f, b, 24, b.len, canp_min(f->dlc, 8u));
}

static void fd_error_64(struct blf_frame *f, struct body b)
{
	uint16_t ext = canp_le16(b.p + 8);

	f->channel = b.p[0];
	f->dlc = b.p[1] & 15u;
	set_id(f, canp_le32(b.p + 12));
	f->flags |= CANP_FF_ERR | (ext & 0x80 ? CANP_FF_FD : 0u) | (ext & 0x40 ? CANP_FF_BRS : 0u) |
		    (ext & 0x20 ? CANP_FF_ESI : 0u);
	set_data(f, b, 44, b.len, b.p[2]);
}

/* Channel names: "database;name" of a CAN channel. They let -d NAME=F find the bus. */
static void app_text(struct canp_blf_objects *o, struct body b)
{
	uint32_t source = canp_le32(b.p), info = canp_le32(b.p + 4), n = canp_le32(b.p + 8);
	unsigned channel = info >> 8 & 0xff, bus_type = info >> 16 & 0xff;
	const uint8_t *name, *end;
	char text[NAME_MAX + 1];
	size_t len;

	if (source != 1 || bus_type != 1 || !channel)
		return;
	len = canp_min(b.len - 16, (size_t)n);
	name = memchr(b.p + 16, ';', len);
	if (!name)
		return;
	name++;
	len -= (size_t)(name - (b.p + 16));
	end = memchr(name, ';', len);
	len = end ? (size_t)(end - name) : len;
	len = strnlen((const char *)name, len);
	if (!len || len > NAME_MAX)
		return;
	memcpy(text, name, len);
	text[len] = '\0';
	o->bus[channel] = canp_group_bus(o->host->group, text, channel);
}

/* Time of the object in ns since 1970; false: not representable. */
static bool blf_time(const struct canp_blf_objects *o, const uint8_t *p, int64_t *ts)
{
	int64_t t = (int64_t)canp_le64(p + 24);

	/* Signed: recorders with a pre-trigger buffer write times before the start. */
	if (canp_le32(p + 16) == 1 && __builtin_mul_overflow(t, (int64_t)10000, &t))
		return false;
	return !__builtin_add_overflow(t, o->start_ns, ts);
}

static void bad_object(struct canp_blf_objects *o, enum canp_fault_code code,
		       const struct canp_blf_head *h, const char *what)
{
	canp_walk_fault(o->host, code, o->off, h->size, "%s: object type %u, size %u, header %u",
			what, h->type, h->size, h->header);
}

void canp_blf_object(struct canp_blf_objects *o, const struct canp_blf_head *h, const uint8_t *p)
{
	struct body b = {p + h->header, canp_blf_need(h) - h->header};
	struct blf_frame f;
	int64_t ts;

	if (!body_min(h->type))
		return;
	if (h->header < 32 || b.len < body_min(h->type)) {
		bad_object(o, CANP_FAULT_BAD_RECORD, h, "too short for its type");
		return;
	}
	if (h->type == BLF_APP_TEXT) {
		app_text(o, b);
		return;
	}
	if (!blf_time(o, p, &ts)) {
		bad_object(o, CANP_FAULT_BAD_TIME, h, "time out of range");
		return;
	}
	memset(&f, 0, offsetof(struct blf_frame, data));
	switch (h->type) {
	case BLF_CAN_MESSAGE:
	case BLF_CAN_MESSAGE2:
		classic(&f, b);
		break;
	case BLF_CAN_FD_MESSAGE:
		fd_message(&f, b);
		break;
	case BLF_CAN_FD_MESSAGE_64:
		fd_message_64(&f, b, h->header);
		break;
	case BLF_CAN_ERROR_EXT:
		error_ext(&f, b);
		break;
	case BLF_CAN_FD_ERROR_64:
		fd_error_64(&f, b);
		break;
	case BLF_CAN_ERROR:
	case BLF_CAN_OVERLOAD:
		f.channel = canp_le16(b.p);
		f.flags = h->type == BLF_CAN_ERROR ? CANP_FF_ERR : CANP_FF_OVL;
		break;
	default:
		f.flags = CANP_FF_GAP;
		break;
	}
	canp_group_push(o->host->group, blf_bus(o, f.channel), ts, f.id, f.flags, f.dlc,
			f.len ? f.data : NULL, f.len);
}

/* ---- runs of plain frames ----
 * Changing the bus is dear for the kernel's rows, so channels that take turns go one by one. */
#define RUN_MIN     16u
#define FRAME_BYTES 24u

static void run_push(struct canp_blf_objects *o, unsigned i)
{
	const uint8_t *p = o->run + i * FRAME_BYTES;
	uint32_t id = canp_be32(p + 8);

	canp_group_push(o->host->group, blf_bus(o, o->run_channel[i]), (int64_t)canp_be64(p),
			id & ID_MASK, id & ID_EXT ? CANP_FF_EXT : 0u, p[12], p + 16,
			canp_min((unsigned)p[12], 8u));
}

static void run_end(struct canp_blf_objects *o)
{
	unsigned nr = o->run_nr, i = 0, to;
	bool in_runs = o->run_changes * RUN_MIN <= nr;

	o->run_nr = o->run_changes = 0;
	while (i < nr) {
		for (to = i + 1; in_runs && to < nr; to++)
			if (o->run_channel[to] != o->run_channel[i])
				break;
		if (to - i >= RUN_MIN) {
			canp_group_push24(o->host->group, blf_bus(o, o->run_channel[i]),
					  o->run + i * FRAME_BYTES, to - i, 1, 0);
			i = to;
		}
		while (i < to)
			run_push(o, i++);
	}
}

/* A data frame of which nothing is missing. fd: a CAN FD one, with its flags; else it has none. */
struct blf_plain {
	unsigned channel, dlc, len, flags;
	bool fd;
	const uint8_t *data;
};

/* The frame of an object of type 100 or 101 at p, size bytes that are all there and a header of 32;
 * false: something about it is out of the ordinary. */
static bool blf_plain_fd(const uint8_t *p, uint32_t type, size_t size, struct blf_plain *f)
{
	bool wide = type == BLF_CAN_FD_MESSAGE_64, odd;
	const uint8_t *b = p + 32, *end = p + size;
	unsigned bits;

	if (size < (wide ? 72u : 60u))
		return false;
	if (wide) {
		uint32_t word = canp_le32(b + 12);

		*f = (struct blf_plain){b[0], b[1] & 15u, b[2], 0, false, b + 40};
		bits = word >> 12 & 7;
		odd = (word & 0x10) || b[34];
		/* An extension may stand in front of the data's end. */
		if (b[35] >= 72 && b[35] < size)
			end = p + b[35];
	} else {
		*f = (struct blf_plain){canp_le16(b), b[3] & 15u, b[14], 0, false, b + 20};
		bits = b[13] & 7u;
		odd = b[2] & 0x81;
	}
	f->fd = bits & 1;
	f->len = canp_min(f->len, f->fd ? 64u : 8u);
	f->flags =
		f->fd ? CANP_FF_FD | (bits & 2 ? CANP_FF_BRS : 0u) | (bits & 4 ? CANP_FF_ESI : 0u)
		      : 0u;
	/* A classic one goes where the dlc tells its length, and eight bytes are read there. */
	return !odd && (size_t)(end - f->data) >= (f->fd ? f->len : 8u) &&
	       (f->fd || f->len == canp_min(f->dlc, 8u));
}

static inline bool blf_is_plain(const uint8_t *p, uint32_t type, size_t size, struct blf_plain *f)
{
	const uint8_t *b = p + 32;

	*f = (struct blf_plain){canp_le16(b), b[3] > 15 ? 8u : b[3], 8, 0, false, b + 8};
	if (canp_unlikely(type != BLF_CAN_MESSAGE && type != BLF_CAN_MESSAGE2))
		return (type == BLF_CAN_FD_MESSAGE || type == BLF_CAN_FD_MESSAGE_64) &&
		       blf_plain_fd(p, type, size, f);
	return size >= 48 && !(b[2] & 0x81);
}

static void blf_push_fd(struct canp_blf_objects *o, const struct blf_plain *f, uint32_t id,
			int64_t ts)
{
	bool ext = (id & ID_EXT) || (id & ID_MASK) > 0x7ff;

	canp_group_push(o->host->group, blf_bus(o, f->channel), ts, id & ID_MASK,
			f->flags | (ext ? CANP_FF_EXT : 0u), f->dlc, f->len ? f->data : NULL,
			f->len);
}

/* Objects at p that are plain frames, up to the first that is something else or not all there.
 * Returns the bytes consumed. */
static size_t blf_run(struct canp_blf_objects *o, const uint8_t *p, size_t len)
{
	const uint64_t head = 0x0020ull << 32 | 0x4a424f4c; /* "LOBJ", header of 32 bytes */
	unsigned nr = o->run_nr;
	size_t pos = 0;

	while (len - pos >= 48) {
		const uint8_t *q = p + pos;
		uint32_t size = canp_le32(q + 8), id;
		struct blf_plain f;
		uint8_t *out;
		int64_t ts;

		if ((canp_le64(q) & 0xffffffffffff) != head || size > len - pos ||
		    size > CANP_BLF_CAN_MAX || !blf_is_plain(q, canp_le32(q + 12), size, &f) ||
		    !blf_time(o, q, &ts) || ts < 0)
			break;
		if (canp_unlikely(nr == CANP_BLF_RUN || f.fd)) {
			o->run_nr = nr;
			run_end(o);
			nr = 0;
		}
		if (f.fd) {
			blf_push_fd(o, &f, canp_le32(q + 36), ts);
			pos += size;
			continue;
		}
		o->run_channel[nr] = (uint16_t)f.channel;
		o->run_changes += nr && o->run_channel[nr - 1] != f.channel;
		id = canp_le32(q + 36);
		out = o->run + nr++ * FRAME_BYTES;
		canp_put_be64(out, (uint64_t)ts);
		canp_put_be32(out + 8,
			      (id & ID_MASK) |
				      ((id & ID_EXT) || (id & ID_MASK) > 0x7ff ? ID_EXT : 0));
		out[12] = (uint8_t)f.dlc; /* what follows up to the data is not looked at */
		canp_put_le64(out + 16, canp_le64(f.data));
		pos += size;
	}
	o->run_nr = nr;
	return pos;
}

/* ---- the stream ---- */

/* Moves to the next "LOBJ"; false: none in the rest, which may hold the start of one. */
static bool find_object(struct canp_blf_objects *o, const uint8_t *p, size_t len, size_t *pos)
{
	size_t from = *pos;
	const uint8_t *q;

	while (len - *pos >= 4 && memcmp(p + *pos, "LOBJ", 4)) {
		q = memchr(p + *pos + 1, 'L', len - *pos - 1);
		*pos = q ? (size_t)(q - p) : len;
	}
	o->junk += *pos - from;
	if (o->junk >= CANP_BLF_PAD_MAX)
		o->seeking = true;
	return len - *pos >= 4;
}

static void found_object(struct canp_blf_objects *o)
{
	if (o->seeking && !o->quiet)
		canp_walk_fault(o->host, CANP_FAULT_JUNK, o->off, o->junk,
				"no object signature for %llu bytes", (unsigned long long)o->junk);
	o->seeking = o->quiet = false;
	o->junk = 0;
}

static size_t blf_objects(struct canp_blf_objects *o, const uint8_t *p, size_t len)
{
	struct canp_blf_head h;
	size_t pos = 0, n;

	for (;;) {
		n = (size_t)canp_min(o->skip, (uint64_t)(len - pos));
		o->skip -= n;
		pos += n;
		if (!o->skip && !o->seeking) {
			n = blf_run(o, p + pos, len - pos);
			pos += n;
			if (n)
				found_object(o);
		}
		if (o->skip || !find_object(o, p, len, &pos) || len - pos < CANP_BLF_OBJECT_MIN)
			return pos;
		if (!canp_blf_head(p + pos, &h) || (is_can(h.type) && h.size > CANP_BLF_CAN_MAX)) {
			/* While seeking, this is no object but four letters. */
			if (!o->seeking) {
				bad_object(o, CANP_FAULT_BAD_LENGTH, &h, "impossible size");
				o->seeking = o->quiet = true;
			}
			pos += 4;
			o->junk += 4;
			continue;
		}
		n = canp_blf_need(&h);
		if (len - pos < n)
			return pos;
		found_object(o);
		run_end(o);
		canp_blf_object(o, &h, p + pos);
		o->skip = h.size - n;
		pos += n;
	}
}

size_t canp_blf_stream(struct canp_blf_objects *o, const uint8_t *p, size_t len)
{
	size_t n = blf_objects(o, p, len);

	run_end(o);
	return n;
}

void canp_blf_hole(struct canp_blf_objects *o)
{
	o->skip = 0;
	o->junk = 0;
	o->seeking = o->quiet = true;
}

void canp_blf_end(struct canp_blf_objects *o, size_t rest)
{
	if (o->skip || rest >= CANP_BLF_OBJECT_MIN)
		canp_walk_fault(o->host, CANP_FAULT_TRUNCATED, o->off, rest + o->skip,
				"file ends inside an object");
	else if (rest + o->junk >= CANP_BLF_PAD_MAX && !o->quiet)
		canp_walk_fault(o->host, CANP_FAULT_JUNK, o->off, rest + o->junk,
				"no object signature at the end");
	o->skip = 0;
	o->junk = 0;
}
