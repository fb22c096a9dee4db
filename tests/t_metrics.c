/*
 * t_metrics.c - the text formats against exact texts and, where they are installed, against the
 * parsers of Prometheus; files that appear at once; the server.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/observe/metrics.h"

static struct canp_hist hist;
static struct canp_metrics m;

static const struct canp_metrics_buckets ns_buckets = {
	.from = 10, .to = 34, .step = 4, .scale = 1e-9};

static void write_all_families(void *arg, struct canp_metrics *out)
{
	const struct canp_metric_label odd[] = {{"path", "a\"b\\c\nd"}, {"shard", "0"}};

	(void)arg;
	canp_metrics_family(out, CANP_METRIC_COUNTER, "canp_frames", NULL, "Frames \"decoded\".");
	canp_metrics_u64(out, odd, 2, 18446744073709551615ULL);
	canp_metrics_u64(out, &(struct canp_metric_label){"shard", "1"}, 1, 7);
	canp_metrics_family(out, CANP_METRIC_GAUGE, "canp_rss_bytes", "bytes", "Resident\nmemory.");
	canp_metrics_double(out, NULL, 0, 0.1);
	canp_metrics_family(out, CANP_METRIC_HISTOGRAM, "canp_turn_seconds", "seconds",
			    "Turns of a reactor.");
	canp_metrics_hist(out, odd + 1, 1, &hist, &ns_buckets);
}

static void fill_hist(void)
{
	canp_hist_init(&hist);
	for (uint64_t v = 1; v < 1ULL << 36; v = v * 3 + 1)
		canp_hist_add(&hist, v);
	canp_hist_add(&hist, (1 << 10) - 1); /* the edge belongs to its bucket, */
	canp_hist_add(&hist, 1 << 10);       /* the next value does not */
}

static char *text_of(enum canp_metrics_format format)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;

	canp_metrics_init(&m, &sb, format);
	write_all_families(NULL, &m);
	assert_int_equal(canp_metrics_finish(&m), 0);
	return sb.buf;
}

static void G18_openmetrics_text_is_exact(void **state)
{
	char *text;

	(void)state;
	fill_hist();
	text = text_of(CANP_METRICS_OPENMETRICS);
	assert_non_null(strstr(text, "# TYPE canp_frames counter\n"
				     "# HELP canp_frames Frames \\\"decoded\\\".\n"
				     "canp_frames_total{path=\"a\\\"b\\\\c\\nd\",shard=\"0\"} "
				     "18446744073709551615\n"
				     "canp_frames_total{shard=\"1\"} 7\n"
				     "# TYPE canp_rss_bytes gauge\n"
				     "# UNIT canp_rss_bytes bytes\n"
				     "# HELP canp_rss_bytes Resident\\nmemory.\n"
				     "canp_rss_bytes 0.1\n"
				     "# TYPE canp_turn_seconds histogram\n"));
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	free(text);
}

static void G18_prometheus_text_names_the_family_with_total(void **state)
{
	char *text;

	(void)state;
	fill_hist();
	text = text_of(CANP_METRICS_PROMETHEUS);
	assert_non_null(strstr(text, "# TYPE canp_frames_total counter\n"
				     "# HELP canp_frames_total Frames \"decoded\".\n"
				     "canp_frames_total{"));
	assert_null(strstr(text, "# UNIT"));
	assert_null(strstr(text, "# EOF"));
	free(text);
}

/* The buckets of the text against the values themselves. */
static void G19_buckets_are_cumulative_and_exact(void **state)
{
	char *text, *p;
	unsigned seen = 0;

	(void)state;
	fill_hist();
	text = text_of(CANP_METRICS_OPENMETRICS);
	p = text;
	while ((p = strstr(p, "le=\""))) {
		double le = strtod(p + 4, &p);
		uint64_t count = strtoull(strchr(p, ' '), NULL, 10), want = 0;

		for (uint64_t v = 1; v < 1ULL << 36; v = v * 3 + 1)
			want += (double)v * 1e-9 <= le;
		want += 1023e-9 <= le;
		want += 1024e-9 <= le;
		assert_int_equal(count, want);
		seen++;
	}
	assert_int_equal(seen, (34 - 10) / 4 + 2);
	p = strstr(text, "canp_turn_seconds_count{shard=\"0\"} ");
	assert_non_null(p);
	assert_int_equal(strtoull(strchr(p, ' '), NULL, 10), hist.count);
	p = strstr(text, "canp_turn_seconds_sum{shard=\"0\"} ");
	assert_non_null(p);
	assert_true(fabs(strtod(strchr(p, ' '), NULL) - (double)hist.sum * 1e-9) < 1e-6);
	assert_non_null(strstr(text, "le=\"+Inf\"} "));
	free(text);
}

static int finish_with(void (*write)(struct canp_metrics *m))
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	int err;

	canp_metrics_init(&m, &sb, CANP_METRICS_OPENMETRICS);
	write(&m);
	err = canp_metrics_finish(&m);
	canp_strbuf_fini(&sb);
	return err;
}

static void bad_name(struct canp_metrics *o)
{
	canp_metrics_family(o, CANP_METRIC_GAUGE, "1abc", NULL, "x");
}

static void bad_total(struct canp_metrics *o)
{
	canp_metrics_family(o, CANP_METRIC_COUNTER, "abc_total", NULL, "x");
}

static void bad_unit(struct canp_metrics *o)
{
	canp_metrics_family(o, CANP_METRIC_GAUGE, "abc", "bytes", "x");
}

static void bad_twice(struct canp_metrics *o)
{
	canp_metrics_family(o, CANP_METRIC_GAUGE, "abc", NULL, "x");
	canp_metrics_family(o, CANP_METRIC_GAUGE, "b", NULL, "x");
	canp_metrics_family(o, CANP_METRIC_GAUGE, "abc", NULL, "x");
}

static void bad_label(struct canp_metrics *o)
{
	canp_metrics_family(o, CANP_METRIC_GAUGE, "abc", NULL, "x");
	canp_metrics_u64(o, &(struct canp_metric_label){"a-b", "x"}, 1, 1);
}

static void bad_orphan(struct canp_metrics *o)
{
	canp_metrics_u64(o, NULL, 0, 1);
}

static void bad_counter(struct canp_metrics *o)
{
	canp_metrics_family(o, CANP_METRIC_COUNTER, "abc", NULL, "x");
	canp_metrics_double(o, NULL, 0, -1);
}

static void bad_kind(struct canp_metrics *o)
{
	canp_metrics_family(o, CANP_METRIC_HISTOGRAM, "abc", NULL, "x");
	canp_metrics_u64(o, NULL, 0, 1);
}

static void G18_texts_that_break_a_rule_are_refused(void **state)
{
	static void (*const bad[])(struct canp_metrics *) = {bad_name,    bad_total, bad_unit,
							     bad_twice,   bad_label, bad_orphan,
							     bad_counter, bad_kind};

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++)
		assert_int_equal(finish_with(bad[i]), -EINVAL);
}

/* Feeds text to a command; its exit status. */
static int pipe_to(const char *cmd, const char *text)
{
	FILE *f = popen(cmd, "w");

	assert_non_null(f);
	fputs(text, f);
	return pclose(f);
}

static void G18_promtool_accepts_the_text(void **state)
{
	char *text;

	(void)state;
	if (system("command -v promtool >/dev/null 2>&1")) {
		print_message("no promtool here (Debian: prometheus)\n");
		skip();
	}
	fill_hist();
	text = text_of(CANP_METRICS_PROMETHEUS);
	assert_int_equal(pipe_to("promtool check metrics >&2", text), 0);
	free(text);
	/* It does look: */
	assert_int_not_equal(pipe_to("promtool check metrics >/dev/null 2>&1", "a{b} 1\n"), 0);
}

static void G18_a_strict_openmetrics_parser_accepts_the_text(void **state)
{
	static const char cmd[] =
		"/usr/bin/python3 -c '\n"
		"import sys\n"
		"from prometheus_client.openmetrics.parser import text_string_to_metric_families\n"
		"f = {x.name: x for x in text_string_to_metric_families(sys.stdin.read())}\n"
		"assert sorted(f) == [\"canp_frames\", \"canp_rss_bytes\", \"canp_turn_seconds\"]\n"
		"assert f[\"canp_frames\"].samples[0].labels[\"path\"] == \"a\\\"b\\\\c\\nd\"\n"
		"assert f[\"canp_rss_bytes\"].unit == \"bytes\"\n"
		"assert f[\"canp_turn_seconds\"].type == \"histogram\"\n'";
	char *text;

	(void)state;
	if (system("/usr/bin/python3 -c 'import prometheus_client' 2>/dev/null")) {
		print_message("no python3-prometheus-client here\n");
		skip();
	}
	fill_hist();
	text = text_of(CANP_METRICS_OPENMETRICS);
	assert_int_equal(pipe_to(cmd, text), 0);
	free(text);
}

static void G18_a_file_appears_whole_or_not_at_all(void **state)
{
	char dir[] = "/tmp/t_metrics.XXXXXX", path[64], text[64] = "";
	struct dirent *e;
	unsigned files = 0;
	DIR *d;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/canp.prom", dir);
	assert_int_equal(canp_metrics_write_file(path, "old and longer\n", 15), 0);
	assert_int_equal(canp_metrics_write_file(path, "new\n", 4), 0);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fread(text, 1, sizeof(text), f), 4);
	fclose(f);
	assert_memory_equal(text, "new\n", 4);
	d = opendir(dir);
	assert_non_null(d);
	while ((e = readdir(d)))
		files += e->d_name[0] != '.';
	closedir(d);
	assert_int_equal(files, 1);
	/* A folder in the way: an error, and no temporary file stays. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_true(canp_metrics_write_file(path, "x", 1) < 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(canp_metrics_write_file("/nonexistent/x.prom", "x", 1), -ENOENT);
}

/* ---- server ---- */

static const char *not_ready;

static const char *ready(void *arg)
{
	(void)arg;
	return not_ready;
}

static int connect_tcp(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static char reply[65536];

/* Sends a request, reads until the server closes; closes fd. */
static void ask(int fd, const char *request)
{
	size_t len = 0;
	ssize_t n;

	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	while ((n = recv(fd, reply + len, sizeof(reply) - 1 - len, 0)) > 0)
		len += (size_t)n;
	reply[len] = 0;
	close(fd);
}

static void assert_starts(const char *want)
{
	assert_int_equal(strncmp(reply, want, strlen(want)), 0);
}

static void G18_the_server_answers_scrapes_in_both_formats(void **state)
{
	struct canp_metrics_server_opts o = {.address = "127.0.0.1:0", .write = write_all_families};
	struct canp_metrics_server *s;
	unsigned port;

	(void)state;
	fill_hist();
	assert_int_equal(canp_metrics_server_start(&o, &s), 0);
	port = canp_metrics_server_port(s);
	assert_true(port > 0);
	ask(connect_tcp(port), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_starts("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4");
	assert_non_null(strstr(reply, "# TYPE canp_frames_total counter\n"));
	ask(connect_tcp(port), "GET /metrics?x=1 HTTP/1.1\r\n"
			       "Accept: application/openmetrics-text;version=1.0.0\r\n\r\n");
	assert_starts("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; "
		      "version=1.0.0; charset=utf-8\r\n");
	assert_string_equal(reply + strlen(reply) - 6, "# EOF\n");
	ask(connect_tcp(port), "HEAD /metrics HTTP/1.0\r\n\r\n");
	assert_starts("HTTP/1.1 200 OK");
	assert_string_equal(strstr(reply, "\r\n\r\n"), "\r\n\r\n");
	ask(connect_tcp(port), "POST /metrics HTTP/1.1\r\n\r\n");
	assert_starts("HTTP/1.1 405 ");
	ask(connect_tcp(port), "GET /etc/passwd HTTP/1.1\r\n\r\n");
	assert_starts("HTTP/1.1 404 ");
	ask(connect_tcp(port), "nonsense\r\n\r\n");
	assert_starts("HTTP/1.1 400 ");
	assert_int_equal(canp_metrics_server_requests(s), 6);
	canp_metrics_server_stop(s);
}

static void G22_health_and_readiness_have_their_own_answers(void **state)
{
	struct canp_metrics_server_opts o = {
		.address = "[::1]:0", .write = write_all_families, .ready = ready};
	struct canp_metrics_server *s;

	(void)state;
	if (canp_metrics_server_start(&o, &s)) {
		o.address = "127.1.2.3:0";
		assert_int_equal(canp_metrics_server_start(&o, &s), 0);
	}
	canp_metrics_server_stop(s);
	o.address = "127.0.0.1:0";
	not_ready = "still starting";
	assert_int_equal(canp_metrics_server_start(&o, &s), 0);
	ask(connect_tcp(canp_metrics_server_port(s)), "GET /healthz HTTP/1.1\r\n\r\n");
	assert_starts("HTTP/1.1 200 ");
	ask(connect_tcp(canp_metrics_server_port(s)), "GET /readyz HTTP/1.1\r\n\r\n");
	assert_starts("HTTP/1.1 503 ");
	assert_non_null(strstr(reply, "still starting"));
	canp_metrics_server_stop(s);
}

static void G18_the_server_listens_where_only_we_can_ask(void **state)
{
	static const char *const bad[] = {"0.0.0.0:0",   "192.168.1.1:80",  "[::]:0", "127.0.0.1",
					  "127.0.0.1:x", "127.0.0.1:70000", "unix:",  "x"};
	char dir[] = "/tmp/t_metrics.XXXXXX", path[64], address[80];
	struct canp_metrics_server_opts o = {.write = write_all_families};
	struct canp_metrics_server *s, *other;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++) {
		o.address = bad[i];
		assert_int_equal(canp_metrics_server_start(&o, &s), -EINVAL);
	}
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	snprintf(address, sizeof(address), "unix:%s", path);
	o.address = address;
	/* A dead server's socket file is in the way. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	fill_hist();
	assert_int_equal(canp_metrics_server_start(&o, &s), 0);
	assert_int_equal(canp_metrics_server_port(s), 0);
	assert_int_equal(canp_metrics_server_start(&o, &other), -EADDRINUSE);
	ask(connect_unix(path), "GET /metrics HTTP/1.1\r\n\r\n");
	assert_starts("HTTP/1.1 200 ");
	canp_metrics_server_stop(s);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rmdir(dir), 0);
}

static void G18_a_silent_client_does_not_hold_the_server(void **state)
{
	struct canp_metrics_server_opts o = {
		.address = "127.0.0.1:0", .write = write_all_families, .timeout_ms = 100};
	static char flood[20000];
	struct canp_metrics_server *s;
	int silent;

	(void)state;
	fill_hist();
	assert_int_equal(canp_metrics_server_start(&o, &s), 0);
	silent = connect_tcp(canp_metrics_server_port(s));
	ask(connect_tcp(canp_metrics_server_port(s)), "GET /metrics HTTP/1.1\r\n\r\n");
	assert_starts("HTTP/1.1 200 ");
	close(silent);
	/* A request without end is cut off; the next one is answered. */
	memset(flood, 'a', sizeof(flood) - 1);
	silent = connect_tcp(canp_metrics_server_port(s));
	send(silent, flood, sizeof(flood) - 1, MSG_NOSIGNAL);
	ask(connect_tcp(canp_metrics_server_port(s)), "GET /metrics HTTP/1.1\r\n\r\n");
	assert_starts("HTTP/1.1 200 ");
	close(silent);
	/* Stopping does not wait for a client either. */
	silent = connect_tcp(canp_metrics_server_port(s));
	canp_metrics_server_stop(s);
	close(silent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(G18_openmetrics_text_is_exact),
		cmocka_unit_test(G18_prometheus_text_names_the_family_with_total),
		cmocka_unit_test(G19_buckets_are_cumulative_and_exact),
		cmocka_unit_test(G18_texts_that_break_a_rule_are_refused),
		cmocka_unit_test(G18_promtool_accepts_the_text),
		cmocka_unit_test(G18_a_strict_openmetrics_parser_accepts_the_text),
		cmocka_unit_test(G18_a_file_appears_whole_or_not_at_all),
		cmocka_unit_test(G18_the_server_answers_scrapes_in_both_formats),
		cmocka_unit_test(G22_health_and_readiness_have_their_own_answers),
		cmocka_unit_test(G18_the_server_listens_where_only_we_can_ask),
		cmocka_unit_test(G18_a_silent_client_does_not_hold_the_server),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
