/*
 * bench_members.h - compressed members to measure inflate with: made by the generator of canp-gen,
 * or taken from a file.
 */
#ifndef CANP_TOOLS_BENCH_MEMBERS_H
#define CANP_TOOLS_BENCH_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/inflate_isal.h"

struct canp_gen_traffic;
struct canp_gen_frame;

enum canp_bench_traffic {
	CANP_BENCH_DENSE,  /* CANP members of a busy bus */
	CANP_BENCH_SPARSE, /* the same with mostly constant signals */
	CANP_BENCH_J1939,  /* the same as sparse with 29-bit ids and whole payloads */
	CANP_BENCH_BLF,    /* BLF containers of the busy bus */
	CANP_BENCH_FILE,   /* a file */
};

struct canp_bench_member {
	const uint8_t *in;
	size_t len, plain; /* stored and inflated bytes */
};

struct canp_bench_members {
	enum canp_inflate_kind kind;
	struct canp_bench_member *members;
	size_t nr;
	size_t plain_bytes, packed_bytes; /* sums */
	size_t plain_max;                 /* of one member */
	uint8_t *bytes;                   /* what the members point into */
};

/* "dense", ..; CANP_BENCH_FILE for any other word. */
enum canp_bench_traffic canp_bench_traffic_parse(const char *word);

/* The traffic behind a kind of data other than CANP_BENCH_FILE; NULL: out of memory. */
struct canp_gen_traffic *canp_bench_traffic_create(enum canp_bench_traffic kind);
/* Its next frame; id bit 31: extended, as in a CANP container. */
void canp_bench_traffic_next(struct canp_gen_traffic *t, enum canp_bench_traffic kind,
			     struct canp_gen_frame *f);

/* Makes members of member_bytes, about `bytes` inflated in all, packed by zlib with the level. 0 or
 * -errno. Equal arguments give equal bytes. */
int canp_bench_members_make(enum canp_bench_traffic kind, size_t bytes, size_t member_bytes,
			    unsigned level, struct canp_bench_members *d);

/* Takes the members of a CANP or BLF log as they are, up to `bytes` inflated. 0; -EBADMSG: the file
 * is no such log; -EMSGSIZE: its first member is larger; -EILSEQ: a member is damaged; -errno. */
int canp_bench_members_log(const char *path, size_t bytes, struct canp_bench_members *d);

/* The same, but what the members hold, or the file as it is when it is no such log, is cut anew
 * into members of member_bytes, packed with the level. */
int canp_bench_members_pack(const char *path, size_t bytes, size_t member_bytes, unsigned level,
			    struct canp_bench_members *d);

/* Frees what the above filled, also after an error of theirs. */
void canp_bench_members_fini(struct canp_bench_members *d);

#endif
