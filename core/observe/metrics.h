/*
 * metrics.h - measurements as text that Prometheus and whatever speaks OpenMetrics understand, to a
 * buffer, to a file for the node exporter's textfile collector, or over a socket.
 *
 * There is no registry: whoever is asked writes its families one after the other into the writer,
 * straight from its counters. The writer keeps the rules of the format: names and their order,
 * escapes, `_total`, cumulative buckets with +Inf, `# EOF`. A caller that breaks them (a bad name,
 * a family twice, a sample without family) makes the whole text invalid, which finish reports;
 * nothing half right is ever served.
 *
 * Control plane: it allocates. One writer, one thread.
 */
#ifndef CANP_OBSERVE_METRICS_H
#define CANP_OBSERVE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/compiler.h"
#include "core/base/hist.h"
#include "core/base/strbuf.h"

CANP_BEGIN_DECLS

enum canp_metrics_format {
	CANP_METRICS_PROMETHEUS, /* text 0.0.4 */
	CANP_METRICS_OPENMETRICS /* 1.0.0 */
};

enum canp_metric_type { CANP_METRIC_COUNTER, CANP_METRIC_GAUGE, CANP_METRIC_HISTOGRAM };

#define CANP_METRICS_FAMILIES_MAX 512u

struct canp_metric_label {
	const char *name, *value; /* value: any UTF-8, escaped here */
};

struct canp_metrics {
	struct canp_strbuf *sb; /* borrowed */
	enum canp_metrics_format format;
	/* private to metrics.c */
	char family[128];
	enum canp_metric_type type;
	bool bad, finished;
	uint32_t nr_families;
	uint64_t hashes[CANP_METRICS_FAMILIES_MAX]; /* of names used, to find repetitions */
};

/* 4 KiB: not for small stacks. Appends to sb. */
void canp_metrics_init(struct canp_metrics *m, struct canp_strbuf *sb,
		       enum canp_metrics_format format);
/* Begins a family. name: [a-zA-Z_:][a-zA-Z0-9_:]*, with the unit at its end and without _total,
 * which counters get here. unit: "seconds", "bytes", or NULL. help: one sentence. */
void canp_metrics_family(struct canp_metrics *m, enum canp_metric_type type, const char *name,
			 const char *unit, const char *help);
/* A sample of the current family (counter or gauge). Label names: [a-zA-Z_][a-zA-Z0-9_]*. */
void canp_metrics_u64(struct canp_metrics *m, const struct canp_metric_label *labels, unsigned nr,
		      uint64_t value);
void canp_metrics_double(struct canp_metrics *m, const struct canp_metric_label *labels,
			 unsigned nr, double value);

/* Which buckets of a histogram are shown: upper bounds 2^from - 1, 2^(from + step) - 1, .. up to
 * 2^to - 1, all exact, each times scale (1e-9 for nanoseconds shown as seconds), then +Inf. They
 * depend on nothing measured, so they are the same in every scrape. */
struct canp_metrics_buckets {
	unsigned from, to, step; /* from <= to <= 63, 1 <= step */
	double scale;
};
/* A sample of the current family (histogram). */
void canp_metrics_hist(struct canp_metrics *m, const struct canp_metric_label *labels, unsigned nr,
		       const struct canp_hist *h, const struct canp_metrics_buckets *b);
/* Ends the text. -EINVAL: a rule was broken; -ENOMEM. */
int canp_metrics_finish(struct canp_metrics *m);

/* Puts text where path is, at once: a reader sees the old file or the new one. -errno. */
int canp_metrics_write_file(const char *path, const char *text, size_t len);

/* ---- server ---- */

struct canp_metrics_server;

struct canp_metrics_server_opts {
	/* "127.0.0.1:PORT", "[::1]:PORT" (0: any free port) or "unix:PATH". Other addresses are
	 * refused: what is measured is nobody else's business. */
	const char *address;
	/* Writes all families; init and finish are done by the server. On the server's thread. */
	void (*write)(void *arg, struct canp_metrics *m);
	/* For /healthz and /readyz: NULL (all well) or why not, a constant. May be NULL. */
	const char *(*health)(void *arg);
	const char *(*ready)(void *arg);
	void *arg;
	uint32_t timeout_ms; /* for a whole request; 0: 2000 */
};

/* Starts a thread that answers GET and HEAD of /metrics, /healthz and /readyz, one connection at a
 * time. A socket file left behind by a dead server is replaced, one that answers is not
 * (-EADDRINUSE). -EINVAL: address; -errno. */
int canp_metrics_server_start(const struct canp_metrics_server_opts *o,
			      struct canp_metrics_server **out);
/* Ends the thread and removes the socket file. NULL is allowed. */
void canp_metrics_server_stop(struct canp_metrics_server *s);
unsigned canp_metrics_server_port(const struct canp_metrics_server *s);     /* 0: unix socket */
uint64_t canp_metrics_server_requests(const struct canp_metrics_server *s); /* any thread */

CANP_END_DECLS

#endif
