/*
 * bench_metrics.c - medians, ranks and draws; see bench_metrics.h.
 */
#include "tools/bench_metrics.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "core/base/units.h"

const struct canp_bench_metric canp_bench_metrics[] = {
	{"read_bw_bytes", "B/s", false, true}, {"write_bw_bytes", "B/s", false, true},
	{"frames_per_s", "1/s", false, true},  {"cpu_ns_per_frame", "ns", true, true},
	{"peak_mem_bytes", "B", true, true},   {"iops", "1/s", false, false},
	{"files_per_s", "1/s", false, false},  {"lat_p50_ns", "ns", true, false},
	{"lat_p99_ns", "ns", true, false},     {"file_p50_ns", "ns", true, false},
	{"file_p99_ns", "ns", true, false},
};
const unsigned canp_bench_nr_metrics = CANP_ARRAY_SIZE(canp_bench_metrics);

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_sorted(const double *v, unsigned n)
{
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double canp_bench_median(const double *v, unsigned n)
{
	double *s = malloc(n * sizeof(*s)), m;

	if (!s)
		return NAN;
	memcpy(s, v, n * sizeof(*s));
	qsort(s, n, sizeof(*s), by_value);
	m = median_sorted(s, n);
	free(s);
	return m;
}

/* ---- ranks ----------------------------------------------------------------------------------- */

struct ranked {
	double v;
	bool a;
};

static int by_ranked(const void *x, const void *y)
{
	return by_value(&((const struct ranked *)x)->v, &((const struct ranked *)y)->v);
}

/* Twice the mid-rank of each, so that ties stay whole numbers; the sum of those of a. *ties: sum of
 * t^3 - t over groups of equal ones. */
static unsigned rank_all(struct ranked *r, unsigned n, unsigned *twice, double *ties)
{
	unsigned sum = 0;

	qsort(r, n, sizeof(*r), by_ranked);
	*ties = 0;
	for (unsigned i = 0, k; i < n; i = k) {
		double t;

		for (k = i; k < n && !(r[i].v < r[k].v); k++)
			;
		t = k - i;
		*ties += t * t * t - t;
		for (unsigned m = i; m < k; m++) {
			twice[m] = i + k + 1;
			sum += r[m].a ? twice[m] : 0;
		}
	}
	return sum;
}

/* Of all ways to choose na of the n ranks, the part whose sum is at least as far from the middle as
 * `sum`. ways[k][s]: choices of k ranks with sum s. */
static double exact_p(const unsigned *twice, unsigned n, unsigned na, unsigned sum)
{
	unsigned top = n * (n + 1); /* the sum of all of them */
	double *ways = calloc((size_t)(na + 1) * (top + 1), sizeof(*ways)), hit = 0, all = 0;
	long middle = (long)na * (n + 1), off = labs((long)sum - middle);

	if (!ways)
		return NAN;
	ways[0] = 1;
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = canp_min(i + 1, na); k > 0; k--) {
			double *to = ways + (size_t)k * (top + 1);
			const double *from = to - (top + 1);

			for (unsigned s = top; s >= twice[i]; s--)
				to[s] += from[s - twice[i]];
		}
	for (unsigned s = 0; s <= top; s++) {
		double w = ways[(size_t)na * (top + 1) + s];

		all += w;
		hit += labs((long)s - middle) >= off ? w : 0;
	}
	free(ways);
	return hit / all;
}

static double normal_p(double u, unsigned na, unsigned nb, double ties)
{
	double n = na + nb, mean = (double)na * nb / 2;
	double var = (double)na * nb / 12 * (n + 1 - ties / (n * (n - 1)));
	double z = var > 0 ? fmax(0, fabs(u - mean) - 0.5) / sqrt(var) : 0;

	return fmin(1, erfc(z / sqrt(2)));
}

double canp_bench_mann_whitney(const double *a, unsigned na, const double *b, unsigned nb,
			       double *u)
{
	unsigned n = na + nb, sum;
	struct ranked *r = malloc(n * sizeof(*r));
	unsigned *twice = malloc(n * sizeof(*twice));
	double ties, of_a, p = NAN;

	for (unsigned i = 0; r && i < n; i++)
		r[i] = (struct ranked){i < na ? a[i] : b[i - na], i < na};
	if (r && twice) {
		sum = rank_all(r, n, twice, &ties);
		of_a = sum / 2.0 - na * (na + 1.0) / 2;
		if (u)
			*u = of_a;
		p = n <= CANP_BENCH_EXACT_MAX ? exact_p(twice, n, na, sum)
					      : normal_p(of_a, na, nb, ties);
	}
	free(r);
	free(twice);
	return p;
}

/* ---- draws ----------------------------------------------------------------------------------- */

static double draw_median(const double *v, unsigned n, double *room, uint64_t *rng)
{
	for (unsigned i = 0; i < n; i++) {
		*rng ^= *rng << 13;
		*rng ^= *rng >> 7;
		*rng ^= *rng << 17;
		room[i] = v[(*rng >> 11) % n];
	}
	qsort(room, n, sizeof(*room), by_value);
	return median_sorted(room, n);
}

int canp_bench_bootstrap(const double *a, unsigned na, const double *b, unsigned nb, unsigned draws,
			 double *low, double *high)
{
	double *room = malloc(canp_max(na, nb) * sizeof(*room));
	double *d = malloc(draws * sizeof(*d));
	uint64_t rng = 0x9E3779B97F4A7C15u;

	for (unsigned i = 0; room && d && i < draws; i++) {
		double ma = draw_median(a, na, room, &rng);

		d[i] = draw_median(b, nb, room, &rng) / ma - 1;
	}
	if (room && d) {
		qsort(d, draws, sizeof(*d), by_value);
		*low = d[(unsigned)(draws * 0.025)];
		*high = d[canp_min((unsigned)(draws * 0.975), draws - 1)];
	}
	free(room);
	free(d);
	return room && d ? 0 : -ENOMEM;
}

#define NOISE_DRAWS 2000u

double canp_bench_noise(const double *a, unsigned na, const double *b, unsigned nb)
{
	double low, high;

	if (canp_bench_bootstrap(a, na, b, nb, NOISE_DRAWS, &low, &high))
		return NAN;
	return fmax(fabs(low), fabs(high));
}

bool canp_bench_interleaved(const bool *sides, unsigned n)
{
	unsigned turns = 0, ones = 0;

	for (unsigned i = 0; i < n; i++) {
		ones += sides[i];
		turns += i && sides[i] != sides[i - 1];
	}
	return turns >= canp_min(ones, n - ones) && ones && ones < n;
}
