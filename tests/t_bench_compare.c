/*
 * t_bench_compare.c - the statistics of `canp-bench compare` against scipy 1.10.1, and its
 * verdicts on recorded results, so that nothing here depends on how busy the machine is.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/compiler.h"
#include "core/base/json.h"
#include "tools/bench_compare.h"
#include "tools/bench_metrics.h"

#define close_to(have, want) assert_true(fabs((have) - (want)) < 1e-9)

/* ---- statistics ------------------------------------------------------------------------------ */

static void medians_of_odd_even_and_unsorted_samples(void **state)
{
	const double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2}, one[] = {7};

	(void)state;
	close_to(canp_bench_median(odd, 3), 3);
	close_to(canp_bench_median(even, 4), 2.5);
	close_to(canp_bench_median(one, 1), 7);
	/* The samples stay as they were. */
	close_to(odd[0], 5);
}

/* scipy.stats.mannwhitneyu(a, b, alternative='two-sided', method='exact') */
static void mann_whitney_without_ties_is_that_of_scipy(void **state)
{
	static const struct {
		double a[7], b[7];
		unsigned na, nb;
		double u, p;
	} c[] = {
		{{19, 22, 16, 29, 24}, {20, 11, 17, 12}, 5, 4, 17, 0.1111111111111111},
		{{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}, 5, 5, 0, 0.007936507936507936},
		{{10.1, 10.4, 9.9, 10.2, 10.0, 10.3},
		 {10.5, 10.6, 10.15, 10.7, 10.8, 10.25, 10.9},
		 6,
		 7,
		 5,
		 0.022144522144522144},
		{{1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5},
		 {2, 3, 4, 5, 6, 7, 8},
		 7,
		 7,
		 21,
		 0.7103729603729605},
	};
	double u;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(c); i++) {
		close_to(canp_bench_mann_whitney(c[i].a, c[i].na, c[i].b, c[i].nb, &u), c[i].p);
		close_to(u, c[i].u);
		/* The other way round the pairs are the other ones, and the chance is the same. */
		close_to(canp_bench_mann_whitney(c[i].b, c[i].nb, c[i].a, c[i].na, &u), c[i].p);
		close_to(u, c[i].na * c[i].nb - c[i].u);
	}
}

/* By listing all choices of ranks: 39 of 462 sums are as far from the middle, 2 of 252. */
static void mann_whitney_with_ties_counts_all_choices(void **state)
{
	const double a[] = {1, 2, 2, 3, 5}, b[] = {2, 4, 5, 5, 6, 6};
	const double low[] = {5, 5, 5, 5, 5}, high[] = {6, 6, 6, 6, 6};
	double u;

	(void)state;
	close_to(canp_bench_mann_whitney(a, 5, b, 6, &u), 39.0 / 462);
	close_to(u, 5);
	close_to(canp_bench_mann_whitney(low, 5, high, 5, &u), 2.0 / 252);
	close_to(canp_bench_mann_whitney(low, 5, low, 5, &u), 1);
	close_to(u, 12.5);
}

/* scipy.stats.mannwhitneyu(.., method='asymptotic') on [i * 37 % 97] and [i * 53 % 97 + 9.5] */
static void mann_whitney_of_many_runs_is_the_normal_one_of_scipy(void **state)
{
	double a[40], b[40], u;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		a[i] = i * 37 % 97;
		b[i] = i * 53 % 97 + 9.5;
	}
	close_to(canp_bench_mann_whitney(a, 40, b, 40, &u), 0.3581221551975824);
	close_to(u, 704);
}

static void the_interval_holds_the_difference_and_is_the_same_each_time(void **state)
{
	const double a[] = {100, 101, 99, 100.5, 99.5, 100.2, 99.8};
	const double b[] = {90, 91, 89, 90.5, 89.5, 90.2, 89.8};
	double low, high, low2, high2;

	(void)state;
	assert_int_equal(canp_bench_bootstrap(a, 7, b, 7, 2000, &low, &high), 0);
	assert_true(low <= -0.1 && -0.1 <= high);
	assert_true(low > -0.13 && high < -0.07);
	canp_bench_bootstrap(a, 7, b, 7, 2000, &low2, &high2);
	close_to(low, low2);
	close_to(high, high2);
	/* Equal samples without spread: nothing is uncertain. */
	assert_int_equal(canp_bench_bootstrap(a, 1, a, 1, 100, &low, &high), 0);
	close_to(low, 0);
	close_to(high, 0);
}

static void noise_is_how_far_equal_runs_may_lie_apart(void **state)
{
	const double a[] = {100, 104, 96, 102, 98}, b[] = {101, 99, 103, 97, 100};
	double noise = canp_bench_noise(a, 5, b, 5);

	(void)state;
	/* More than their medians differ (0), less than their extremes. */
	assert_true(noise > 0.01 && noise < 0.09);
}

static void runs_that_take_turns_are_told_from_runs_that_do_not(void **state)
{
	const bool abab[] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, aabb[] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
	const bool abba[] = {0, 1, 1, 0, 0, 1, 1, 0, 0, 1}, all[] = {0, 0, 0};

	(void)state;
	assert_true(canp_bench_interleaved(abab, 10));
	assert_true(canp_bench_interleaved(abba, 10));
	assert_false(canp_bench_interleaved(aabb, 10));
	assert_false(canp_bench_interleaved(all, 3));
	assert_false(canp_bench_interleaved(all, 0));
}

/* ---- verdicts on recorded results ------------------------------------------------------------ */

static const struct canp_compare_opts normal = {.alpha = 0.01, .threshold = 3};

/* A result as canp-bench run writes it: n runs of one figure, every 2 s from `ms` on. */
static void add_result(struct canp_compare *c, unsigned side, const char *figure, const double *v,
		       unsigned n, uint64_t ms, const char *more)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT, err = CANP_STRBUF_INIT;

	canp_strbuf_puts(&sb, "{\"canp-bench version\": \"x\", \"jobs\": [{\"jobname\": \"j\", "
			      "\"samples\": [");
	for (unsigned i = 0; i < n; i++)
		canp_strbuf_printf(&sb, "%s{\"timestamp_ms\": %llu, \"%s\": %.6f}", i ? "," : "",
				   (unsigned long long)(ms + i * 2000ull), figure, v[i]);
	canp_strbuf_printf(&sb, "]%s}]}", more);
	assert_int_equal(canp_compare_add(c, side, sb.buf, sb.len, "r.json", &err), 0);
	canp_strbuf_fini(&sb);
	canp_strbuf_fini(&err);
}

/* Five runs a side in turn: 100 and 100 * by, each with its spread of about 1 %. */
static enum canp_compare_verdict verdict(const char *figure, double by,
					 const struct canp_compare_opts *o, const char *more,
					 int *status)
{
	static const double spread[2][5] = {{1.0, 1.006, 0.995, 1.002, 0.998},
					    {1.003, 0.997, 1.001, 0.996, 1.004}};
	struct canp_compare c = {0};
	enum canp_compare_verdict v;
	double run[2][5];

	for (unsigned i = 0; i < 5; i++) {
		run[0][i] = 1e9 * spread[0][i];
		run[1][i] = 1e9 * by * spread[1][i];
	}
	add_result(&c, 0, figure, run[0], 5, 1000000, more);
	add_result(&c, 1, figure, run[1], 5, 1001000, "");
	assert_int_equal(canp_compare_judge(&c, o), 0);
	assert_int_equal(c.nr, 1);
	v = c.row[0].verdict;
	*status = canp_compare_exit(&c);
	canp_compare_fini(&c);
	return v;
}

static void a_slowdown_of_five_per_cent_is_a_regression(void **state)
{
	int status;

	(void)state;
	assert_int_equal(verdict("read_bw_bytes", 0.95, &normal, "", &status),
			 CANP_COMPARE_REGRESSED);
	assert_int_equal(status, 3);
	assert_int_equal(verdict("cpu_ns_per_frame", 1.05, &normal, "", &status),
			 CANP_COMPARE_REGRESSED);
	assert_int_equal(status, 3);
	/* Where less is better, less is no regression. */
	assert_int_equal(verdict("cpu_ns_per_frame", 0.95, &normal, "", &status),
			 CANP_COMPARE_BETTER);
	assert_int_equal(status, 0);
}

/* Significant by its ranks, and yet too small to stop anybody. */
static void a_slowdown_of_two_per_cent_is_none(void **state)
{
	int status;

	(void)state;
	assert_int_equal(verdict("read_bw_bytes", 0.98, &normal, "", &status), CANP_COMPARE_SAME);
	assert_int_equal(status, 0);
}

static void the_recorded_noise_floor_raises_the_bar(void **state)
{
	int status;

	(void)state;
	assert_int_equal(verdict("read_bw_bytes", 0.95, &normal,
				 ", \"noise_floor\": {\"read_bw_bytes\": 6.5}", &status),
			 CANP_COMPARE_SAME);
	assert_int_equal(status, 0);
	assert_int_equal(verdict("read_bw_bytes", 0.92, &normal,
				 ", \"noise_floor\": {\"read_bw_bytes\": 6.5}", &status),
			 CANP_COMPARE_REGRESSED);
	/* Noise of another figure is none of this one. */
	assert_int_equal(verdict("read_bw_bytes", 0.95, &normal, ", \"noise_floor\": {\"iops\": 0}",
				 &status),
			 CANP_COMPARE_REGRESSED);
}

static void same_with_wide_noise_says_what_is_not_ruled_out(void **state)
{
	static const double noisy[2][5] = {{100, 88, 111, 95, 104}, {97, 109, 86, 102, 92}};
	static const double calm[2][5] = {{100, 100.2, 99.9, 100.1, 99.8},
					  {100.1, 99.9, 100, 99.8, 100.2}};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const double(*v)[5] = i ? calm : noisy;
		struct canp_strbuf sb = CANP_STRBUF_INIT;
		struct canp_compare c = {0};

		add_result(&c, 0, "cpu_ns_per_frame", v[0], 5, 1000000, "");
		add_result(&c, 1, "cpu_ns_per_frame", v[1], 5, 1001000, "");
		assert_int_equal(canp_compare_judge(&c, &normal), 0);
		assert_int_equal(c.row[0].verdict, CANP_COMPARE_SAME);
		assert_int_equal(canp_compare_exit(&c), 0);
		canp_compare_text(&c, &sb);
		if (i) {
			assert_true(canp_compare_open_percent(&c.row[0]) <= 0);
			assert_null(strstr(sb.buf, "ruled out"));
		} else {
			/* Less is better: the upper end of the interval. */
			assert_true(canp_compare_open_percent(&c.row[0]) > 3);
			assert_true(canp_compare_open_percent(&c.row[0]) <= 100 * c.row[0].high);
			assert_non_null(strstr(sb.buf, "% worse is not ruled out"));
		}
		canp_strbuf_fini(&sb);
		canp_compare_fini(&c);
	}
}

/* Frames a second, in millions, of one program and one job (stages=decode, four logs of 8 MB, one
 * core), measured in turn on a machine with two cores whose load was about 8:
 * nothing changed, so nothing may be found. */
static void five_recorded_comparisons_of_equal_runs_stay_silent(void **state)
{
	static const double a[5][5] = {{111.93, 159.33, 80.09, 91.35, 210.11},
				       {139.33, 94.88, 114.28, 95.82, 62.56},
				       {77.22, 162.57, 153.89, 86.37, 107.71},
				       {69.31, 123.22, 146.31, 85.9, 110.98},
				       {98.27, 128.14, 205.8, 202.6, 104.78}};
	static const double b[5][5] = {{104.89, 132.25, 132.54, 83.07, 85.92},
				       {94.54, 116.68, 120.96, 53.29, 71.32},
				       {30.26, 85, 159.81, 88.97, 106.55},
				       {163.83, 85.86, 172.3, 169.46, 90.18},
				       {97.91, 134.87, 133.01, 74.67, 216.86}};

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct canp_compare c = {0};

		add_result(&c, 0, "frames_per_s", a[i], 5, 1000000, "");
		add_result(&c, 1, "frames_per_s", b[i], 5, 1001000, "");
		assert_int_equal(canp_compare_judge(&c, &normal), 0);
		assert_int_equal(c.row[0].verdict, CANP_COMPARE_SAME);
		assert_int_equal(canp_compare_exit(&c), 0);
		canp_compare_fini(&c);
	}
}

static void four_runs_are_too_few_and_runs_in_sequence_do_not_count(void **state)
{
	static const double v[] = {100, 101, 99, 100, 100}, w[] = {50, 51, 49, 50, 50};
	struct canp_compare_opts sequential = normal;
	struct canp_compare c = {0};

	(void)state;
	add_result(&c, 0, "read_bw_bytes", v, 5, 1000000, "");
	add_result(&c, 1, "read_bw_bytes", w, 4, 1001000, "");
	canp_compare_judge(&c, &normal);
	assert_int_equal(c.row[0].verdict, CANP_COMPARE_FEW);
	assert_int_equal(canp_compare_exit(&c), 1);
	canp_compare_fini(&c);
	add_result(&c, 0, "read_bw_bytes", v, 5, 1000000, "");
	add_result(&c, 1, "read_bw_bytes", w, 5, 2000000, "");
	canp_compare_judge(&c, &normal);
	assert_int_equal(c.row[0].verdict, CANP_COMPARE_SEQUENTIAL);
	assert_int_equal(canp_compare_exit(&c), 1);
	sequential.sequential = true;
	canp_compare_judge(&c, &sequential);
	assert_int_equal(c.row[0].verdict, CANP_COMPARE_REGRESSED);
	assert_int_equal(canp_compare_exit(&c), 3);
	canp_compare_fini(&c);
}

static void a_job_that_one_side_lacks_is_an_error(void **state)
{
	static const double v[] = {100, 101, 99, 100, 100};
	struct canp_compare c = {0};

	(void)state;
	add_result(&c, 0, "read_bw_bytes", v, 5, 1000000, "");
	canp_compare_judge(&c, &normal);
	assert_int_equal(c.row[0].verdict, CANP_COMPARE_MISSING);
	assert_int_equal(canp_compare_exit(&c), 1);
	canp_compare_fini(&c);
	/* Nothing at all is no success. */
	assert_int_equal(canp_compare_exit(&c), 1);
}

static void latencies_are_shown_and_judged_only_on_request(void **state)
{
	static const char *const want[] = {"lat_*"};
	struct canp_compare_opts o = normal;
	int status;

	(void)state;
	assert_int_equal(verdict("lat_p99_ns", 2, &normal, "", &status), CANP_COMPARE_SHOWN);
	assert_int_equal(status, 1);
	o.metric = want;
	o.nr_metrics = 1;
	assert_int_equal(verdict("lat_p99_ns", 2, &o, "", &status), CANP_COMPARE_REGRESSED);
	assert_int_equal(status, 3);
}

static void results_of_fio_count_as_one_run_each(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_compare c = {0};
	char text[300];

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		snprintf(text, sizeof(text),
			 "{\"fio version\": \"fio-3.33\", \"timestamp_ms\": %u, \"jobs\": "
			 "[{\"jobname\": \"r\", \"read\": {\"bw_bytes\": %u}, \"write\": "
			 "{\"bw_bytes\": 0}}]}",
			 1000 + i, i % 2 ? 900 + i : 1000 + i);
		assert_int_equal(canp_compare_add(&c, i % 2, text, strlen(text), "fio.json", &err),
				 0);
	}
	canp_compare_judge(&c, &normal);
	assert_int_equal(c.nr, 1);
	assert_int_equal(c.row[0].verdict, CANP_COMPARE_REGRESSED);
	canp_compare_fini(&c);
	canp_strbuf_fini(&err);
}

static void files_that_are_no_results_are_refused_by_name(void **state)
{
	static const char *const bad[] = {"",
					  "{",
					  "[]",
					  "{\"jobs\": []}",
					  "{\"jobs\": [{}]}",
					  "{\"jobs\": [{\"jobname\": 3}]}",
					  "{\"jobs\": {}}"};

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++) {
		struct canp_strbuf err = CANP_STRBUF_INIT;
		struct canp_compare c = {0};

		assert_true(canp_compare_add(&c, 0, bad[i], strlen(bad[i]), "x.json", &err) < 0);
		assert_non_null(strstr(err.buf, "x.json: "));
		canp_compare_fini(&c);
		canp_strbuf_fini(&err);
	}
}

/* Figures that are no numbers, negative or not finite are no runs. */
static void odd_figures_are_left_out(void **state)
{
	static const char text[] =
		"{\"jobs\": [{\"jobname\": \"j\", \"samples\": [{\"read_bw_bytes\": \"7\"}, "
		"{\"read_bw_bytes\": -1}, {\"read_bw_bytes\": null}, 5, "
		"{\"read_bw_bytes\": 8}], \"noise_floor\": []}]}";
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_compare c = {0};

	(void)state;
	assert_int_equal(canp_compare_add(&c, 0, text, strlen(text), "x", &err), 0);
	assert_int_equal(c.nr, 1);
	assert_int_equal(c.row[0].n[0], 1);
	canp_compare_fini(&c);
	canp_strbuf_fini(&err);
}

static void the_report_is_text_and_json(void **state)
{
	static const double v[] = {100, 101, 99, 100.5, 100.2}, w[] = {90, 91, 89, 90.5, 90.2};
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 0);
	struct canp_compare c = {0};
	struct canp_json_doc *doc;
	const struct canp_json_val *f;

	(void)state;
	add_result(&c, 0, "read_bw_bytes", v, 5, 1000000, "");
	add_result(&c, 1, "read_bw_bytes", w, 5, 1001000, "");
	canp_compare_judge(&c, &normal);
	canp_compare_text(&c, &sb);
	assert_non_null(strstr(sb.buf, "regressed"));
	assert_non_null(strstr(sb.buf, "-9.98%"));
	canp_strbuf_reset(&sb);
	canp_compare_json(&c, &js);
	assert_int_equal(canp_json_parse(sb.buf, sb.len, 8, &doc, NULL), 0);
	assert_int_equal(canp_json_get(canp_json_root(doc), "exit")->i, 3);
	f = canp_json_get(canp_json_root(doc), "figures")->child;
	assert_string_equal(canp_json_get(f, "verdict")->str, "regressed");
	close_to(canp_json_get(f, "p")->num, 2.0 / 252);
	canp_json_doc_destroy(doc);
	canp_compare_fini(&c);
	canp_strbuf_fini(&sb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(medians_of_odd_even_and_unsorted_samples),
		cmocka_unit_test(mann_whitney_without_ties_is_that_of_scipy),
		cmocka_unit_test(mann_whitney_with_ties_counts_all_choices),
		cmocka_unit_test(mann_whitney_of_many_runs_is_the_normal_one_of_scipy),
		cmocka_unit_test(the_interval_holds_the_difference_and_is_the_same_each_time),
		cmocka_unit_test(noise_is_how_far_equal_runs_may_lie_apart),
		cmocka_unit_test(runs_that_take_turns_are_told_from_runs_that_do_not),
		cmocka_unit_test(a_slowdown_of_five_per_cent_is_a_regression),
		cmocka_unit_test(a_slowdown_of_two_per_cent_is_none),
		cmocka_unit_test(the_recorded_noise_floor_raises_the_bar),
		cmocka_unit_test(same_with_wide_noise_says_what_is_not_ruled_out),
		cmocka_unit_test(five_recorded_comparisons_of_equal_runs_stay_silent),
		cmocka_unit_test(four_runs_are_too_few_and_runs_in_sequence_do_not_count),
		cmocka_unit_test(a_job_that_one_side_lacks_is_an_error),
		cmocka_unit_test(latencies_are_shown_and_judged_only_on_request),
		cmocka_unit_test(results_of_fio_count_as_one_run_each),
		cmocka_unit_test(files_that_are_no_results_are_refused_by_name),
		cmocka_unit_test(odd_figures_are_left_out),
		cmocka_unit_test(the_report_is_text_and_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
