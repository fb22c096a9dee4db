/*
 * bench_data.c - the logs that `canp-bench job` works on: made by the generator of canp-gen and
 * kept for the next time, or given.
 *
 *   <bench-dir>/<what the logs are like>/log_00000.canp ..   data.dbc   canp-bench.mark
 *
 * The mark is written last and holds the checksum of everything, so that half-made or changed logs
 * are never measured: they are made again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/units.h"
#include "io/format/format.h"
#include "io/outdir.h"
#include "io/source/dirscan.h"
#include "simd/simd.h"
#include "tools/bench_job.h"
#include "tools/gen_make.h"
#include "tools/toolmain.h"

#define DATA_MARK  "canp-bench.mark"
#define DATA_ALIGN (2u << 20)

static int data_fail(const char *what, int err)
{
	fprintf(stderr, "canp-bench job: %s: %s\n", what, canp_strerror(err));
	return CANP_EXIT_FATAL;
}

/* ---- checksum -------------------------------------------------------------------------------- */

static int sum_file(const char *path, uint32_t *sum, uint64_t *bytes)
{
	static uint8_t buf[1 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		*sum = canp_simd.crc32(*sum, buf, (size_t)n);
		*bytes += (uint64_t)n;
	}
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

static int data_sum(struct canp_bench_data *d)
{
	uint64_t dbc_bytes = 0;
	int rc = 0;

	d->checksum = 0;
	d->bytes = 0;
	for (uint32_t i = 0; !rc && i < d->nr; i++)
		rc = sum_file(d->paths[i], &d->checksum, &d->bytes);
	return !rc && d->dbc[0] ? sum_file(d->dbc, &d->checksum, &dbc_bytes) : rc;
}

/* ---- the listing ----------------------------------------------------------------------------- */

static int data_scan(struct canp_bench_data *d, const struct canp_dirscan_opts *opts)
{
	struct canp_dirscan *scan;
	int rc = canp_dirscan_create(opts, &scan);

	if (rc)
		return rc;
	d->paths = calloc(scan->nr_files + 1, sizeof(*d->paths));
	for (size_t i = 0; d->paths && i < scan->nr_files; i++) {
		if (scan->files[i].err || !scan->files[i].size)
			continue;
		d->paths[d->nr] = strdup(scan->files[i].path);
		rc = d->paths[d->nr++] ? rc : -ENOMEM;
	}
	rc = d->paths ? rc : -ENOMEM;
	canp_dirscan_destroy(scan);
	return rc;
}

int canp_bench_data_list(struct canp_bench_data *d, const struct canp_job_opts *opts)
{
	int rc =
		data_scan(d, &(struct canp_dirscan_opts){.args = opts->inputs,
							 .nr_args = opts->nr_inputs,
							 .include = opts->globs,
							 .nr_include = opts->nr_globs,
							 .follow_symlinks = opts->follow_symlinks});

	rc = rc ? rc : data_sum(d);
	if (rc)
		return data_fail("cannot read the inputs", rc);
	return d->nr ? CANP_EXIT_OK : data_fail("no logs in the inputs", ENOENT);
}

/* ---- made logs ------------------------------------------------------------------------------- */

static void data_names(struct canp_bench_data *d, const struct canp_gen_log_cfg *log,
		       unsigned files, const char *dir)
{
	static const char *const container[] = {"canp", "blf", "candump"};

	snprintf(d->folder, sizeof(d->folder),
		 "%.600s/%s%s-%s-%ux%llu-seed%llu-ids%u-m%llu-b%u-l%u-%.40s", dir,
		 container[log->container], log->gz ? ".gz" : "",
		 log->workload == CANP_CFG_GEN_SPARSE ? "sparse" : "dense", files,
		 (unsigned long long)log->size, (unsigned long long)log->seed, log->ids,
		 (unsigned long long)log->member_bytes, log->body_frames, log->level, log->start);
	snprintf(d->dbc, sizeof(d->dbc), "%s/data.dbc", d->folder);
}

/* The logs of the folder, without what lies beside them. */
static int made_list(struct canp_bench_data *d)
{
	static const char *const include[] = {"log_*"};
	const char *arg = d->folder;

	return data_scan(d,
			 &(struct canp_dirscan_opts){
				 .args = &arg, .nr_args = 1, .include = include, .nr_include = 1});
}

static void data_forget(struct canp_bench_data *d)
{
	for (uint32_t i = 0; i < d->nr; i++)
		free(d->paths[i]);
	free(d->paths);
	d->paths = NULL;
	d->nr = 0;
}

/* Are the logs there as they were made? */
static bool made_is_there(struct canp_bench_data *d, unsigned files)
{
	char path[1100], text[64] = "", want[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/" DATA_MARK, d->folder);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	if (made_list(d) == 0 && d->nr == files && data_sum(d) == 0) {
		snprintf(want, sizeof(want), "crc32 %08x\n", d->checksum);
		if (!strcmp(text, want))
			return true;
		fprintf(stderr, "canp-bench job: %s was changed; making it again\n", d->folder);
	}
	data_forget(d);
	return false;
}

/* At most a quarter of what is free. */
static int made_fits(const char *dir, uint64_t need)
{
	struct statvfs fs;
	uint64_t room;
	char a[32], b[32];

	if (statvfs(dir, &fs))
		return data_fail(dir, -errno);
	room = (uint64_t)fs.f_bavail * fs.f_frsize / 4;
	if (need <= room)
		return CANP_EXIT_OK;
	fprintf(stderr,
		"canp-bench job: the logs would take %s, a quarter of the free space of %s is %s; "
		"make fewer (--files, --size) or use another place (--bench-dir)\n",
		canp_tool_bytes((double)need, a), dir, canp_tool_bytes((double)room, b));
	return CANP_EXIT_FATAL;
}

static int made_mark(const struct canp_bench_data *d)
{
	char text[64];
	int fd = open(d->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc, n;

	if (fd < 0)
		return -errno;
	n = snprintf(text, sizeof(text), "crc32 %08x\n", d->checksum);
	rc = canp_outdir_write(fd, DATA_MARK, text, (size_t)n);
	/* The pages of the logs must be clean, or they could not be dropped before a run. */
	syncfs(fd);
	close(fd);
	return rc;
}

int canp_bench_data_make(struct canp_bench_data *d, const struct canp_gen_log_cfg *log,
			 unsigned files, const char *dir)
{
	char path[1100], a[32];
	uint64_t frames;
	int rc;

	rc = canp_outdir_make(dir);
	if (rc)
		return data_fail(dir, rc);
	d->made = true;
	data_names(d, log, files, dir);
	d->reused = made_is_there(d, files);
	if (d->reused)
		return CANP_EXIT_OK;
	rc = made_fits(dir, log->size * files);
	if (rc)
		return rc;
	fprintf(stderr, "canp-bench job: making %u logs, %s, in %s\n", files,
		canp_tool_bytes((double)log->size * files, a), d->folder);
	snprintf(path, sizeof(path), "%s/" DATA_MARK, d->folder);
	if (unlink(path) && errno != ENOENT)
		return data_fail(path, -errno);
	rc = canp_outdir_make(d->folder);
	if (rc)
		return data_fail(d->folder, rc);
	rc = canp_gen_make(log, files, d->dbc, d->folder, &frames, NULL);
	if (rc)
		return rc;
	rc = made_list(d);
	rc = rc ? rc : data_sum(d);
	rc = rc ? rc : made_mark(d);
	return rc ? data_fail(d->folder, rc) : CANP_EXIT_OK;
}

/* ---- in memory ------------------------------------------------------------------------------- */

static int load_file(const char *path, uint8_t *p, uint64_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t got = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (got < bytes && (n = read(fd, p + got, bytes - got)) > 0)
		got += (uint64_t)n;
	n = n < 0 ? -errno : got < bytes ? -ENODATA : 0;
	close(fd);
	return (int)n;
}

static uint64_t file_room(uint64_t bytes)
{
	return canp_align_up(bytes + CANP_FORMAT_TAIL_PAD, 4096UL);
}

int canp_bench_data_load(struct canp_bench_data *d)
{
	uint64_t *bytes = calloc(d->nr, sizeof(*bytes)), at = 0;
	int rc = bytes ? 0 : -ENOMEM;

	d->files = calloc(d->nr, sizeof(*d->files));
	rc = d->files ? rc : -ENOMEM;
	for (uint32_t i = 0; !rc && i < d->nr; i++) {
		FILE *f = fopen(d->paths[i], "rb");

		if (!f || fseeko(f, 0, SEEK_END))
			rc = -errno;
		else
			bytes[i] = (uint64_t)ftello(f);
		if (f)
			fclose(f);
		d->map_bytes += file_room(bytes[i]);
	}
	if (!rc) {
		d->map = mmap(NULL, d->map_bytes + DATA_ALIGN, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		d->map_bytes += DATA_ALIGN;
	}
	if (!rc && d->map == MAP_FAILED) {
		d->map = NULL;
		rc = -ENOMEM;
	}
	/* Few large pages: each run is a fork, and reading should cost what reading memory costs.
	 */
	if (!rc)
		madvise(d->map, d->map_bytes, MADV_HUGEPAGE);
	for (uint32_t i = 0; !rc && i < d->nr; i++) {
		uint8_t *p = (uint8_t *)d->map + at;

		rc = load_file(d->paths[i], p, bytes[i]);
		d->files[i] = (struct canp_stage_file){p, bytes[i]};
		at += file_room(bytes[i]);
	}
	free(bytes);
	return rc;
}

void canp_bench_data_drop_cache(const struct canp_bench_data *d)
{
	for (uint32_t i = 0; i < d->nr; i++) {
		int fd = open(d->paths[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
}

void canp_bench_data_fini(struct canp_bench_data *d)
{
	data_forget(d);
	free(d->files);
	if (d->map)
		munmap(d->map, d->map_bytes);
	d->files = NULL;
	d->map = NULL;
}
