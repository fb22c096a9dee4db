/*
 * isal_only.c - inflates the members of CANP files and the containers of BLF files with ISA-L and
 * does nothing else: the lower bound that a whole job is compared with (tests/compare_peers.sh).
 *
 * Files are read into memory first; only the calls of isal_inflate_stateless() are timed, on this
 * one thread, without checksums. The output buffer is reused, so it stays in the cache as far as it
 * fits. Damaged members end the program: this is no reader.
 *
 * isal_only FILE...   prints one JSON object.
 */
#include <isa-l.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/bytes.h"

#define CANP_HEAD 35u
#define OUT_BYTES (16u << 20)

static struct {
	uint64_t files, members, bytes_in, bytes_inflated;
	double cpu_s;
	uint8_t *out;
	const char *path;
} g;

static void die(const char *what)
{
	fprintf(stderr, "isal_only: %s: %s\n", g.path, what);
	exit(1);
}

static double cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Raw deflate data of at most len bytes; what follows it (a trailer) is left alone. */
static void inflate_raw(uint8_t *p, size_t len)
{
	struct inflate_state st;
	double start = cpu_now();
	int rc;

	isal_inflate_init(&st);
	st.crc_flag = ISAL_DEFLATE;
	st.next_in = p;
	st.avail_in = (uint32_t)len;
	st.next_out = g.out;
	st.avail_out = OUT_BYTES;
	rc = isal_inflate_stateless(&st);
	g.cpu_s += cpu_now() - start;
	if (rc != ISAL_DECOMP_OK)
		die("cannot inflate a member");
	g.members++;
	g.bytes_inflated += st.total_out;
}

/* The fixed header of ten bytes and the optional fields that generators write: none. */
static void member_gzip(uint8_t *p, size_t len)
{
	if (len < 18 || p[0] != 0x1f || p[1] != 0x8b || p[3])
		die("not a plain gzip member");
	inflate_raw(p + 10, len - 18);
}

static void walk_canp(uint8_t *p, size_t len)
{
	while (len >= CANP_HEAD) {
		size_t n = canp_be32(p + 31);

		if (n > len - CANP_HEAD)
			die("a block is longer than the file");
		member_gzip(p + CANP_HEAD, n);
		p += CANP_HEAD + n;
		len -= CANP_HEAD + n;
	}
}

/* Containers of zlib streams, objectSize % 4 bytes of padding behind each. */
static void walk_blf(uint8_t *p, size_t len)
{
	size_t pos = canp_le32(p + 4);

	while (pos + 32 <= len && !memcmp(p + pos, "LOBJ", 4)) {
		size_t head = canp_le16(p + pos + 4), size = canp_le32(p + pos + 8);

		if (size < head + 16 + 6 || size > len - pos)
			die("a container is longer than the file");
		if (canp_le32(p + pos + 12) == 10 && canp_le16(p + pos + head) == 2)
			inflate_raw(p + pos + head + 18, size - head - 22);
		pos += size + size % 4;
	}
}

static void one_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p;
	long len;

	g.path = path;
	if (!f || fseek(f, 0, SEEK_END) || (len = ftell(f)) < 0 || fseek(f, 0, SEEK_SET))
		die("cannot open the file");
	p = malloc((size_t)len + 64);
	if (!p || fread(p, 1, (size_t)len, f) != (size_t)len)
		die("cannot read the file");
	fclose(f);
	if (len >= 144 && !memcmp(p, "LOGG", 4))
		walk_blf(p, (size_t)len);
	else
		walk_canp(p, (size_t)len);
	free(p);
	g.files++;
	g.bytes_in += (uint64_t)len;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: isal_only FILE...\n");
		return 64;
	}
	g.out = malloc(OUT_BYTES);
	if (!g.out)
		return 1;
	memset(g.out, 0, OUT_BYTES);
	for (int i = 1; i < argc; i++)
		one_file(argv[i]);
	printf("{\"files\": %llu, \"members\": %llu, \"bytes_in\": %llu, \"bytes_inflated\": %llu, "
	       "\"cpu_s\": %.6f}\n",
	       (unsigned long long)g.files, (unsigned long long)g.members,
	       (unsigned long long)g.bytes_in, (unsigned long long)g.bytes_inflated, g.cpu_s);
	free(g.out);
	return 0;
}
