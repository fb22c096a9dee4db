/*
 * benchjob_log.c - latencies, bandwidth over time and its log files, and when a job is steady.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/units.h"
#include "tools/benchjob.h"

#define BW_SAMPLE_NS ((uint64_t)500 * CANP_NS_PER_MS)

void canp_benchjob_lat_add(struct canp_benchjob_lat *l, uint64_t ns)
{
	canp_hist_add(&l->h, ns);
	l->squares += (double)ns * (double)ns;
}

void canp_benchjob_lat_merge(struct canp_benchjob_lat *to, const struct canp_benchjob_lat *from)
{
	/* Results start as zeros, where a histogram's smallest value would be 0. */
	if (!from->h.count)
		return;
	if (!to->h.count)
		canp_hist_init(&to->h);
	canp_hist_merge(&to->h, &from->h);
	to->squares += from->squares;
}

double canp_benchjob_lat_dev(const struct canp_benchjob_lat *l)
{
	double n = (double)l->h.count, mean = n > 0 ? (double)l->h.sum / n : 0;

	return n > 0 ? sqrt(fmax(0, l->squares / n - mean * mean)) : 0;
}

/* ---- steady state ---------------------------------------------------------------------------- */

/* Largest distance from the mean, or slope of the least squares line, as a part of the mean. */
bool canp_benchjob_is_steady(const double *v, unsigned n, unsigned kind, double limit)
{
	bool slope =
		kind == CANP_BENCHJOB_STEADY_BW_SLOPE || kind == CANP_BENCHJOB_STEADY_IOPS_SLOPE;
	double mean = 0, off = 0, sxy = 0, sxx = 0, mid = (n - 1) / 2.0;

	if (n < 2)
		return false;
	for (unsigned i = 0; i < n; i++)
		mean += v[i] / n;
	if (!(mean > 0))
		return false;
	for (unsigned i = 0; i < n; i++) {
		off = fmax(off, fabs(v[i] - mean));
		sxy += (i - mid) * (v[i] - mean);
		sxx += (i - mid) * (i - mid);
	}
	return (slope ? fabs(sxy / sxx) : off) / mean * 100 <= limit;
}

/* A second is over; true: the window is full and steady. */
static bool steady_second(struct canp_benchjob_log *l, uint64_t now_ns)
{
	const struct canp_benchjob *j = l->run->j;
	bool iops = j->steady_kind >= CANP_BENCHJOB_STEADY_IOPS;
	double s = (double)(now_ns - l->second_since_ns) * 1e-9;
	double v = (double)(iops ? l->second_ios : l->second_bytes) / s;

	l->second_since_ns = now_ns;
	l->second_bytes = l->second_ios = 0;
	if (now_ns < l->steady_from_ns)
		return false;
	if (l->nr_seconds == l->want_seconds)
		memmove(l->second, l->second + 1, (l->nr_seconds - 1) * sizeof(*l->second));
	else
		l->nr_seconds++;
	l->second[l->nr_seconds - 1] = v;
	if (l->nr_seconds < l->want_seconds ||
	    !canp_benchjob_is_steady(l->second, l->nr_seconds, j->steady_kind, j->steady_limit))
		return false;
	l->run->r->steady = true;
	return true;
}

/* ---- logs ------------------------------------------------------------------------------------ */

static int open_logs(struct canp_benchjob_log *l)
{
	static const char *const kind[] = {"bw", "lat", "iops"};
	const struct canp_benchjob_cfg *c = &l->run->j->cfg;
	const char *prefix[] = {c->write_bw_log, c->write_lat_log, c->write_iops_log};
	char path[1100];

	for (unsigned i = 0; i < 3; i++) {
		if (!*prefix[i])
			continue;
		snprintf(path, sizeof(path), "%.1000s_%s.%u.log", prefix[i], kind[i],
			 l->run->number);
		l->file[i] = fopen(path, "we");
		if (l->file[i])
			continue;
		snprintf(l->run->r->error, sizeof(l->run->r->error), "%.150s: %s", path,
			 canp_strerror(-errno));
		return -EIO;
	}
	return 0;
}

int canp_benchjob_log_begin(struct canp_benchjob_log *l, const struct canp_benchjob_run *run,
			    unsigned dir, uint64_t now_ns)
{
	const struct canp_benchjob_cfg *c = &run->j->cfg;

	*l = (struct canp_benchjob_log){.run = run,
					.dir = dir,
					.start_ns = now_ns,
					.since_ns = now_ns,
					.bw_since_ns = now_ns,
					.second_since_ns = now_ns,
					.steady_from_ns = now_ns + c->ss_ramp,
					.period_ns = c->log_avg_msec * (uint64_t)CANP_NS_PER_MS};
	if (run->j->steady_kind) {
		run->r->steady_wanted = true;
		l->want_seconds = (unsigned)(c->ss_dur / CANP_NS_PER_S);
		l->second = calloc(l->want_seconds, sizeof(*l->second));
		if (!l->second) {
			snprintf(run->r->error, sizeof(run->r->error), "out of memory");
			return -ENOMEM;
		}
	}
	return open_logs(l);
}

static void log_line(struct canp_benchjob_log *l, uint64_t now_ns)
{
	double s = (double)(now_ns - l->since_ns) * 1e-9;
	unsigned long long bs = l->ios ? l->bytes / l->ios : 0;
	unsigned long long v[3] = {(unsigned long long)((double)l->bytes / 1024 / s),
				   l->ios ? l->lat_ns / l->ios : 0,
				   (unsigned long long)((double)l->ios / s)};

	for (unsigned i = 0; i < 3; i++)
		if (l->file[i])
			fprintf(l->file[i], "%llu, %llu, %u, %llu, 0\n",
				(unsigned long long)((now_ns - l->start_ns) / CANP_NS_PER_MS), v[i],
				l->dir, bs);
	l->since_ns = now_ns;
	l->bytes = l->ios = l->lat_ns = 0;
}

static void bw_sample(struct canp_benchjob_log *l, uint64_t now_ns)
{
	struct canp_benchjob_series *s = &l->run->r->dir[l->dir].bw;
	double v = (double)l->bw_bytes / ((double)(now_ns - l->bw_since_ns) * 1e-9);

	s->min = s->nr ? fmin(s->min, v) : v;
	s->max = fmax(s->max, v);
	s->sum += v;
	s->squares += v * v;
	s->nr++;
	l->bw_since_ns = now_ns;
	l->bw_bytes = 0;
}

bool canp_benchjob_log_add(struct canp_benchjob_log *l, uint64_t now_ns, uint64_t bytes,
			   uint64_t lat_ns)
{
	l->bytes += bytes;
	l->bw_bytes += bytes;
	l->second_bytes += bytes;
	l->ios++;
	l->second_ios++;
	l->lat_ns += lat_ns;
	if (now_ns - l->since_ns >= l->period_ns)
		log_line(l, now_ns);
	if (now_ns - l->bw_since_ns >= BW_SAMPLE_NS)
		bw_sample(l, now_ns);
	return l->second && now_ns - l->second_since_ns >= CANP_NS_PER_S &&
	       steady_second(l, now_ns);
}

void canp_benchjob_log_end(struct canp_benchjob_log *l, uint64_t now_ns)
{
	/* A job shorter than a sample has one, of all of it; a rest is left out: rates over a few
	 * milliseconds are noise. */
	if (l->run && !l->run->r->dir[l->dir].bw.nr && l->bw_bytes && now_ns > l->bw_since_ns)
		bw_sample(l, now_ns);
	if (l->ios && now_ns > l->since_ns)
		log_line(l, now_ns);
	for (unsigned i = 0; i < 3; i++)
		if (l->file[i])
			fclose(l->file[i]);
	free(l->second);
	*l = (struct canp_benchjob_log){0};
}
