/*
 * ingest_stage.c - part of a job on one shard, see stage.h: drops at the last border, and a clock
 * that stands still outside the stages that are measured.
 *
 *   where                        clock runs there when
 *   operator read (turns)         first <= inflate (what it calls belongs to inflate and later)
 *     checksum kernels           first is not later than crc, and last is not before it
 *     consumer of a member       first <= decode
 *     operator extract           first <= signals
 *   messages, operator write     first <= encode
 *     output file: put           always
 *   the rest of the loop (ring)  always: without a reader it only works for the output files
 *
 * Nothing of this is linked into the path of a real job but a pointer that is NULL.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/base/assert.h"
#include "core/base/strbuf.h"
#include "core/base/units.h"
#include "io/ingest_shard.h"
#include "simd/simd.h"

struct canp_stage_shard {
	struct canp_stage_clock clock;
	struct canp_stages st;
	struct canp_format_tap tap;
	uint64_t off_cpu_ns;
	/* The turn under way. */
	uint64_t turn_wall, turn_cpu, turn_off;
};

const char *canp_stage_name(enum canp_stage stage)
{
	static const char *const names[] = {"read",    "inflate", "crc",  "decode",
					    "signals", "encode",  "write"};

	return names[stage];
}

#define STAGES_TEXT "read,inflate,crc,decode,signals,encode,write"

static int stage_find(const char *name, size_t len)
{
	for (int i = 0; i < CANP_STAGE_NR; i++)
		if (strlen(canp_stage_name((enum canp_stage)i)) == len &&
		    !strncmp(canp_stage_name((enum canp_stage)i), name, len))
			return i;
	return -1;
}

int canp_stages_parse(const char *text, enum canp_stage *first, enum canp_stage *last,
		      struct canp_strbuf *why)
{
	int from = -1, to = -1;

	while (*text) {
		size_t len = strcspn(text, ",");
		int stage = stage_find(text, len);

		if (stage < 0) {
			canp_strbuf_printf(why, "no stage is called '%.*s'; they are %s",
					   (int)canp_min(len, (size_t)40), text, STAGES_TEXT);
			return -EINVAL;
		}
		if (to >= 0 && stage != to + 1) {
			canp_strbuf_printf(why,
					   "'%s' does not follow '%s'; stages go %s, and a range "
					   "leaves none out",
					   canp_stage_name((enum canp_stage)stage),
					   canp_stage_name((enum canp_stage)to), STAGES_TEXT);
			return -EINVAL;
		}
		from = from < 0 ? stage : from;
		to = stage;
		text += len + (text[len] == ',');
	}
	if (to < 0) {
		canp_strbuf_printf(why, "none given; they are %s", STAGES_TEXT);
		return -EINVAL;
	}
	*first = (enum canp_stage)from;
	*last = (enum canp_stage)to;
	return 0;
}

/* ---- checksums ---- */

/* The shard whose operator read runs on this thread: elsewhere (pages of Parquet) checksums belong
 * to the stage that asks for them. */
static __thread struct canp_stage_shard *stage_here;
static struct canp_simd stage_kernels;

static bool stage_sum_enter(struct canp_stage_shard *ss, bool *was)
{
	if (!ss)
		return false;
	*was = canp_stage_off(&ss->clock,
			      ss->st.first > CANP_STAGE_CRC || ss->st.last < CANP_STAGE_CRC);
	return true;
}

static uint32_t stage_crc32(uint32_t sum, const void *p, size_t n)
{
	struct canp_stage_shard *ss = stage_here;
	bool was = false, on = stage_sum_enter(ss, &was);

	sum = stage_kernels.crc32(sum, p, n);
	if (on)
		canp_stage_off(&ss->clock, was);
	return sum;
}

static uint32_t stage_adler32(uint32_t sum, const void *p, size_t n)
{
	struct canp_stage_shard *ss = stage_here;
	bool was = false, on = stage_sum_enter(ss, &was);

	sum = stage_kernels.adler32(sum, p, n);
	if (on)
		canp_stage_off(&ss->clock, was);
	return sum;
}

void canp_stage_kernels(bool on)
{
	CANP_ASSERT(on != (canp_simd.crc32 == stage_crc32));
	if (on)
		stage_kernels = canp_simd;
	canp_simd.crc32 = on ? stage_crc32 : stage_kernels.crc32;
	canp_simd.adler32 = on ? stage_adler32 : stage_kernels.adler32;
}

/* ---- borders ---- */

/* Members on their way to the walker of frames. */
static size_t stage_tap(struct canp_format_tap *tap,
			size_t (*data)(void *arg, const uint8_t *p, size_t len), void *arg,
			const uint8_t *p, size_t len)
{
	struct canp_stage_shard *ss = canp_container_of(tap, struct canp_stage_shard, tap);
	size_t n;
	bool was;

	if (ss->st.last < CANP_STAGE_DECODE)
		return len;
	was = canp_stage_off(&ss->clock, ss->st.first > CANP_STAGE_DECODE);
	n = data(arg, p, len);
	canp_stage_off(&ss->clock, was);
	return n;
}

static void stage_extract(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	struct canp_ingest_shard *is = state;
	struct canp_stage_shard *ss = is->stage;
	bool was;

	if (ss->st.last < CANP_STAGE_SIGNALS)
		return;
	/* The end of a unit sends page runs: that was never a chunk's work. */
	if (!b->native) {
		canp_ingest_extract(state, n, b);
		return;
	}
	was = canp_stage_off(&ss->clock, ss->st.first > CANP_STAGE_SIGNALS);
	canp_ingest_extract(state, n, b);
	canp_stage_off(&ss->clock, was);
}

int canp_ingest_stage_open(struct canp_ingest_shard *is, uint32_t src, struct canp_stream **out)
{
	const struct canp_stage_file *f = &is->job->opts.stages->files[src];

	return canp_reader_open_mem(is->reader, f->data, f->bytes, out);
}

bool canp_ingest_stage_reads(const struct canp_ingest_shard *is)
{
	return is->stage->st.last == CANP_STAGE_READ;
}

enum canp_walk canp_ingest_stage_walk(struct canp_ingest_shard *is, struct canp_ingest_window *w)
{
	const struct canp_file_result *r = &is->job->results[is->file];
	struct canp_stage_shard *ss = is->stage;
	enum canp_walk res;
	bool plain, was;

	plain = r->format && r->format->plain && !r->gz;
	if (!is->walker || (plain && ss->st.last < CANP_STAGE_DECODE)) {
		w->consumed = w->len;
		return CANP_WALK_MORE;
	}
	if (!plain)
		return canp_walker_walk(is->walker, w->data, w->len, w->base, w->eof, &w->consumed);
	was = canp_stage_off(&ss->clock, ss->st.first > CANP_STAGE_DECODE);
	res = canp_walker_walk(is->walker, w->data, w->len, w->base, w->eof, &w->consumed);
	canp_stage_off(&ss->clock, was);
	return res;
}

/* ---- the operators, with the clock ---- */

static uint64_t stage_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * (uint64_t)CANP_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Stops or starts the clock for a turn. A turn is short enough to say: where the thread had to wait
 * for its CPU, it waited in the stopped and in the running part alike. */
static bool turn_begin(struct canp_stage_shard *ss, bool off)
{
	ss->turn_wall = canp_clock_ns();
	ss->turn_cpu = stage_cpu_ns();
	ss->turn_off = ss->clock.off_ns;
	return canp_stage_off(&ss->clock, off);
}

static void turn_end(struct canp_stage_shard *ss, bool was)
{
	uint64_t off, cpu, wall;

	canp_stage_off(&ss->clock, was);
	off = ss->clock.off_ns - ss->turn_off;
	cpu = stage_cpu_ns() - ss->turn_cpu;
	wall = canp_clock_ns() - ss->turn_wall;
	if (wall > cpu)
		off = (uint64_t)((double)off * (double)cpu / (double)wall);
	ss->off_cpu_ns += off;
}

static unsigned stage_read(void *state, struct canp_flow_node *n, uint64_t now_ns)
{
	struct canp_ingest_shard *is = state;
	struct canp_stage_shard *ss = is->stage;
	bool was = turn_begin(ss, ss->st.first > CANP_STAGE_INFLATE);
	unsigned work;

	stage_here = ss;
	work = canp_ingest_read(state, n, now_ns);
	stage_here = NULL;
	turn_end(ss, was);
	return work;
}

static unsigned stage_write(void *state, struct canp_flow_node *n, uint64_t now_ns)
{
	struct canp_ingest_shard *is = state;
	struct canp_stage_shard *ss = is->stage;
	bool was = turn_begin(ss, true);
	unsigned work = canp_ingest_write(state, n, now_ns);

	turn_end(ss, was);
	return work;
}

static void stage_on_msg(void *arg, unsigned from, struct canp_msg *msg, bool returned)
{
	struct canp_ingest_shard *is = arg;
	struct canp_stage_shard *ss = is->stage;
	bool was = canp_stage_off(&ss->clock, true);
	uint64_t off = ss->clock.off_ns;

	canp_ingest_on_msg(arg, from, msg, returned);
	canp_stage_off(&ss->clock, was);
	/* Too short to look at the CPU time, or to be interrupted often. */
	ss->off_cpu_ns += ss->clock.off_ns - off;
}

int canp_ingest_stage_init(struct canp_ingest_shard *is)
{
	const struct canp_stages *st = is->job->opts.stages;

	if (!st)
		return 0;
	is->stage = canp_job_shard_mem(is->job, is->sh->index, sizeof(*is->stage));
	if (!is->stage)
		return -ENOMEM;
	is->stage->st = *st;
	is->stage->tap.fn = stage_tap;
	return 0;
}

void canp_ingest_stage_ops(const struct canp_stages *st, struct canp_flow_op *read,
			   struct canp_flow_op *extract, struct canp_flow_op *write)
{
	read->poll = stage_read;
	extract->push = stage_extract;
	/* Up to encode, messages and writer are on the clock. */
	if (st->first > CANP_STAGE_ENCODE)
		write->poll = stage_write;
}

void canp_ingest_stage_attach(struct canp_ingest_shard *is)
{
	is->host.tap = &is->stage->tap;
	if (is->stage->st.first > CANP_STAGE_ENCODE)
		is->sh->on_msg = stage_on_msg;
}

void canp_ingest_stage_writer(struct canp_ingest_shard *is, struct canp_partset *set)
{
	set->discard = is->stage->st.last < CANP_STAGE_WRITE;
	set->clock = is->stage->st.first == CANP_STAGE_WRITE ? &is->stage->clock : NULL;
}

void canp_ingest_stage_collect(const struct canp_ingest_shard *is, struct canp_job_totals *t)
{
	t->off_cpu_ns += is->stage->off_cpu_ns;
	t->off_wall_ns = canp_max(t->off_wall_ns, is->stage->clock.off_ns);
}
