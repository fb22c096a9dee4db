/*
 * bench_fio.c - fio as the yardstick of reading: the same files in the same order, through a ring
 * of its own with the slice, the depth and the registered buffers of the job, past the page cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/base/strbuf.h"
#include "numa/hugepage.h"
#include "tools/bench_job.h"

#define FIO_ANSWER_BYTES (1u << 20)
#define FIO_SHARE_MIN    0.8

static int fio_bad(struct canp_bench_run *run, const char *what)
{
	snprintf(run->error, sizeof(run->error), "fio: %s", what);
	return -EIO;
}

/* The files as one argument; a colon separates them, so those in names are escaped. */
static void fio_names(const struct canp_bench_data *d, struct canp_strbuf *sb)
{
	canp_strbuf_puts(sb, "--filename=");
	for (uint32_t i = 0; i < d->nr; i++) {
		if (i)
			canp_strbuf_putc(sb, ':');
		for (const char *p = d->paths[i]; *p; p++) {
			if (*p == ':' || *p == '\\')
				canp_strbuf_putc(sb, '\\');
			canp_strbuf_putc(sb, *p);
		}
	}
}

/* The reader's blocks lie in huge pages; those of fio have to, or the pages would be compared.
 * Reserved ones it takes by itself, and malloc asks for transparent ones when glibc is told so
 * (which gives it about half of a buffer, as that does not begin where a huge page does). */
static const char *fio_memory(const struct canp_bench_setup *s)
{
	uint64_t want = (uint64_t)s->job.slice_bytes * s->job.depth;
	struct canp_hugepage_host host;

	if (s->job.hugepages == CANP_HUGE_OFF)
		return "--iomem=malloc";
	canp_hugepage_host(&host);
	if (s->job.hugepages != CANP_HUGE_THP && host.free_2m > want >> 21)
		return "--iomem=shmhuge";
	setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1);
	return "--iomem=malloc";
}

static void fio_exec(const struct canp_bench_setup *s, char *names, int out)
{
	char bs[40], depth[40];
	const char *memory = fio_memory(s);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	snprintf(bs, sizeof(bs), "--bs=%u", s->job.slice_bytes);
	snprintf(depth, sizeof(depth), "--iodepth=%u", s->job.depth);
	dup2(null, 0);
	dup2(out, 1);
	dup2(null, 2);
	execlp("fio", "fio", "--name=read", "--rw=read", "--readonly", "--ioengine=io_uring",
	       "--direct=1", "--fixedbufs=1", "--file_service_type=sequential", "--openfiles=4", bs,
	       depth, memory, names, "--output-format=json", (char *)NULL);
	_exit(127);
}

/* Reads all that fio says; its length, 0 when it said too much. */
static size_t fio_answer(int fd, char *text)
{
	size_t len = 0;
	ssize_t n;

	while (len < FIO_ANSWER_BYTES && (n = read(fd, text + len, FIO_ANSWER_BYTES - len)) != 0) {
		if (n < 0 && errno != EINTR)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	return len < FIO_ANSWER_BYTES ? len : 0;
}

static int fio_parse(const struct canp_bench_data *d, const char *text, size_t len,
		     struct canp_bench_run *run)
{
	struct canp_json_doc *doc;
	const struct canp_json_val *job, *rd, *bytes, *ms, *usr, *sys;
	int rc = canp_json_parse(text, len, CANP_JSON_DEPTH_MAX, &doc, NULL);

	if (rc)
		return fio_bad(run, "its answer is not JSON");
	job = canp_json_get(canp_json_root(doc), "jobs");
	job = job ? job->child : NULL;
	rd = canp_json_get(job, "read");
	bytes = canp_json_get(rd, "io_bytes");
	ms = canp_json_get(rd, "runtime");
	usr = canp_json_get(job, "usr_cpu");
	sys = canp_json_get(job, "sys_cpu");
	if (!bytes || !ms || !usr || !sys || ms->num <= 0) {
		rc = fio_bad(run, "its answer lacks what was read");
	} else if (bytes->num < FIO_SHARE_MIN * (double)d->bytes) {
		rc = fio_bad(run, "it did not read all files; are they smaller than --slice?");
	} else {
		/* It leaves out the rest of a file that is no whole slice: at its rate it would
		 * have taken longer. */
		run->bytes_in = d->bytes;
		run->wall_s = ms->num / 1e3 * (double)d->bytes / bytes->num;
		run->cpu_s = (usr->num + sys->num) / 100 * run->wall_s;
		run->files = d->nr;
		run->cores = 1;
	}
	canp_json_doc_destroy(doc);
	return rc;
}

int canp_bench_run_fio(struct canp_bench_setup *s, struct canp_bench_run *run)
{
	struct canp_strbuf names = CANP_STRBUF_INIT;
	char *text = malloc(FIO_ANSWER_BYTES);
	int fd[2], status = 0, rc;
	size_t len = 0;
	pid_t pid;

	*run = (struct canp_bench_run){0};
	fio_names(&s->data, &names);
	if (!text || names.failed || pipe(fd)) {
		free(text);
		canp_strbuf_fini(&names);
		return fio_bad(run, "out of memory or descriptors");
	}
	canp_bench_data_drop_cache(&s->data);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		fio_exec(s, names.buf, fd[1]);
	close(fd[1]);
	if (pid > 0)
		len = fio_answer(fd[0], text);
	close(fd[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
		rc = fio_bad(run, WIFEXITED(status) && WEXITSTATUS(status) == 127
					  ? "not installed (apt install fio)"
					  : "it failed");
	else
		rc = fio_parse(&s->data, text, len, run);
	free(text);
	canp_strbuf_fini(&names);
	return rc;
}
