/*
 * exec_out.c - the output of jobs: kept in memory while it is small, in a file without a name when
 * it is not, and written when its turn has come.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "tools/exec_job.h"

static void out_failed(struct exec_run *r, const char *what)
{
	if (!r->broken)
		fprintf(stderr, "canp-exec: %s: %s\n", what, strerrordesc_np(errno));
	r->broken = true;
	r->stop = true;
	r->killed = true;
}

static bool write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static int spill_open(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir && *dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : memfd_create("canp-exec", MFD_CLOEXEC);
}

void exec_output_add(struct exec_run *r, struct exec_output *o, const void *data, size_t len)
{
	o->total += len;
	if (o->len + len > EXEC_SPILL_BYTES) {
		if (o->fd < 0)
			o->fd = spill_open();
		if (o->fd < 0 || !write_all(o->fd, o->buf, o->len) || !write_all(o->fd, data, len))
			out_failed(r, "temporary file");
		o->len = 0;
		return;
	}
	if (o->len + len > o->cap) {
		size_t cap = canp_max(o->len + len,
				      canp_min(2 * o->cap + 256, (size_t)EXEC_SPILL_BYTES));
		char *b = realloc(o->buf, cap);

		if (!b) {
			out_failed(r, "output");
			return;
		}
		o->buf = b;
		o->cap = cap;
	}
	memcpy(o->buf + o->len, data, len);
	o->len += len;
}

/* With a tag every line is a write of its own piece; without, it goes as it is. */
static bool put(struct exec_output *o, int fd, const char *tag, const char *p, size_t len)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	bool ok;

	if (!tag)
		return write_all(fd, p, len);
	while (len) {
		const char *nl = memchr(p, '\n', len);
		size_t n = nl ? (size_t)(nl - p) + 1 : len;

		if (!o->mid_line)
			canp_strbuf_puts(&sb, tag);
		o->mid_line = nl == NULL;
		canp_strbuf_add(&sb, p, n);
		p += n;
		len -= n;
	}
	ok = !sb.failed && write_all(fd, sb.buf, sb.len);
	canp_strbuf_fini(&sb);
	return ok;
}

static bool flush_file(struct exec_output *o, int fd, const char *tag)
{
	static char buf[65536];
	ssize_t n;

	if (o->fd < 0)
		return true;
	if (lseek(o->fd, 0, SEEK_SET) < 0)
		return false;
	while ((n = read(o->fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || !put(o, fd, tag, buf, (size_t)n))
			return false;
	}
	/* What comes next begins anew. */
	return ftruncate(o->fd, 0) == 0 && lseek(o->fd, 0, SEEK_SET) == 0;
}

void exec_output_flush(struct exec_run *r, struct exec_output *o, int fd, const char *tag,
		       bool lines_only)
{
	size_t n = o->len;

	if (!flush_file(o, fd, tag))
		out_failed(r, "write");
	while (lines_only && n && o->buf[n - 1] != '\n')
		n--;
	if (n && !put(o, fd, tag, o->buf, n))
		out_failed(r, "write");
	o->len -= n;
	if (o->len)
		memmove(o->buf, o->buf + n, o->len);
}

void exec_output_reset(struct exec_output *o)
{
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
	o->len = 0;
	o->total = 0;
	o->mid_line = false;
}

void exec_output_fini(struct exec_output *o)
{
	exec_output_reset(o);
	free(o->buf);
	o->buf = NULL;
	o->cap = 0;
}

/* ---- results ---- */

/* An argument as the name of a folder: no slash, no control character, not empty. */
static void put_name(struct canp_strbuf *sb, const char *arg)
{
	if (!*arg || !strcmp(arg, ".") || !strcmp(arg, ".."))
		canp_strbuf_puts(sb, "\\0");
	for (; *arg; arg++) {
		switch (*arg) {
		case '/':
			canp_strbuf_puts(sb, "\\_");
			break;
		case '\\':
			canp_strbuf_puts(sb, "\\\\");
			break;
		case '\t':
			canp_strbuf_puts(sb, "\\t");
			break;
		case '\n':
			canp_strbuf_puts(sb, "\\n");
			break;
		default:
			canp_strbuf_putc(sb, *arg);
		}
	}
}

static int make_dirs(char *path)
{
	for (char *p = path + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = 0;
		if (mkdir(path, 0777) && errno != EEXIST)
			return -errno;
		*p = c;
		if (!c)
			return 0;
	}
}

static int result_file(struct exec_run *r, const char *dir, const char *name, struct exec_output *o,
		       uint64_t seq)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	char text[32];
	int fd;

	canp_strbuf_printf(&sb, "%s/%s", dir, name);
	fd = sb.failed ? -1 : open(sb.buf, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	canp_strbuf_fini(&sb);
	if (fd < 0)
		return -errno;
	if (o)
		exec_output_flush(r, o, fd, NULL, false);
	else if (!write_all(fd, text,
			    (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)seq)))
		out_failed(r, "results");
	return close(fd) ? -errno : 0;
}

int exec_results(struct exec_run *r, struct exec_job *j)
{
	struct canp_strbuf dir = CANP_STRBUF_INIT;
	int rc;

	canp_strbuf_puts(&dir, r->cfg->results);
	for (unsigned i = 0; i < j->args.nr; i++) {
		canp_strbuf_printf(&dir, "/%u/", i + 1);
		put_name(&dir, j->args.v[i]);
	}
	rc = dir.failed ? -ENOMEM : make_dirs(dir.buf);
	if (!rc)
		rc = result_file(r, dir.buf, "seq", NULL, j->seq);
	if (!rc)
		rc = result_file(r, dir.buf, "stdout", &j->out[0], 0);
	if (!rc)
		rc = result_file(r, dir.buf, "stderr", &j->out[1], 0);
	if (rc) {
		errno = -rc;
		out_failed(r, r->cfg->results);
	}
	canp_strbuf_fini(&dir);
	return rc;
}

/* ---- progress ---- */

void exec_bar(struct exec_run *r, bool last)
{
	uint64_t now = canp_clock_ns(), ended = r->ended + r->skipped;
	double per = r->ended ? (double)(now - r->begin_ns) / (double)r->ended : 0;
	uint64_t all = exec_args_total(&r->args), left;
	char bar[41];
	unsigned full;

	if ((!r->cfg->bar && !r->cfg->eta) || (!last && now - r->bar_ns < 100000000))
		return;
	r->bar_ns = now;
	r->bar_shown = true;
	left = all > ended ? all - ended : 0;
	full = all ? (unsigned)canp_min(ended * 40 / all, (uint64_t)40) : 0;
	memset(bar, ' ', 40);
	memset(bar, '#', full);
	bar[40] = 0;
	fprintf(stderr, "\r%3u%% %llu:%llu", all ? (unsigned)(ended * 100 / all) : 0,
		(unsigned long long)ended, (unsigned long long)left);
	if (r->cfg->bar)
		fprintf(stderr, " [%s]", bar);
	fprintf(stderr, " ETA %.0fs, %u running, %llu failed ", per * (double)left / 1e9,
		r->nr_running, (unsigned long long)r->failed);
	if (last)
		fputc('\n', stderr);
}
