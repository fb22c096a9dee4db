/*
 * appliance_inspect.c - `canp-appliance inspect`: what is in a log, without databases and without
 * output. Files are mapped by plain reads and walked on this thread with the same walkers the job
 * uses; every frame goes to the raw slot, where ids and counts are taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/timeconv.h"
#include "core/base/units.h"
#include "io/source/dirscan.h"
#include "simd/simd.h"
#include "tools/appliance_cmd.h"

#define INSPECT_FAULTS_MAX 100u
#define INSPECT_SLICE      (1u << 20)
#define INSPECT_IDS        (1u << 17)

struct inspect {
	struct canp_plan *plan;
	struct canp_group *group;
	struct canp_format_opts fopts;
	void *group_mem, *walker_mem, *probe_mem;
	uint8_t *win;  /* STRADDLE + SLICE + pad */
	uint32_t *ids; /* open addressing, key + 1; bit 31 ext */
	uint32_t nr_ids;
	struct canp_devices *devices;
	/* of the file under way */
	struct canp_fault faults[INSPECT_FAULTS_MAX];
	uint64_t nr_faults;
	uint32_t device;
};

static void inspect_add_id(struct inspect *in, uint32_t key)
{
	uint32_t i = (key * 0x9e3779b1u) >> 15;

	while (in->ids[i & (INSPECT_IDS - 1)]) {
		if (in->ids[i & (INSPECT_IDS - 1)] == key + 1)
			return;
		i++;
	}
	if (in->nr_ids >= INSPECT_IDS / 2)
		return;
	in->ids[i & (INSPECT_IDS - 1)] = key + 1;
	in->nr_ids++;
}

/* Takes the ids out of raw records; both classes keep id and flags at the same distance. */
static void inspect_chunk(void *arg, unsigned slot, const struct canp_table *table,
			  const struct canp_chunk *chunk)
{
	struct inspect *in = arg;
	size_t head = table->cls == CANP_REC_F ? 8 : 16;

	if (slot != CANP_SLOT_RAW)
		return;
	for (unsigned i = 0; i < chunk->rows; i++) {
		const uint8_t *p = chunk->rec + (size_t)i * table->stride + head;

		inspect_add_id(in, (canp_le32(p) & 0x1fffffffu) |
					   (canp_le16(p + 6) & CANP_FF_EXT ? 1u << 31 : 0));
	}
}

static void inspect_fault(void *arg, const struct canp_fault *f)
{
	struct inspect *in = arg;

	if (in->nr_faults < INSPECT_FAULTS_MAX)
		in->faults[in->nr_faults] = *f;
	in->nr_faults++;
}

static uint32_t inspect_device(void *arg, const char *name, size_t len)
{
	struct inspect *in = arg;
	uint32_t d = canp_devices_add(in->devices, name, len);

	if (!in->device)
		in->device = d;
	return d;
}

static int inspect_init(struct inspect *in, const struct canp_job_cli *c, struct canp_strbuf *err)
{
	struct canp_plan_opts po = {.raw = true};
	int rc = canp_plan_create(&po, err, NULL, NULL, &in->plan);

	if (rc)
		return rc;
	in->fopts = c->job.format;
	in->group_mem = aligned_alloc(64, canp_align_up(canp_group_bytes(in->plan), 64UL));
	in->walker_mem = aligned_alloc(64, canp_align_up(canp_walker_bytes(), 64UL));
	in->probe_mem = aligned_alloc(64, canp_align_up(canp_format_probe_scratch(), 64UL));
	in->win = aligned_alloc(64, CANP_FORMAT_STRADDLE + INSPECT_SLICE + 4096);
	in->ids = calloc(INSPECT_IDS, sizeof(*in->ids));
	rc = canp_devices_create(&in->devices);
	if (rc || !in->group_mem || !in->walker_mem || !in->probe_mem || !in->win || !in->ids)
		return -ENOMEM;
	memset(in->group_mem, 0, canp_group_bytes(in->plan));
	return 0;
}

static void inspect_fini(struct inspect *in)
{
	free(in->group_mem);
	free(in->walker_mem);
	free(in->probe_mem);
	free(in->win);
	free(in->ids);
	canp_devices_destroy(in->devices);
	canp_plan_destroy(in->plan);
}

/* Reads on until the window is full or the file ends. */
static int inspect_fill(int fd, uint8_t *win, size_t *len, size_t cap, bool *eof)
{
	while (*len < cap && !*eof) {
		ssize_t n = read(fd, win + *len, cap - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		*eof = n == 0;
		*len += (size_t)n;
	}
	return 0;
}

static int inspect_walk(struct inspect *in, int fd, struct canp_walker *w, size_t len, bool eof)
{
	uint64_t base = 0;

	for (;;) {
		size_t used = 0;
		enum canp_walk res = canp_walker_walk(w, in->win, len, base, eof, &used);
		int rc;

		memmove(in->win, in->win + used, len - used);
		len -= used;
		base += used;
		if (res == CANP_WALK_STOP || (res == CANP_WALK_MORE && eof))
			return 0;
		if (res == CANP_WALK_PAUSED)
			continue;
		if (len > CANP_FORMAT_STRADDLE)
			return -EMSGSIZE;
		rc = inspect_fill(fd, in->win, &len, CANP_FORMAT_STRADDLE + INSPECT_SLICE, &eof);
		if (rc)
			return rc;
	}
}

static int inspect_open(struct inspect *in, const struct canp_input *f, struct canp_file_result *r)
{
	struct canp_format_host host = {
		.arg = in, .opts = &in->fopts, .fault = inspect_fault, .device = inspect_device};
	struct canp_walker *w;
	bool eof = false;
	size_t len = 0;
	int fd, rc = f->err;

	fd = rc ? -1 : open(f->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return rc ? rc : -errno;
	rc = inspect_fill(fd, in->win, &len, CANP_FORMAT_STRADDLE + INSPECT_SLICE, &eof);
	r->format = rc || !len ? NULL : canp_format_probe(in->win, len, in->probe_mem, &r->gz);
	if (r->format) {
		in->group = canp_group_init(in->group_mem, &(struct canp_group_opts){
								   .plan = in->plan,
								   .chunk = inspect_chunk,
								   .arg = in,
								   .from_ns = INT64_MIN,
								   .to_ns = INT64_MAX,
							   });
		host.group = in->group;
		canp_group_file_begin(in->group, 0);
		w = canp_walker_open(in->walker_mem, r->format, r->gz, &host, f->size);
		rc = inspect_walk(in, fd, w, len, eof);
		canp_walker_close(w, &r->stats);
		canp_group_flush(in->group);
		r->counts = *canp_group_counts(in->group);
		canp_group_fini(in->group);
	}
	close(fd);
	return rc;
}

static void inspect_json(struct canp_json *js, const struct inspect *in, const struct canp_input *f,
			 const struct canp_file_result *r, const char *fmt)
{
	canp_json_object(js);
	canp_json_kstr(js, "path", f->path);
	canp_json_kstr(js, "format", fmt);
	canp_json_ku64(js, "bytes", f->err ? 0 : f->size);
	canp_json_ku64(js, "frames", r->counts.frames);
	canp_json_ku64(js, "error_frames", r->counts.error_frames);
	canp_json_ku64(js, "remote_frames", r->counts.remote_frames);
	canp_json_ku64(js, "overload_frames", r->counts.overload_frames);
	canp_json_ku64(js, "gaps", r->counts.gaps);
	canp_json_ku64(js, "members", r->stats.members);
	canp_json_ku64(js, "ids", in->nr_ids);
	canp_json_kstr(js, "device", canp_devices_name(in->devices, in->device));
	canp_json_key(js, "first_ns");
	r->counts.frames ? canp_json_i64(js, r->counts.first_ns) : canp_json_null(js);
	canp_json_key(js, "last_ns");
	r->counts.frames ? canp_json_i64(js, r->counts.last_ns) : canp_json_null(js);
	if (r->err)
		canp_json_kstr(js, "error", canp_strerror(r->err));
	canp_json_key(js, "damage");
	canp_json_array(js);
	for (uint64_t i = 0; i < in->nr_faults && i < INSPECT_FAULTS_MAX; i++) {
		canp_json_object(js);
		canp_json_ku64(js, "offset", in->faults[i].offset);
		canp_json_ku64(js, "bytes", in->faults[i].bytes);
		canp_json_kstr(js, "reason", canp_fault_name(in->faults[i].code));
		canp_json_kstr(js, "detail", in->faults[i].detail);
		canp_json_end(js);
	}
	canp_json_end(js);
	canp_json_ku64(js, "damage_events", in->nr_faults);
	canp_json_end(js);
}

static void inspect_text(struct canp_strbuf *sb, const struct inspect *in,
			 const struct canp_input *f, const struct canp_file_result *r,
			 const char *fmt)
{
	char a[CANP_TIME_TEXT], b[CANP_TIME_TEXT];

	canp_strbuf_printf(sb, "%s\n", f->path);
	if (r->err || !r->format) {
		canp_strbuf_printf(sb, "  %s\n",
				   r->err    ? canp_strerror(r->err)
				   : f->size ? "no known log format"
					     : "empty file");
		return;
	}
	canp_strbuf_printf(sb, "  format %s, %llu bytes, %llu members, %llu bytes inflated\n", fmt,
			   (unsigned long long)f->size, (unsigned long long)r->stats.members,
			   (unsigned long long)r->stats.bytes_inflated);
	canp_strbuf_printf(
		sb, "  frames %llu (%llu error, %llu remote, %llu overload), %u ids%s%s\n",
		(unsigned long long)r->counts.frames, (unsigned long long)r->counts.error_frames,
		(unsigned long long)r->counts.remote_frames,
		(unsigned long long)r->counts.overload_frames, in->nr_ids,
		in->device ? ", device " : "", canp_devices_name(in->devices, in->device));
	if (r->counts.frames) {
		canp_time_format(r->counts.first_ns, a);
		canp_time_format(r->counts.last_ns, b);
		canp_strbuf_printf(sb, "  first %s, last %s\n", a, b);
	}
	for (uint64_t i = 0; i < in->nr_faults && i < 10; i++)
		canp_strbuf_printf(sb, "  damage at %llu: %s (%s)\n",
				   (unsigned long long)in->faults[i].offset,
				   canp_fault_text(in->faults[i].code), in->faults[i].detail);
	if (in->nr_faults > 10)
		canp_strbuf_printf(sb, "  and %llu more\n", (unsigned long long)in->nr_faults - 10);
}

static int inspect_files(struct inspect *in, const struct canp_dirscan *scan, bool json)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	int code = CANP_EXIT_OK;

	if (json) {
		canp_json_object(&js);
		canp_json_key(&js, "files");
		canp_json_array(&js);
	}
	for (size_t i = 0; i < scan->nr_files; i++) {
		struct canp_file_result r = {0};
		char fmt[32];

		in->nr_faults = 0;
		in->device = 0;
		memset(in->ids, 0, INSPECT_IDS * sizeof(*in->ids));
		in->nr_ids = 0;
		r.err = inspect_open(in, &scan->files[i], &r);
		snprintf(fmt, sizeof(fmt), "%s%s", r.format && r.gz ? "gz+" : "",
			 r.format ? r.format->name : "");
		if (r.err || in->nr_faults || !r.format)
			code = CANP_EXIT_DAMAGED;
		if (json)
			inspect_json(&js, in, &scan->files[i], &r, fmt);
		else
			inspect_text(&sb, in, &scan->files[i], &r, fmt);
	}
	if (json) {
		canp_json_end(&js);
		canp_json_end(&js);
		canp_strbuf_putc(&sb, '\n');
	}
	return canp_tool_print(&sb) ? CANP_EXIT_FATAL : code;
}

int canp_cmd_inspect(int argc, char **argv)
{
	static const struct canp_tool tool = {
		.name = "canp-appliance inspect",
		.synopsis = "[--json] FILE...",
		.text = "Counts frames, ids and damage of log files.",
	};
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_dirscan *scan = NULL;
	struct inspect in = {0};
	struct canp_job_cli c;
	int code = canp_job_cli_parse(&c, &tool, argc, argv);

	if (code >= 0)
		return code;
	code = canp_job_cli_resolve(&c, &tool);
	if (code < 0 && !c.job.nr_inputs)
		code = canp_tool_usage(&tool, "no FILE given");
	if (code < 0 &&
	    (inspect_init(&in, &c, &err) ||
	     canp_dirscan_create(&(struct canp_dirscan_opts){.args = c.job.inputs,
							     .nr_args = c.job.nr_inputs,
							     .include = c.job.globs,
							     .nr_include = c.job.nr_globs},
				 &scan))) {
		fprintf(stderr, "canp-appliance: %s\n", err.len ? err.buf : "out of memory");
		code = CANP_EXIT_FATAL;
	}
	if (code < 0)
		code = inspect_files(&in, scan, c.ui.json);
	canp_dirscan_destroy(scan);
	inspect_fini(&in);
	canp_strbuf_fini(&err);
	canp_job_cli_fini(&c);
	return code;
}
