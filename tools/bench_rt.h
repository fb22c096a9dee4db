/*
 * bench_rt.h - the parts of `canp-bench runtime`: figures of the runtime library, each with its
 * contenders, and who measures them.
 *
 * A figure is a row of a table in the file of its section. Its forms run alternately, one after the
 * other in every round, and each run tells one number. The first form is ours; the others are what
 * it is compared with: another way of ours to do the same, or a peer, which lives in a process of
 * its own (bench_peers.cpp), so that the product needs none of them.
 *
 * Control plane; one thread calls all of this.
 */
#ifndef CANP_TOOLS_BENCH_RT_H
#define CANP_TOOLS_BENCH_RT_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/json.h"
#include "tools/bench_cfg.h"
#include "tools/bench_measure.h"
#include "tools/toolmain.h"

#define CANP_BENCH_RT_FORMS_MAX 6u

struct canp_bench_rt {
	struct canp_bench_cfg cfg;
	struct canp_bench_rt_cfg rt;
	struct canp_opts *opts;
	struct canp_tool tool;
	struct canp_bench_env env;
	struct canp_strbuf sb;
	struct canp_json js;
	int cpu;          /* for what runs on one */
	cpu_set_t all;    /* the CPUs this process was given */
	char peers[1100]; /* bench-peers, see canp_bench_rt_peer() */
	const char *section;
};

/* Does n operations (or what comes near) and tells the figure in the unit of its row. 0; -ENOENT:
 * this contender is not installed; or another -errno, which ends the command. */
typedef int (*canp_bench_rt_fn)(struct canp_bench_rt *rt, const void *arg, uint64_t n,
				double *value);

struct canp_bench_rt_form {
	const char *name;
	canp_bench_rt_fn run;
	const void *arg;
};

/* What the goals are about: the first form's own number, or that number divided by the number of
 * the others. Of several others it is the one that is hardest to beat. */
enum canp_bench_rt_judge { CANP_BENCH_RT_VALUE, CANP_BENCH_RT_RATIO };

struct canp_bench_rt_figure {
	const char *name;  /* "alloc_free"; "mem.alloc_free" in JSON */
	const char *text;  /* a line for people */
	const char *unit;  /* of the numbers: "M/s", "ns" */
	double est_ns;     /* about what an operation takes; sets n by --round-ms */
	bool pinned;       /* to one CPU; else all of them may be used */
	unsigned runs_max; /* rounds at most; 0: --rounds */
	enum canp_bench_rt_judge judge;
	double floor, aim; /* goals; less is better where aim is below floor; both 0: none */
	struct canp_bench_rt_form forms[CANP_BENCH_RT_FORMS_MAX];
};

/* A part of a section: what --only names. Rows end with one that has no name. */
struct canp_bench_rt_section {
	const char *name;
	const struct canp_bench_rt_figure *rows;
};

extern const struct canp_bench_rt_figure canp_bench_rt_mem[];
extern const struct canp_bench_rt_figure canp_bench_rt_task[];
extern const struct canp_bench_rt_figure canp_bench_rt_flows[]; /* both: section pipe */
extern const struct canp_bench_rt_figure canp_bench_rt_pairs[];
extern const struct canp_bench_rt_figure canp_bench_rt_event[];
extern const struct canp_bench_rt_figure canp_bench_rt_monitor[];
extern const struct canp_bench_rt_figure canp_bench_rt_cmd[];

/* Measures a figure and writes it. An exit code (bench_rt_row.c). */
int canp_bench_rt_row(struct canp_bench_rt *rt, const struct canp_bench_rt_figure *f);

/* Runs bench-peers WHAT N with LD_PRELOAD=preload (NULL: nothing) and reads the number it prints.
 * 0; -ENOENT: the program, the library behind `what` or the preloaded one is not there; -EIO. */
int canp_bench_rt_peer(struct canp_bench_rt *rt, const char *what, const char *preload, uint64_t n,
		       double *value);
/* A form whose arg is a struct canp_bench_rt_peer_arg. */
struct canp_bench_rt_peer_arg {
	const char *what, *preload;
};
int canp_bench_rt_peer_form(struct canp_bench_rt *rt, const void *arg, uint64_t n, double *value);

/* Millions a second from seconds for n. */
static inline double canp_bench_rt_rate(uint64_t n, double seconds)
{
	return 1e-6 * (double)n / (seconds > 1e-9 ? seconds : 1e-9);
}

#endif
