/*
 * gen_write.c - the three containers of canp-gen.
 *
 * Frames collect in `raw` until a member is full, which is then deflated into `packed` and stored.
 * The layouts are described where they are read: io/format/fmt_canp.c, fmt_blf.c, candump_parse.c.
 * Timestamps have the resolution usual for each: CANP and candump 1 us, BLF 10 us.
 */
#include "tools/gen_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/base/bytes.h"
#include "core/base/timeconv.h"
#include "core/base/units.h"

#define RECORD_HEAD  20u
#define GROUP_HEAD   16u
#define CANP_FRAME   24u
#define BLOCK_HEAD   35u
#define SERIAL_MAX   18u
#define BLF_HEADER   144u
#define BLF_OBJECT   48u
#define BLF_HEAD     32u /* of a container, object header included */
#define LINE_MAX_    96u
#define CAN_VERSION  2u
#define GZIP_WINDOW  (15 + 16)
#define RAW_SLACK    128u
#define PACKED_SLACK 4096u

struct canp_gen_writer {
	struct canp_gen_write_opts opts;
	FILE *f;
	bool failed;
	uint64_t stored;   /* bytes in the file */
	uint64_t inflated; /* BLF statistics */
	uint64_t frames;
	uint64_t start_ns, last_ns; /* of this file */
	char serial[SERIAL_MAX];
	size_t raw_cap, raw_len;
	size_t record; /* CANP: where the open record starts in raw */
	unsigned record_frames;
	size_t packed_cap;
	uint8_t *raw, *packed;
	z_stream member; /* gzip (CANP) or zlib (BLF) */
	z_stream whole;  /* --gz */
};

int canp_gen_writer_create(const struct canp_gen_write_opts *opts, struct canp_gen_writer **out)
{
	struct canp_gen_writer *w = calloc(1, sizeof(*w));
	int bits = opts->container == CANP_GEN_BLF ? 15 : GZIP_WINDOW;
	size_t room;

	if (!w)
		return -ENOMEM;
	w->opts = *opts;
	w->raw_cap = canp_max((size_t)opts->member_bytes,
			      (size_t)(RECORD_HEAD + GROUP_HEAD + CANP_FRAME));
	room = (w->raw_cap - RECORD_HEAD - GROUP_HEAD) / CANP_FRAME;
	w->opts.body_frames = (unsigned)canp_min((size_t)opts->body_frames, room);
	w->packed_cap = w->raw_cap + w->raw_cap / 500 + PACKED_SLACK;
	w->raw = malloc(w->raw_cap + RAW_SLACK);
	w->packed = malloc(w->packed_cap);
	if (!w->raw || !w->packed ||
	    deflateInit2(&w->member, (int)opts->level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) !=
		    Z_OK)
		goto out_free;
	if (deflateInit2(&w->whole, (int)opts->level, Z_DEFLATED, GZIP_WINDOW, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		goto out_member;
	*out = w;
	return 0;
out_member:
	deflateEnd(&w->member);
out_free:
	free(w->raw);
	free(w->packed);
	free(w);
	return -ENOMEM;
}

void canp_gen_writer_destroy(struct canp_gen_writer *w)
{
	if (!w)
		return;
	deflateEnd(&w->member);
	deflateEnd(&w->whole);
	free(w->raw);
	free(w->packed);
	free(w);
}

static void store(struct canp_gen_writer *w, const void *p, size_t n)
{
	w->failed |= fwrite(p, 1, n, w->f) != n;
	w->stored += n;
}

/* Bytes of the file as a reader of the container sees them: plain, or into the outer gzip. */
static void emit(struct canp_gen_writer *w, const void *p, size_t n, int flush)
{
	uint8_t out[16384];
	int rc;

	if (!w->opts.gz) {
		store(w, p, n);
		return;
	}
	w->whole.next_in = (Bytef *)p;
	w->whole.avail_in = (uInt)n;
	do {
		w->whole.next_out = out;
		w->whole.avail_out = sizeof(out);
		rc = deflate(&w->whole, flush);
		store(w, out, sizeof(out) - w->whole.avail_out);
	} while (w->whole.avail_out == 0 || (flush == Z_FINISH && rc == Z_OK));
}

/* Deflates raw[0..raw_len) into packed; returns its length. */
static size_t pack(struct canp_gen_writer *w)
{
	deflateReset(&w->member);
	w->member.next_in = w->raw;
	w->member.avail_in = (uInt)w->raw_len;
	w->member.next_out = w->packed;
	w->member.avail_out = (uInt)w->packed_cap;
	w->failed |= deflate(&w->member, Z_FINISH) != Z_STREAM_END;
	return w->packed_cap - w->member.avail_out;
}

/* ---- CANP ------------------------------------------------------------------------------------ */

static void canp_end_record(struct canp_gen_writer *w)
{
	uint8_t *p = w->raw + w->record;
	uint32_t frames = w->record_frames * CANP_FRAME;

	if (!w->record_frames)
		return;
	memset(p, 0, RECORD_HEAD);
	canp_put_be32(p + 16, GROUP_HEAD + frames);
	canp_put_be32(p + RECORD_HEAD, CAN_VERSION);
	canp_put_be64(p + RECORD_HEAD + 4, canp_be64(p + RECORD_HEAD + GROUP_HEAD));
	canp_put_be32(p + RECORD_HEAD + 12, frames);
	w->record = w->raw_len;
	w->record_frames = 0;
}

static void canp_end_member(struct canp_gen_writer *w)
{
	uint8_t head[BLOCK_HEAD] = {0};
	size_t n;

	canp_end_record(w);
	if (!w->raw_len)
		return;
	n = pack(w);
	memcpy(head, w->serial, SERIAL_MAX);
	canp_put_be32(head + 31, (uint32_t)n);
	emit(w, head, sizeof(head), Z_NO_FLUSH);
	emit(w, w->packed, n, Z_NO_FLUSH);
	w->raw_len = 0;
	w->record = 0;
}

static void canp_frame(struct canp_gen_writer *w, const struct canp_gen_frame *f)
{
	size_t need = CANP_FRAME;
	uint8_t *p;

	if (w->record_frames == w->opts.body_frames)
		canp_end_record(w);
	if (!w->record_frames)
		need += RECORD_HEAD + GROUP_HEAD;
	if (w->raw_len + need > w->raw_cap)
		canp_end_member(w);
	if (!w->record_frames)
		w->raw_len += RECORD_HEAD + GROUP_HEAD;
	p = w->raw + w->raw_len;
	canp_put_be64(p, f->ts_ns / 1000);
	canp_put_be32(p + 8, f->id);
	p[12] = f->dlc;
	memset(p + 13, 0, 3);
	memcpy(p + 16, f->data, 8);
	w->raw_len += CANP_FRAME;
	w->record_frames++;
}

/* ---- BLF ------------------------------------------------------------------------------------- */

static void blf_system_time(uint8_t *p, uint64_t ns)
{
	int64_t days = (int64_t)(ns / 1000000000ull / 86400);
	struct canp_civil c;

	canp_civil_from_ns((int64_t)ns, &c);
	canp_put_le16(p, (uint16_t)c.year);
	canp_put_le16(p + 2, (uint16_t)c.month);
	canp_put_le16(p + 4, (uint16_t)((days + 4) % 7)); /* 1970-01-01 was a Thursday */
	canp_put_le16(p + 6, (uint16_t)c.day);
	canp_put_le16(p + 8, (uint16_t)c.hour);
	canp_put_le16(p + 10, (uint16_t)c.minute);
	canp_put_le16(p + 12, (uint16_t)c.second);
	canp_put_le16(p + 14, (uint16_t)(c.ns / 1000000));
}

/* Sizes and counts are 0 in the first version, as in a file whose writer died. */
static void blf_header(struct canp_gen_writer *w, uint8_t p[BLF_HEADER])
{
	memset(p, 0, BLF_HEADER);
	memcpy(p, "LOGG", 4);
	canp_put_le32(p + 4, BLF_HEADER);
	canp_put_le32(p + 8, 4070100);
	p[13] = (uint8_t)w->opts.level;
	canp_put_le64(p + 16, w->stored);
	canp_put_le64(p + 24, w->inflated);
	canp_put_le32(p + 32, (uint32_t)w->frames);
	blf_system_time(p + 40, w->start_ns);
	blf_system_time(p + 56, w->last_ns);
}

static void blf_end_container(struct canp_gen_writer *w)
{
	static const uint8_t zeros[4];
	uint8_t head[BLF_HEAD] = {0};
	size_t n;

	if (!w->raw_len)
		return;
	n = pack(w);
	memcpy(head, "LOBJ", 4);
	canp_put_le16(head + 4, 16);
	canp_put_le16(head + 6, 1);
	canp_put_le32(head + 8, (uint32_t)(BLF_HEAD + n));
	canp_put_le32(head + 12, 10);
	canp_put_le16(head + 16, 2);
	canp_put_le32(head + 24, (uint32_t)w->raw_len);
	emit(w, head, sizeof(head), Z_NO_FLUSH);
	emit(w, w->packed, n, Z_NO_FLUSH);
	emit(w, zeros, n % 4, Z_NO_FLUSH);
	w->inflated += BLF_HEAD + w->raw_len;
	w->raw_len = 0;
}

static void blf_object(const struct canp_gen_writer *w, const struct canp_gen_frame *f,
		       uint8_t p[BLF_OBJECT])
{
	memset(p, 0, BLF_OBJECT);
	memcpy(p, "LOBJ", 4);
	canp_put_le16(p + 4, 32);
	canp_put_le16(p + 6, 1);
	canp_put_le32(p + 8, BLF_OBJECT);
	canp_put_le32(p + 12, 1);
	canp_put_le32(p + 16, 2);
	canp_put_le64(p + 24, (f->ts_ns - w->start_ns) / 10000 * 10000);
	canp_put_le16(p + 32, 1);
	p[35] = f->dlc;
	canp_put_le32(p + 36, f->id);
	memcpy(p + 40, f->data, 8);
}

static void blf_frame(struct canp_gen_writer *w, const struct canp_gen_frame *f)
{
	uint8_t obj[BLF_OBJECT], head[BLF_HEADER];
	size_t done = 0, n;

	if (!w->frames) {
		/* The header has milliseconds; frames count from there. */
		w->start_ns = w->last_ns = f->ts_ns / 1000000 * 1000000;
		w->inflated = BLF_HEADER;
		blf_header(w, head);
		emit(w, head, sizeof(head), Z_NO_FLUSH);
	}
	blf_object(w, f, obj);
	/* The stream is cut where the container is full, inside an object or not. */
	while (done < sizeof(obj)) {
		n = canp_min(sizeof(obj) - done, w->raw_cap - w->raw_len);
		memcpy(w->raw + w->raw_len, obj + done, n);
		w->raw_len += n;
		done += n;
		if (w->raw_len == w->raw_cap)
			blf_end_container(w);
	}
}

/* Fills in what is known only now; not possible behind gzip. */
static void blf_end(struct canp_gen_writer *w)
{
	uint8_t head[BLF_HEADER];

	blf_end_container(w);
	if (w->opts.gz || !w->frames)
		return;
	blf_header(w, head);
	w->failed |= fseek(w->f, 0, SEEK_SET) != 0 ||
		     fwrite(head, 1, sizeof(head), w->f) != sizeof(head);
}

/* ---- candump --------------------------------------------------------------------------------- */

static void text_flush(struct canp_gen_writer *w)
{
	emit(w, w->raw, w->raw_len, Z_NO_FLUSH);
	w->raw_len = 0;
}

static void text_frame(struct canp_gen_writer *w, const struct canp_gen_frame *f)
{
	static const char hex[] = "0123456789ABCDEF";
	uint64_t us = f->ts_ns / 1000;
	char *p;
	int n;

	if (w->raw_len + LINE_MAX_ > w->raw_cap + RAW_SLACK)
		text_flush(w);
	p = (char *)w->raw + w->raw_len;
	n = snprintf(p, LINE_MAX_, "(%llu.%06llu) can0 %03X#", (unsigned long long)(us / 1000000),
		     (unsigned long long)(us % 1000000), f->id);
	for (unsigned i = 0; i < f->dlc; i++) {
		p[n++] = hex[f->data[i] >> 4];
		p[n++] = hex[f->data[i] & 15];
	}
	p[n++] = '\n';
	w->raw_len += (size_t)n;
}

/* ---- files ----------------------------------------------------------------------------------- */

int canp_gen_writer_open(struct canp_gen_writer *w, const char *path, const char *serial)
{
	w->f = fopen(path, "wb");
	if (!w->f)
		return -errno;
	w->failed = false;
	w->stored = w->frames = w->inflated = 0;
	w->raw_len = w->record = 0;
	w->record_frames = 0;
	memset(w->serial, 0, sizeof(w->serial));
	memcpy(w->serial, serial, strnlen(serial, SERIAL_MAX));
	deflateReset(&w->whole);
	return 0;
}

void canp_gen_writer_frame(struct canp_gen_writer *w, const struct canp_gen_frame *f)
{
	switch (w->opts.container) {
	case CANP_GEN_CANP:
		canp_frame(w, f);
		break;
	case CANP_GEN_BLF:
		blf_frame(w, f);
		break;
	default:
		text_frame(w, f);
		break;
	}
	w->last_ns = f->ts_ns;
	w->frames++;
}

uint64_t canp_gen_writer_stored(const struct canp_gen_writer *w)
{
	bool text = w->opts.container == CANP_GEN_CANDUMP;

	return w->stored + (text && !w->opts.gz ? w->raw_len : 0);
}

int canp_gen_writer_close(struct canp_gen_writer *w)
{
	if (w->opts.container == CANP_GEN_CANP)
		canp_end_member(w);
	else if (w->opts.container == CANP_GEN_CANDUMP)
		text_flush(w);
	else
		blf_end(w);
	if (w->opts.gz)
		emit(w, w->raw, 0, Z_FINISH);
	w->failed |= fclose(w->f) != 0;
	w->f = NULL;
	return w->failed ? -EIO : 0;
}
