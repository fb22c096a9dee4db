/*
 * bench_compare.h - results of `canp-bench run` beside one another: which figures became worse by
 * more than chance and noise explain. Control plane; one thread.
 */
#ifndef CANP_TOOLS_BENCH_COMPARE_H
#define CANP_TOOLS_BENCH_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"

struct canp_json;

/* Fewer runs of a side cannot tell 1 % from chance, whatever they say. */
#define CANP_COMPARE_RUNS_MIN 5u

enum canp_compare_verdict {
	CANP_COMPARE_SAME,
	CANP_COMPARE_BETTER,
	CANP_COMPARE_REGRESSED,
	CANP_COMPARE_SHOWN,      /* not judged */
	CANP_COMPARE_FEW,        /* error: too few runs */
	CANP_COMPARE_SEQUENTIAL, /* error: they did not take turns */
	CANP_COMPARE_MISSING     /* error: one side has none */
};

/* One figure of one job. */
struct canp_compare_row {
	char *job;
	unsigned metric; /* index of canp_bench_metrics */
	double *v[2];    /* of the baseline, of the new side */
	uint64_t *ms[2]; /* when each run began, since 1970; 0 not known */
	unsigned n[2], cap[2];
	double noise; /* per cent, of the baseline's self check; 0 none */
	double median[2], delta, low, high, p, u, floor; /* delta, low, high as parts */
	enum canp_compare_verdict verdict;
};

struct canp_compare {
	struct canp_compare_row *row;
	unsigned nr, cap;
};

struct canp_compare_opts {
	double alpha, threshold; /* threshold in per cent */
	bool sequential;
	const char *const *metric; /* patterns, empty: those that are judged by default */
	unsigned nr_metrics;
};

/* Adds the runs of a result file (of ours, or of fio: one run) to side 0 or 1. 0, -EINVAL (line in
 * err), -ENOMEM. */
int canp_compare_add(struct canp_compare *c, unsigned side, const char *text, size_t len,
		     const char *name, struct canp_strbuf *err);
/* Fills the results of all rows. 0 or -ENOMEM. */
int canp_compare_judge(struct canp_compare *c, const struct canp_compare_opts *o);
/* 0 same or better, 1 an error, 3 a regression. */
int canp_compare_exit(const struct canp_compare *c);
void canp_compare_text(const struct canp_compare *c, struct canp_strbuf *sb);
void canp_compare_json(const struct canp_compare *c, struct canp_json *js);
/* "Same" says only that no change was shown. How much worse, in per cent, the new side may still be
 * by the 95 % interval, where that is more than would count as a regression; else 0. */
double canp_compare_open_percent(const struct canp_compare_row *r);
const char *canp_compare_verdict_name(enum canp_compare_verdict v);
void canp_compare_fini(struct canp_compare *c);

#endif
