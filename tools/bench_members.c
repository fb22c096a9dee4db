/*
 * bench_members.c - members for the inflate bench.
 *
 * Whether made here or by a logger, all data arrives as a CANP or BLF file in memory, of which the
 * members are listed; every member is inflated once by the reference decoder, so that what is
 * measured later is known to be whole. Damage is not searched behind: the bench wants clean data.
 */
#include "tools/bench_members.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/bytes.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "tools/gen_traffic.h"
#include "tools/gen_write.h"

#define TRAFFIC_SEED  1u
#define TRAFFIC_IDS   80u
#define TRAFFIC_START 1704067200000000000ull /* 2024-01-01 */
#define J1939_IDS     60u                    /* measured logs have 54 to 89 */
#define J1939_BASE    0x98f00000u            /* bit 31: extended; broadcast groups from F000 on */
/* Bytes of a payload that carry something, so that the data compresses nearly as measured logs do:
 * 3.7 times with level 6 and members of 64 KiB; they reach 3.9. */
#define J1939_USED    4u
#define FRAMES_RECORD 256u
#define CANP_HEAD     35u /* block header; its last 4 bytes are the member's length */
#define BLF_FILE      144u
#define BLF_HEAD      32u /* of a container, object header included */
#define BLF_CONTAINER 10u
#define BLF_ZLIB      2u
#define GZIP_WINDOW   (15 + 16)

/* ---- traffic --------------------------------------------------------------------------------- */

enum canp_bench_traffic canp_bench_traffic_parse(const char *word)
{
	static const char *const words[CANP_BENCH_FILE] = {"dense", "sparse", "j1939", "blf"};

	for (int i = 0; i < CANP_BENCH_FILE; i++)
		if (!strcmp(word, words[i]))
			return (enum canp_bench_traffic)i;
	return CANP_BENCH_FILE;
}

struct canp_gen_traffic *canp_bench_traffic_create(enum canp_bench_traffic kind)
{
	bool sparse = kind == CANP_BENCH_SPARSE || kind == CANP_BENCH_J1939;

	return canp_gen_traffic_create(TRAFFIC_SEED,
				       kind == CANP_BENCH_J1939 ? J1939_IDS : TRAFFIC_IDS, sparse,
				       TRAFFIC_START);
}

void canp_bench_traffic_next(struct canp_gen_traffic *t, enum canp_bench_traffic kind,
			     struct canp_gen_frame *f)
{
	unsigned used;

	canp_gen_traffic_next(t, f);
	used = canp_min((unsigned)f->dlc, J1939_USED);
	if (kind != CANP_BENCH_J1939)
		return;
	/* Groups always send 8 bytes; what is not available is all ones. */
	memset(f->data + used, 0xff, sizeof(f->data) - used);
	f->dlc = 8;
	f->id = J1939_BASE | f->id << 8;
}

/* ---- members --------------------------------------------------------------------------------- */

static int member_add(struct canp_bench_members *d, const uint8_t *in, size_t len, size_t plain)
{
	/* Grows at powers of two. */
	if ((d->nr & (d->nr - 1)) == 0) {
		size_t cap = d->nr ? 2 * d->nr : 1;
		void *p = realloc(d->members, cap * sizeof(*d->members));

		if (!p)
			return -ENOMEM;
		d->members = p;
	}
	d->members[d->nr++] = (struct canp_bench_member){in, len, plain};
	d->plain_bytes += plain;
	d->packed_bytes += len;
	d->plain_max = canp_max(d->plain_max, plain);
	return 0;
}

/* Inflates members as they are listed; plain (with room for cap bytes) collects what they hold. */
struct opener {
	struct canp_inflate *ctx;
	uint8_t *plain;
	size_t cap;
};

/* 0, 1: there is no room for more, or -errno. */
static int opener_take(struct opener *o, struct canp_bench_members *d, const uint8_t *in,
		       size_t len)
{
	enum canp_inflate_result rc;
	size_t plain, used;

	rc = canp_inflate_member(o->ctx, d->kind, in, len, o->plain + d->plain_bytes,
				 o->cap - d->plain_bytes, &plain, &used);
	if (rc == CANP_INFLATE_NEED_OUTPUT)
		return 1;
	return rc == CANP_INFLATE_OK ? member_add(d, in, used, plain) : -EILSEQ;
}

static int canp_list(struct opener *o, struct canp_bench_members *d, size_t n)
{
	const uint8_t *p = d->bytes, *end = p + n;
	int rc = 0;

	d->kind = CANP_INFLATE_GZIP;
	while (!rc && (size_t)(end - p) > CANP_HEAD) {
		size_t len = canp_be32(p + CANP_HEAD - 4);

		p += CANP_HEAD;
		if (len > (size_t)(end - p)) /* the part of the file that was read ends here */
			break;
		rc = opener_take(o, d, p, len);
		p += len;
	}
	return rc;
}

static int blf_list(struct opener *o, struct canp_bench_members *d, size_t n)
{
	const uint8_t *p = d->bytes, *end = p + n;
	int rc = 0;

	d->kind = CANP_INFLATE_ZLIB;
	p += canp_min((size_t)canp_le32(p + 4), n);
	while (!rc && (size_t)(end - p) >= BLF_HEAD && !memcmp(p, "LOBJ", 4)) {
		size_t len = canp_le32(p + 8);

		if (len < BLF_HEAD || len + len % 4 > (size_t)(end - p))
			break;
		if (canp_le32(p + 12) == BLF_CONTAINER && canp_le16(p + 16) == BLF_ZLIB)
			rc = opener_take(o, d, p + BLF_HEAD, len - BLF_HEAD);
		p += len + len % 4;
	}
	return rc;
}

/* Lists the members in d->bytes; what they hold goes to *plain (caller frees), cap bytes at most.
 * -EBADMSG: no log. */
static int log_list(struct canp_bench_members *d, size_t n, size_t cap, uint8_t **plain)
{
	const uint8_t *p = d->bytes;
	bool canp = n > CANP_HEAD + 4 && p[CANP_HEAD] == 0x1f && p[CANP_HEAD + 1] == 0x8b;
	bool blf = n >= BLF_FILE && !memcmp(p, "LOGG", 4);
	void *mem = aligned_alloc(CANP_CACHELINE, canp_inflate_bytes());
	struct opener o = {.plain = malloc(cap), .cap = cap};
	int rc = canp || blf ? 0 : -EBADMSG;

	*plain = o.plain;
	if (!mem || !o.plain)
		rc = -ENOMEM;
	if (!rc) {
		o.ctx = canp_inflate_init(mem);
		rc = canp ? canp_list(&o, d, n) : blf_list(&o, d, n);
	}
	free(mem);
	if (rc < 0)
		return rc;
	return d->nr ? 0 : -EMSGSIZE;
}

/* At most max bytes from the beginning of the file. */
static int file_read(int fd, size_t max, uint8_t **out, size_t *n)
{
	struct stat st;
	uint8_t *p;
	ssize_t got = 1;

	*n = 0;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ESPIPE;
	max = canp_min(max, (size_t)st.st_size);
	*out = p = malloc(max + 1);
	if (!p)
		return -ENOMEM;
	while (*n < max && got > 0) {
		got = pread(fd, p + *n, max - *n, (off_t)*n);
		*n += got > 0 ? (size_t)got : 0;
	}
	return got < 0 ? -errno : 0;
}

/* ---- the three sources ----------------------------------------------------------------------- */

static int log_write(enum canp_bench_traffic kind, size_t bytes, const char *path,
		     const struct canp_gen_write_opts *opts)
{
	size_t frame = kind == CANP_BENCH_BLF ? 48 : 24;
	struct canp_gen_traffic *t = canp_bench_traffic_create(kind);
	struct canp_gen_writer *w = NULL;
	struct canp_gen_frame f;
	int rc = t ? canp_gen_writer_create(opts, &w) : -ENOMEM;

	if (!rc)
		rc = canp_gen_writer_open(w, path, "CANP-BENCH");
	if (!rc) {
		for (size_t done = 0; done < bytes; done += frame) {
			canp_bench_traffic_next(t, kind, &f);
			canp_gen_writer_frame(w, &f);
		}
		rc = canp_gen_writer_close(w);
	}
	canp_gen_writer_destroy(w);
	if (t)
		canp_gen_traffic_destroy(t);
	return rc;
}

int canp_bench_members_make(enum canp_bench_traffic kind, size_t bytes, size_t member_bytes,
			    unsigned level, struct canp_bench_members *d)
{
	struct canp_gen_write_opts opts = {
		.container = kind == CANP_BENCH_BLF ? CANP_GEN_BLF : CANP_GEN_CANP,
		.member_bytes = (unsigned)member_bytes,
		.body_frames = FRAMES_RECORD,
		.level = level,
	};
	int fd = memfd_create("canp-bench", MFD_CLOEXEC), rc;
	uint8_t *plain = NULL;
	char path[64];
	size_t n;

	memset(d, 0, sizeof(*d));
	if (fd < 0)
		return -errno;
	/* The writer opens files by name. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = log_write(kind, bytes, path, &opts);
	if (!rc)
		rc = file_read(fd, SIZE_MAX, &d->bytes, &n);
	if (!rc)
		/* Heads of records and of the file come on top of the frames. */
		rc = log_list(d, n, bytes + bytes / 4 + CANP_MIB, &plain);
	free(plain);
	close(fd);
	return rc;
}

/* Opens, reads and lists; *n bytes of the file are in d->bytes. */
static int log_open(const char *path, size_t bytes, struct canp_bench_members *d, size_t *n,
		    uint8_t **plain)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	memset(d, 0, sizeof(*d));
	*plain = NULL;
	if (fd < 0)
		return -errno;
	rc = file_read(fd, bytes, &d->bytes, n);
	close(fd);
	return rc ? rc : log_list(d, *n, bytes, plain);
}

int canp_bench_members_log(const char *path, size_t bytes, struct canp_bench_members *d)
{
	uint8_t *plain;
	size_t n;
	int rc = log_open(path, bytes, d, &n, &plain);

	free(plain);
	return rc;
}

/* Cuts and packs plain into new members of d. */
static int plain_pack(const uint8_t *plain, size_t n, size_t member_bytes, unsigned level,
		      struct canp_bench_members *d)
{
	size_t nr = (n + member_bytes - 1) / member_bytes, cap, at = 0;
	z_stream z = {0};
	int rc = 0;

	if (deflateInit2(&z, (int)level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	cap = deflateBound(&z, member_bytes);
	d->kind = CANP_INFLATE_GZIP;
	d->bytes = malloc(nr * cap);
	if (!d->bytes)
		rc = -ENOMEM;
	for (size_t pos = 0; !rc && pos < n; pos += member_bytes) {
		size_t k = canp_min(member_bytes, n - pos);

		deflateReset(&z);
		z.next_in = (Bytef *)(plain + pos);
		z.avail_in = (uInt)k;
		z.next_out = d->bytes + at;
		z.avail_out = (uInt)cap;
		rc = deflate(&z, Z_FINISH) == Z_STREAM_END
			     ? member_add(d, d->bytes + at, z.total_out, k)
			     : -EIO;
		at += z.total_out;
	}
	deflateEnd(&z);
	return rc;
}

int canp_bench_members_pack(const char *path, size_t bytes, size_t member_bytes, unsigned level,
			    struct canp_bench_members *d)
{
	struct canp_bench_members file;
	uint8_t *plain;
	size_t n = 0;
	int rc = log_open(path, bytes, &file, &n, &plain);
	bool raw = rc == -EBADMSG;

	memset(d, 0, sizeof(*d));
	if (!rc || raw)
		rc = plain_pack(raw ? file.bytes : plain, raw ? n : file.plain_bytes, member_bytes,
				level, d);
	if (!rc && !d->nr)
		rc = -ENODATA;
	free(plain);
	canp_bench_members_fini(&file);
	return rc;
}

void canp_bench_members_fini(struct canp_bench_members *d)
{
	free(d->members);
	free(d->bytes);
	memset(d, 0, sizeof(*d));
}
