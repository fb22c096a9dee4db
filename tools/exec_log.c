/*
 * exec_log.c - times, limits and the job log, whose columns are those of GNU parallel: Seq Host
 * Starttime JobRuntime Send Receive Exitval Signal Command.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/units.h"
#include "tools/exec_job.h"

#define MEDIAN_MIN 3u /* run times before a limit in percent holds */
#define HALT_MIN   3u /* ends before a percentage halts */

int exec_time_parse(const char *text, uint64_t *ms, unsigned *percent)
{
	static const struct {
		const char *text;
		double ms;
	} unit[] = {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}};
	char *end;
	double v = strtod(text, &end);

	if (end == text || !(v >= 0) || v > 1e12)
		return -EINVAL;
	if (percent && !strcmp(end, "%")) {
		*percent = (unsigned)v;
		return v >= 1 && v <= 1e6 ? 0 : -EINVAL;
	}
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(unit); i++) {
		if (!strcmp(end, unit[i].text)) {
			*ms = (uint64_t)(v * unit[i].ms + 0.5);
			return 0;
		}
	}
	return -EINVAL;
}

int exec_halt_parse(const char *text, struct exec_halt *h)
{
	static const char *const what[] = {"never", "fail", "success", "done"};
	const char *p = text;
	char *end;

	memset(h, 0, sizeof(*h));
	if (!strcmp(p, "never") || !strcmp(p, "0") || !*p)
		return 0;
	/* The short forms of GNU parallel. */
	if (!strcmp(p, "1"))
		p = "soon,fail=1";
	if (!strcmp(p, "2"))
		p = "now,fail=1";
	if (!strncmp(p, "soon,", 5)) {
		p += 5;
	} else if (!strncmp(p, "now,", 4)) {
		h->now = true;
		p += 4;
	} else {
		return -EINVAL;
	}
	for (unsigned i = 1; i < CANP_ARRAY_SIZE(what); i++) {
		size_t n = strlen(what[i]);

		if (strncmp(p, what[i], n) || p[n] != '=' || !isdigit((unsigned char)p[n + 1]))
			continue;
		h->what = i;
		h->n = (unsigned)strtoul(p + n + 1, &end, 10);
		h->percent = *end == '%';
		return h->n && !end[h->percent] && (!h->percent || h->n <= 100) ? 0 : -EINVAL;
	}
	return -EINVAL;
}

int exec_jobs_parse(const char *text, unsigned cpus, unsigned *n)
{
	bool add = *text == '+', sub = *text == '-';
	const char *p = text + (add || sub);
	char *end;
	unsigned long v;

	*n = cpus;
	if (!*text)
		return 0;
	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	v = strtoul(p, &end, 10);
	if (v > EXEC_JOBS_MAX)
		return -EINVAL;
	if (!strcmp(end, "%"))
		*n = (unsigned)canp_max(cpus * v / 100, 1ul);
	else if (*end)
		return -EINVAL;
	else if (add)
		*n = cpus + (unsigned)v;
	else if (sub)
		*n = v < cpus ? cpus - (unsigned)v : 1;
	else
		*n = v ? (unsigned)v : EXEC_JOBS_MAX / 4;
	*n = canp_min(*n, EXEC_JOBS_MAX);
	return 0;
}

/* ---- the log ---- */

static int done_add(struct exec_run *r, uint64_t seq)
{
	uint64_t word = seq / 64;

	if (word >= r->nr_done) {
		uint64_t nr = canp_max(word + 1, 2 * r->nr_done);
		uint64_t *d = realloc(r->done, nr * sizeof(*d));

		if (!d)
			return -ENOMEM;
		memset(d + r->nr_done, 0, (nr - r->nr_done) * sizeof(*d));
		r->done = d;
		r->nr_done = nr;
	}
	r->done[word] |= 1ull << (seq % 64);
	return 0;
}

bool exec_log_has(const struct exec_run *r, uint64_t seq)
{
	return seq / 64 < r->nr_done && (r->done[seq / 64] >> (seq % 64) & 1);
}

/* A line that was cut off by a crash has no newline and does not count. */
static int log_line(struct exec_run *r, char *line)
{
	char *col[9], *save = line;
	unsigned n = 0;
	uint64_t seq;

	if (!strchr(line, '\n'))
		return 0;
	while (n < 9 && (col[n] = strsep(&save, "\t")) != NULL)
		n++;
	seq = n == 9 ? strtoull(col[0], NULL, 10) : 0;
	if (!seq || seq > 1ull << 32)
		return 0;
	if (r->cfg->resume_failed && (strcmp(col[6], "0") || strcmp(col[7], "0")))
		return 0;
	return done_add(r, seq);
}

static int log_read(struct exec_run *r)
{
	FILE *f = fopen(r->cfg->joblog, "re");
	char *line = NULL;
	size_t cap = 0;
	int rc = 0;

	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (!rc && getline(&line, &cap, f) > 0)
		rc = log_line(r, line);
	free(line);
	fclose(f);
	return rc;
}

int exec_log_open(struct exec_run *r)
{
	bool more = r->cfg->resume || r->cfg->resume_failed;
	int rc = 0;

	if (!r->cfg->joblog[0])
		return more ? -EINVAL : 0;
	if (more)
		rc = log_read(r);
	if (rc)
		return rc;
	r->joblog = fopen(r->cfg->joblog, more ? "a+e" : "we");
	if (!r->joblog)
		return -errno;
	if (fseek(r->joblog, 0, SEEK_END))
		return -errno;
	if (ftell(r->joblog) == 0)
		fputs("Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n",
		      r->joblog);
	return fflush(r->joblog) ? -errno : 0;
}

void exec_log_write(struct exec_run *r, const struct exec_job *j)
{
	const char *p = j->cmd.text.buf ? j->cmd.text.buf : "";

	if (!r->joblog)
		return;
	fprintf(r->joblog, "%llu\t:\t%.3f\t%10.3f\t0\t%llu\t%d\t%d\t", (unsigned long long)j->seq,
		j->start_s, j->run_s, (unsigned long long)j->out[0].total, j->exit_code, j->signal);
	for (; *p; p++) { /* a line stays a line */
		if (*p == '\n')
			fputs("\\n", r->joblog);
		else
			putc(*p, r->joblog);
	}
	putc('\n', r->joblog);
	/* Each line at once: the log is what a broken run is resumed from. */
	if (fflush(r->joblog)) {
		fprintf(stderr, "canp-exec: %s: %s\n", r->cfg->joblog, strerrordesc_np(errno));
		r->broken = true;
		r->stop = true;
	}
}

/* ---- halting ---- */

void exec_halt_check(struct exec_run *r, const struct exec_job *j)
{
	const struct exec_halt *h = &r->halt;
	bool ok = !j->exit_code && !j->signal, hit;
	uint64_t n = h->what == EXEC_HALT_FAIL      ? r->failed
		     : h->what == EXEC_HALT_SUCCESS ? r->succeeded
						    : r->ended;

	if (h->what == EXEC_HALT_NEVER || r->stop || (h->what == EXEC_HALT_FAIL && ok) ||
	    (h->what == EXEC_HALT_SUCCESS && !ok))
		return;
	hit = n >= h->n;
	if (h->percent) {
		/* Of all when their number is known, else of those that ended. */
		uint64_t all = r->total ? r->total : r->ended;

		hit = r->ended >= HALT_MIN && n * 100 >= (uint64_t)h->n * all;
	}
	if (!hit)
		return;
	r->stop = true;
	fprintf(stderr, "canp-exec: this job %s:\n%s\n", ok ? "succeeded" : "failed",
		j->cmd.text.buf ? j->cmd.text.buf : "");
	/* As GNU parallel: one job's status, the number of failures, or their percentage. */
	if (h->what == EXEC_HALT_SUCCESS)
		r->halt_exit = 0;
	else if (h->percent)
		r->halt_exit = (int)(r->failed * 100 / (r->total ? r->total : r->ended));
	else if (h->n > 1)
		r->halt_exit = (int)canp_min(r->failed, (uint64_t)101);
	else
		r->halt_exit = j->signal ? 128 + j->signal : j->exit_code & 255;
	if (h->now)
		r->killed = true;
}

/* ---- median ---- */

void exec_time_note(struct exec_run *r, double s)
{
	size_t lo = 0, hi = r->nr_times;

	if (!r->timeout_percent)
		return;
	if (r->nr_times == r->cap_times) {
		size_t cap = r->cap_times ? 2 * r->cap_times : 256;
		double *t = realloc(r->times, cap * sizeof(*t));

		if (!t)
			return;
		r->times = t;
		r->cap_times = cap;
	}
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (r->times[mid] < s)
			lo = mid + 1;
		else
			hi = mid;
	}
	memmove(&r->times[lo + 1], &r->times[lo], (r->nr_times - lo) * sizeof(*r->times));
	r->times[lo] = s;
	r->nr_times++;
}

double exec_median(const struct exec_run *r)
{
	return r->nr_times < MEDIAN_MIN ? 0 : r->times[r->nr_times / 2];
}
