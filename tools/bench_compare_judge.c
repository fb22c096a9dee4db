/*
 * bench_compare_judge.c - result files become rows of runs, rows get a verdict; see
 * bench_compare.h.
 */
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/units.h"
#include "tools/bench_compare.h"
#include "tools/bench_metrics.h"

#define COMPARE_DRAWS 5000u

static int bad_file(struct canp_strbuf *err, const char *name, const char *what)
{
	canp_strbuf_printf(err, "%s: %s", name, what);
	return -EINVAL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct canp_compare_row *row_find(const struct canp_compare *c, const char *job,
					 unsigned metric)
{
	for (unsigned i = 0; i < c->nr; i++)
		if (c->row[i].metric == metric && !strcmp(c->row[i].job, job))
			return &c->row[i];
	return NULL;
}

static struct canp_compare_row *row_get(struct canp_compare *c, const char *job, unsigned metric)
{
	struct canp_compare_row *r = row_find(c, job, metric);

	if (r)
		return r;
	if (c->nr == c->cap) {
		unsigned cap = c->cap ? 2 * c->cap : 32;

		r = realloc(c->row, cap * sizeof(*r));
		if (!r)
			return NULL;
		c->row = r;
		c->cap = cap;
	}
	r = &c->row[c->nr];
	*r = (struct canp_compare_row){.job = strdup(job), .metric = metric};
	if (!r->job)
		return NULL;
	c->nr++;
	return r;
}

static int row_add(struct canp_compare *c, unsigned side, const char *job, unsigned metric,
		   double v, uint64_t ms)
{
	struct canp_compare_row *r = row_get(c, job, metric);

	if (!r)
		return -ENOMEM;
	if (r->n[side] >= CANP_BENCH_SAMPLES_MAX)
		return -E2BIG;
	if (r->n[side] == r->cap[side]) {
		unsigned cap = r->cap[side] ? 2 * r->cap[side] : 16;
		double *nv = realloc(r->v[side], cap * sizeof(*nv));
		uint64_t *nm;

		r->v[side] = nv ? nv : r->v[side];
		nm = realloc(r->ms[side], cap * sizeof(*nm));
		r->ms[side] = nm ? nm : r->ms[side];
		if (!nv || !nm)
			return -ENOMEM;
		r->cap[side] = cap;
	}
	r->v[side][r->n[side]] = v;
	r->ms[side][r->n[side]++] = ms;
	return 0;
}

static bool number(const struct canp_json_val *v)
{
	return v && v->type == CANP_JSON_NUMBER && isfinite(v->num);
}

static uint64_t stamp(const struct canp_json_val *v)
{
	const struct canp_json_val *ms = canp_json_get(v, "timestamp_ms");

	return ms && ms->is_int && ms->i > 0 ? (uint64_t)ms->i : 0;
}

static int add_samples(struct canp_compare *c, unsigned side, const char *job,
		       const struct canp_json_val *samples)
{
	int rc = 0;

	for (const struct canp_json_val *s = samples->child; s && !rc; s = s->next)
		for (unsigned m = 0; m < canp_bench_nr_metrics && !rc; m++) {
			const struct canp_json_val *v =
				canp_json_get(s, canp_bench_metrics[m].name);

			if (number(v) && v->num > 0)
				rc = row_add(c, side, job, m, v->num, stamp(s));
		}
	return rc;
}

/* A result of fio is one run. */
static int add_plain(struct canp_compare *c, unsigned side, const char *job,
		     const struct canp_json_val *j, uint64_t ms)
{
	static const char *const dir[] = {"read", "write"};
	int rc = 0;

	for (unsigned d = 0; d < 2 && !rc; d++) {
		const struct canp_json_val *v = canp_json_get(canp_json_get(j, dir[d]), "bw_bytes");

		/* The first two metrics are their bandwidths. */
		if (number(v) && v->num > 0)
			rc = row_add(c, side, job, d, v->num, ms);
	}
	return rc;
}

static void add_noise(struct canp_compare *c, const char *job, const struct canp_json_val *noise)
{
	for (unsigned m = 0; m < canp_bench_nr_metrics; m++) {
		const struct canp_json_val *v = canp_json_get(noise, canp_bench_metrics[m].name);
		struct canp_compare_row *r;

		if (!number(v) || v->num < 0)
			continue;
		r = row_find(c, job, m);
		if (r)
			r->noise = canp_max(r->noise, v->num);
	}
}

static int add_job(struct canp_compare *c, unsigned side, const struct canp_json_val *j,
		   uint64_t ms)
{
	const struct canp_json_val *name = canp_json_get(j, "jobname");
	const struct canp_json_val *samples = canp_json_get(j, "samples");
	const struct canp_json_val *noise = canp_json_get(j, "noise_floor");
	int rc;

	if (!name || name->type != CANP_JSON_STRING)
		return -EINVAL;
	rc = samples && samples->type == CANP_JSON_ARRAY ? add_samples(c, side, name->str, samples)
							 : add_plain(c, side, name->str, j, ms);
	if (!rc && !side && noise)
		add_noise(c, name->str, noise);
	return rc;
}

int canp_compare_add(struct canp_compare *c, unsigned side, const char *text, size_t len,
		     const char *name, struct canp_strbuf *err)
{
	const struct canp_json_val *jobs, *root;
	struct canp_json_doc *doc;
	char what[100];
	size_t at = 0;
	int rc = canp_json_parse(text, len, CANP_JSON_DEPTH_MAX, &doc, &at);

	if (rc) {
		snprintf(what, sizeof(what), "no JSON: byte %zu; --output-format=json writes it",
			 at);
		return bad_file(err, name, what);
	}
	root = canp_json_root(doc);
	jobs = canp_json_get(root, "jobs");
	if (!jobs || jobs->type != CANP_JSON_ARRAY || !jobs->nr) {
		rc = bad_file(err, name, "no \"jobs\": this is no result of canp-bench run or fio");
	} else {
		for (const struct canp_json_val *j = jobs->child; j && !rc; j = j->next)
			rc = add_job(c, side, j, stamp(root));
		if (rc)
			bad_file(err, name,
				 rc == -EINVAL  ? "a job without a name"
				 : rc == -E2BIG ? "too many runs"
						: "out of memory");
	}
	canp_json_doc_destroy(doc);
	return rc;
}

/* ---- judging --------------------------------------------------------------------------------- */

struct in_time {
	uint64_t ms;
	bool side;
};

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct in_time *)a)->ms, y = ((const struct in_time *)b)->ms;

	return (x > y) - (x < y);
}

static bool took_turns(const struct canp_compare_row *r)
{
	unsigned n = r->n[0] + r->n[1], at = 0;
	struct in_time *t = calloc(n, sizeof(*t));
	bool *sides = calloc(n, sizeof(*sides)), ok = t && sides;

	for (unsigned s = 0; ok && s < 2; s++)
		for (unsigned i = 0; i < r->n[s]; i++) {
			t[at++] = (struct in_time){r->ms[s][i], s};
			ok = ok && r->ms[s][i];
		}
	if (ok) {
		qsort(t, n, sizeof(*t), by_time);
		for (unsigned i = 0; i < n; i++)
			sides[i] = t[i].side;
		ok = canp_bench_interleaved(sides, n);
	}
	free(t);
	free(sides);
	return ok;
}

static bool is_judged(const struct canp_compare_opts *o, const struct canp_bench_metric *m)
{
	for (unsigned i = 0; i < o->nr_metrics; i++)
		if (!fnmatch(o->metric[i], m->name, 0))
			return true;
	return !o->nr_metrics && m->judged;
}

static enum canp_compare_verdict verdict_of(const struct canp_compare_row *r,
					    const struct canp_compare_opts *o)
{
	const struct canp_bench_metric *m = &canp_bench_metrics[r->metric];
	double worse = m->less ? r->delta : -r->delta;

	if (!is_judged(o, m))
		return CANP_COMPARE_SHOWN;
	if (!r->n[0] || !r->n[1])
		return CANP_COMPARE_MISSING;
	if (r->n[0] < CANP_COMPARE_RUNS_MIN || r->n[1] < CANP_COMPARE_RUNS_MIN)
		return CANP_COMPARE_FEW;
	if (!o->sequential && !took_turns(r))
		return CANP_COMPARE_SEQUENTIAL;
	if (!(r->p < o->alpha) || !(fabs(worse) * 100 > r->floor))
		return CANP_COMPARE_SAME;
	return worse > 0 ? CANP_COMPARE_REGRESSED : CANP_COMPARE_BETTER;
}

int canp_compare_judge(struct canp_compare *c, const struct canp_compare_opts *o)
{
	for (unsigned i = 0; i < c->nr; i++) {
		struct canp_compare_row *r = &c->row[i];

		r->floor = canp_max(o->threshold, r->noise);
		r->delta = r->low = r->high = r->p = r->u = NAN;
		for (unsigned s = 0; s < 2; s++)
			r->median[s] = r->n[s] ? canp_bench_median(r->v[s], r->n[s]) : NAN;
		if (r->n[0] && r->n[1]) {
			r->delta = r->median[1] / r->median[0] - 1;
			r->p = canp_bench_mann_whitney(r->v[1], r->n[1], r->v[0], r->n[0], &r->u);
			if (canp_bench_bootstrap(r->v[0], r->n[0], r->v[1], r->n[1], COMPARE_DRAWS,
						 &r->low, &r->high))
				return -ENOMEM;
		}
		r->verdict = verdict_of(r, o);
	}
	return 0;
}

/* ---- the result ------------------------------------------------------------------------------ */

const char *canp_compare_verdict_name(enum canp_compare_verdict v)
{
	static const char *const names[] = {
		[CANP_COMPARE_SAME] = "same",
		[CANP_COMPARE_BETTER] = "better",
		[CANP_COMPARE_REGRESSED] = "regressed",
		[CANP_COMPARE_SHOWN] = "not judged",
		[CANP_COMPARE_FEW] = "error: needs 5 runs or more a side",
		[CANP_COMPARE_SEQUENTIAL] = "error: runs did not take turns (--sequential)",
		[CANP_COMPARE_MISSING] = "error: one side has no runs",
	};

	return names[v];
}

int canp_compare_exit(const struct canp_compare *c)
{
	bool any = false, error = false;

	for (unsigned i = 0; i < c->nr; i++) {
		if (c->row[i].verdict == CANP_COMPARE_REGRESSED)
			return 3;
		error |= c->row[i].verdict >= CANP_COMPARE_FEW;
		any |= c->row[i].verdict <= CANP_COMPARE_REGRESSED;
	}
	return error || !any;
}

double canp_compare_open_percent(const struct canp_compare_row *r)
{
	double worst = 100 * (canp_bench_metrics[r->metric].less ? r->high : -r->low);

	return r->verdict == CANP_COMPARE_SAME && worst > r->floor ? worst : 0;
}

void canp_compare_text(const struct canp_compare *c, struct canp_strbuf *sb)
{
	canp_strbuf_printf(sb, "%-20s %-17s %6s %13s %13s %8s %19s %8s %7s  %s\n", "job", "figure",
			   "runs", "base", "new", "delta", "95 %", "p", "floor", "verdict");
	for (unsigned i = 0; i < c->nr; i++) {
		const struct canp_compare_row *r = &c->row[i];
		char runs[32];

		snprintf(runs, sizeof(runs), "%u:%u", r->n[0], r->n[1]);
		canp_strbuf_printf(sb,
				   "%-20.20s %-17s %6s %13.5g %13.5g %+7.2f%% "
				   "[%+7.2f%%,%+7.2f%%] %8.5f %6.2f%%  %s",
				   r->job, canp_bench_metrics[r->metric].name, runs, r->median[0],
				   r->median[1], 100 * r->delta, 100 * r->low, 100 * r->high, r->p,
				   r->floor, canp_compare_verdict_name(r->verdict));
		if (canp_compare_open_percent(r) > 0)
			canp_strbuf_printf(sb,
					   "; up to %.1f %% worse is not ruled out, more runs "
					   "would tell",
					   canp_compare_open_percent(r));
		canp_strbuf_putc(sb, '\n');
	}
}

void canp_compare_json(const struct canp_compare *c, struct canp_json *js)
{
	canp_json_object(js);
	canp_json_ki64(js, "exit", canp_compare_exit(c));
	canp_json_key(js, "figures");
	canp_json_array(js);
	for (unsigned i = 0; i < c->nr; i++) {
		const struct canp_compare_row *r = &c->row[i];

		canp_json_object(js);
		canp_json_kstr(js, "job", r->job);
		canp_json_kstr(js, "figure", canp_bench_metrics[r->metric].name);
		canp_json_kstr(js, "unit", canp_bench_metrics[r->metric].unit);
		canp_json_kbool(js, "less_is_better", canp_bench_metrics[r->metric].less);
		canp_json_ku64(js, "runs_base", r->n[0]);
		canp_json_ku64(js, "runs_new", r->n[1]);
		canp_json_kdouble(js, "base", r->median[0]);
		canp_json_kdouble(js, "new", r->median[1]);
		canp_json_kdouble(js, "delta_percent", 100 * r->delta);
		canp_json_kdouble(js, "low_percent", 100 * r->low);
		canp_json_kdouble(js, "high_percent", 100 * r->high);
		canp_json_kdouble(js, "u", r->u);
		canp_json_kdouble(js, "p", r->p);
		canp_json_kdouble(js, "floor_percent", r->floor);
		canp_json_kdouble(js, "not_ruled_out_percent", canp_compare_open_percent(r));
		canp_json_kstr(js, "verdict", canp_compare_verdict_name(r->verdict));
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_json_end(js);
}

void canp_compare_fini(struct canp_compare *c)
{
	for (unsigned i = 0; i < c->nr; i++) {
		free(c->row[i].job);
		for (unsigned s = 0; s < 2; s++) {
			free(c->row[i].v[s]);
			free(c->row[i].ms[s]);
		}
	}
	free(c->row);
	*c = (struct canp_compare){0};
}
