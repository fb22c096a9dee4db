/*
 * bench_kernels.h - the parts of `canp-bench kernels`: who measures what, and where results go.
 *
 * A line of the result is a kernel on one kind of data; its forms (portable, per instruction set,
 * other libraries) run alternately.
 */
#ifndef CANP_TOOLS_BENCH_KERNELS_H
#define CANP_TOOLS_BENCH_KERNELS_H

#include <stdbool.h>

#include "simd/simd.h"
#include "tools/bench_measure.h"

#define CANP_BENCH_FORMS_MAX 6u
#define CANP_BENCH_COLUMNS   4u

enum canp_bench_role {
	CANP_BENCH_FORM,      /* a variant of ours */
	CANP_BENCH_PORTABLE,  /* the portable one of ours: ratio_to_scalar is against it */
	CANP_BENCH_REFERENCE, /* of a library: ratio_to_reference is against it */
	CANP_BENCH_OTHER,     /* of another library, to compare */
};

struct canp_bench_line {
	const char *kernel;
	char data[96];
	const char *what;   /* ns for each "frame", "value"; NULL: GB/s of output */
	double gate;        /* ratio to the reference that the fastest form must reach; 0 none */
	double compression; /* inflated : stored bytes of the data; 0 does not apply */
	/* Names of the forms that stand in the columns of the table; "library" is any reference. */
	const char *const *columns;
	unsigned nr;
	struct {
		const char *name;
		enum canp_bench_role role;
		struct canp_bench_case c;
	} forms[CANP_BENCH_FORMS_MAX];
};

struct canp_bench_out;

/* Adds a form to the line; extra ones are a mistake of the caller. */
void canp_bench_form(struct canp_bench_line *line, const char *name, enum canp_bench_role role,
		     void (*pass)(void *), void *arg, double work);
/* Measures the line, writes it, and forgets its forms. 0 or -ENOMEM. */
int canp_bench_line(struct canp_bench_out *out, struct canp_bench_line *line);
/* Whether the user wants the kernel. */
bool canp_bench_wanted(const struct canp_bench_out *out, const char *kernel);
/* Highest instruction set the user wants to see. */
enum canp_isa canp_bench_ceiling(const struct canp_bench_out *out);

/* Measures every row of simd/kernels.def that is wanted. 0 or -errno. */
int canp_bench_rows(struct canp_bench_out *out);

/* One kind of data of inflate; name: how the line calls it. 0; -ENOMEM; -EPROTO: a contender did
 * not deliver the data. */
struct canp_bench_members;
int canp_bench_inflate(struct canp_bench_out *out, const char *name, double gate,
		       const struct canp_bench_members *d);

/* The frames of frames24: records of one traffic, with the map and chunks they go to. */
struct canp_bench_frames;
/* j1939: 29-bit ids found by their parameter group, 32-byte records; else 11-bit ids, 16-byte
 * records. NULL: out of memory. */
struct canp_bench_frames *canp_bench_frames_create(bool j1939);
void canp_bench_frames_destroy(struct canp_bench_frames *f);
/* Takes all CANP_BENCH_FRAMES frames, in records as they lie in logs, through a variant of
 * canp_simd.frames24. */
void canp_bench_frames_pass(struct canp_bench_frames *f, void (*func)(void));
#define CANP_BENCH_FRAMES (170u * 256u) /* 16 blocks of 64 KiB */

#endif
