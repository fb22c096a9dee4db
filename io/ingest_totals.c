/*
 * ingest_totals.c - what a job did, summed over files and shards on the control thread after the
 * shards have stopped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "io/ingest_priv.h"

#define INGEST_UNKNOWN_MAX 65536u

const char *canp_file_status_name(enum canp_file_status s)
{
	static const char *const names[] = {"pending", "ok", "damaged", "failed", "skipped"};

	return names[s];
}

static uint64_t status_kib(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? strtoull(p + strlen(key), NULL, 10) * 1024 : 0;
}

/* VmHWM does not contain hugetlb pages, so both are counted. */
void canp_job_peak_memory(struct canp_job_totals *t)
{
	char text[8192];
	FILE *f = fopen("/proc/self/status", "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = '\0';
	t->peak_rss_bytes = status_kib(text, "VmHWM:");
	t->peak_hugetlb_bytes = canp_max(t->peak_hugetlb_bytes, status_kib(text, "HugetlbPages:"));
	t->peak_mem_bytes = t->peak_rss_bytes + t->peak_hugetlb_bytes;
}

static void job_count_file(struct canp_job_totals *t, const struct canp_file_result *r,
			   const struct canp_input *in)
{
	switch (r->status) {
	case CANP_FILE_PENDING:
		t->files_pending++;
		break;
	case CANP_FILE_OK:
		t->files_ok++;
		break;
	case CANP_FILE_DAMAGED:
		t->files_damaged++;
		break;
	case CANP_FILE_FAILED:
		t->files_failed++;
		break;
	case CANP_FILE_SKIPPED:
		t->files_skipped++;
		break;
	}
	t->frames += r->counts.frames;
	t->frames_decoded += r->counts.frames_decoded;
	t->frames_unknown += r->counts.frames_unknown;
	t->frames_dropped += r->counts.frames_dropped;
	t->error_frames += r->counts.error_frames;
	t->remote_frames += r->counts.remote_frames;
	t->overload_frames += r->counts.overload_frames;
	t->gaps += r->counts.gaps;
	t->bad_times += r->counts.bad_times;
	t->bytes_in += in->err ? 0 : in->size;
	t->bytes_inflated += r->stats.bytes_inflated;
	t->damage_events += r->nr_faults;
}

/* Rows of a unit are published only when those of every unit before it are. What was read beyond
 * that point counts as not processed, so that the report agrees with the dataset. */
static void job_forget_unpublished(struct canp_job *job)
{
	struct canp_job_priv *p = (struct canp_job_priv *)job->priv;
	uint64_t frontier = job->units.nr;

	for (unsigned i = 0; i < p->nr_shards; i++) {
		struct canp_writer_stats ws;

		canp_writer_stats(p->shards[i].writer, &ws);
		frontier = canp_min(frontier, ws.units);
	}
	if (frontier == job->units.nr)
		return;
	for (uint32_t i = job->units.units[frontier].first_file; i < job->nr_files; i++)
		job->results[i] = (struct canp_file_result){.status = CANP_FILE_PENDING};
}

void canp_job_collect(struct canp_job *job)
{
	struct canp_job_priv *p = (struct canp_job_priv *)job->priv;
	struct canp_job_totals *t = &job->totals;

	job_forget_unpublished(job);
	t->files = job->nr_files;
	t->files_duplicate = job->scan->duplicates;
	for (uint32_t i = 0; i < job->nr_files; i++)
		job_count_file(t, &job->results[i], canp_job_input(job, i));
	for (unsigned i = 0; i < p->nr_shards; i++) {
		const struct canp_partset *set = canp_writer_set(p->shards[i].writer);
		struct canp_writer_stats ws;

		canp_writer_stats(p->shards[i].writer, &ws);
		t->bytes_out += set->bytes_published;
		t->parts += set->parts_published;
		t->rows += set->rows_published;
		t->signals += set->values_published;
		t->messages += ws.tables;
		t->reordered_runs += ws.reordered;
		t->reads_max = canp_max(t->reads_max, p->shards[i].ring_counts.reads_max);
		t->writes_max = canp_max(t->writes_max, p->shards[i].ring_counts.writes_max);
		t->files_ahead += p->shards[i].files_ahead;
		t->overlap.turns += p->shards[i].overlap.turns;
		t->overlap.reading += p->shards[i].overlap.reading;
		t->overlap.writing += p->shards[i].overlap.writing;
		t->overlap.both += p->shards[i].overlap.both;
		if (p->shards[i].stage)
			canp_ingest_stage_collect(&p->shards[i], t);
	}
	canp_sched_stats(job->sched, &t->sched);
	t->interrupted = canp_runtime_interrupted(job->rt);
	t->elapsed_s = (double)(canp_clock_ns() - p->started_ns) / 1e9;
	t->complete = !p->error && !t->interrupted && !t->files_pending;
	canp_job_peak_memory(t);
}

static void job_add_unknown(void *arg, uint32_t id, unsigned bus, uint64_t frames)
{
	struct canp_job *job = arg;
	struct canp_job_priv *p = job->priv;

	for (uint32_t i = 0; i < job->nr_unknown; i++) {
		if (job->unknown[i].id == id && job->unknown[i].bus == bus) {
			job->unknown[i].frames += frames;
			return;
		}
	}
	if (job->nr_unknown == p->unknown_cap) {
		uint32_t cap = p->unknown_cap ? p->unknown_cap * 2 : 256;
		struct canp_unknown_id *u;

		if (cap > INGEST_UNKNOWN_MAX)
			return;
		u = realloc(job->unknown, cap * sizeof(*u));
		if (!u)
			return;
		job->unknown = u;
		p->unknown_cap = cap;
	}
	job->unknown[job->nr_unknown++] = (struct canp_unknown_id){id, bus, frames};
}

void canp_job_collect_unknown(struct canp_job *job, const struct canp_group *group)
{
	struct canp_job_priv *p = job->priv;

	pthread_mutex_lock(&p->lock);
	canp_group_unknown_for_each(group, job_add_unknown, job);
	pthread_mutex_unlock(&p->lock);
}
