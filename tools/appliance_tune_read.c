/*
 * appliance_tune_read.c - how fast the inputs can be read, with the job's own reader.
 *
 * Each way (reads in flight, bytes of a read) is tried with one thread per core, each with a ring,
 * registered slots and a reader of its own, as shards have them; each begins elsewhere in the
 * listing. Past the page cache the device is asked again however often a file is read. Every way
 * has two turns and the better one counts: what disturbs a turn makes it slower, never faster.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "io/source/dirscan.h"
#include "io/source/reader.h"
#include "tools/appliance_tune.h"

#define THREADS_MAX 64u
#define AHEAD       4u /* files open at once, as in a job */
#define TURNS       2u
#define WAIT_NS     (50 * CANP_NS_PER_MS)

struct turn {
	const struct canp_dirscan *scan;
	struct canp_reader_opts opts;
	enum canp_io_policy policy;
	enum canp_ring_kind ring;
	unsigned nr; /* threads */
	uint64_t ns;
};

struct worker {
	pthread_t id;
	struct turn *turn;
	unsigned index;
	/* what came of it */
	int rc;
	double bps;
	bool uring, registered, direct;
	/* while it runs */
	struct canp_ring *ring;
	struct canp_reader *reader;
	struct canp_stream *open[AHEAD];
	unsigned nr_open;
	size_t next;     /* file to open */
	size_t failures; /* files in a row that gave nothing */
	uint64_t bytes;
};

void canp_tune_read_ways(struct canp_tune_facts *f, const struct canp_tune_current *cur)
{
	static const struct canp_tune_read ways[] = {
		{4, 1 << 20, 0},  {2, 1 << 20, 0}, {8, 1 << 20, 0},    {16, 1 << 20, 0},
		{32, 1 << 20, 0}, {8, 4 << 20, 0}, {16, 256 << 10, 0}, {32, 256 << 10, 0},
	};

	f->reads[0] = (struct canp_tune_read){cur->depth, cur->slice, 0};
	f->nr_reads = 1;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(ways); i++)
		if (ways[i].depth != cur->depth || ways[i].slice != cur->slice)
			f->reads[f->nr_reads++] = ways[i];
}

/* Opens the next files until enough are open. A file that cannot be opened is passed over; false:
 * none of the listing could. */
static bool open_more(struct worker *w)
{
	const struct canp_dirscan *scan = w->turn->scan;

	while (w->nr_open < AHEAD && w->failures <= scan->nr_files) {
		const struct canp_input *in = &scan->files[w->next % scan->nr_files];
		int rc = in->err || !in->size
				 ? -ENODATA
				 : canp_reader_open(w->reader, in->path, in->size, w->turn->policy,
						    &w->open[w->nr_open]);

		if (rc == -EAGAIN)
			break;
		w->next++;
		if (rc)
			w->failures++;
		else
			w->nr_open++;
	}
	return w->nr_open > 0 || canp_reader_inflight(w->reader) > 0;
}

static void close_first(struct worker *w)
{
	canp_reader_close(w->open[0]);
	w->nr_open--;
	for (unsigned i = 0; i < w->nr_open; i++)
		w->open[i] = w->open[i + 1];
}

/* Takes what the oldest file has at hand. -EAGAIN: nothing yet. */
static int take_window(struct worker *w)
{
	const uint8_t *win;
	uint64_t base;
	size_t len;
	bool eof;
	int rc = canp_reader_peek(w->open[0], &win, &len, &base, &eof);

	if (rc)
		return rc;
	w->bytes += len;
	if (len)
		w->failures = 0;
	w->direct = w->direct || canp_stream_policy(w->open[0]) == CANP_IO_DIRECT;
	rc = canp_reader_consume(w->open[0], len, true);
	if (eof || rc)
		close_first(w);
	return 0;
}

static void read_for(struct worker *w, uint64_t ns)
{
	uint64_t start = canp_clock_ns(), now = start;

	while (now - start < ns) {
		if (!open_more(w)) {
			w->rc = -ENODATA;
			return;
		}
		if (!w->nr_open || take_window(w) == -EAGAIN)
			canp_ring_wait(w->ring, WAIT_NS);
		else
			canp_ring_wait(w->ring, 0);
		now = canp_clock_ns();
	}
	w->bps = (double)w->bytes * 1e9 / (double)(now - start);
}

static void drain(struct worker *w)
{
	while (w->nr_open)
		close_first(w);
	while (canp_reader_inflight(w->reader))
		canp_ring_wait(w->ring, WAIT_NS);
	canp_reader_fini(w->reader);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	struct iovec iov = {.iov_len = canp_reader_bytes(&w->turn->opts)};
	struct canp_ring_opts ro = {.kind = w->turn->ring,
				    .entries = 128,
				    .buffers = &iov,
				    .nr_buffers = 1,
				    .iowq_cpu = -1};

	/* Touched before the clock starts, as in a job. */
	iov.iov_base = mmap(NULL, iov.iov_len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (iov.iov_base == MAP_FAILED) {
		w->rc = -ENOMEM;
		return NULL;
	}
	w->rc = canp_ring_create(&ro, &w->ring);
	if (!w->rc) {
		w->uring = canp_ring_caps(w->ring)->kind == CANP_RING_URING;
		w->registered = canp_ring_caps(w->ring)->fixed_buffers;
		w->reader = canp_reader_init(iov.iov_base, w->ring, &w->turn->opts);
		read_for(w, w->turn->ns);
		drain(w);
		canp_ring_destroy(w->ring);
	}
	munmap(iov.iov_base, iov.iov_len);
	return NULL;
}

/* One turn of one way. 0 and *bps, or the -errno of a thread that failed. Threads that cannot be
 * had are missing from the sum, as their shards would be from a job. */
static int turn_run(struct turn *t, struct canp_tune_facts *f, double *bps)
{
	struct worker *w = calloc(t->nr, sizeof(*w));
	unsigned started = 1;
	int rc = 0;

	if (!w)
		return -ENOMEM;
	for (unsigned i = 0; i < t->nr; i++)
		w[i] = (struct worker){
			.turn = t, .index = i, .next = i * t->scan->nr_files / t->nr};
	while (started < t->nr && !pthread_create(&w[started].id, NULL, worker_run, &w[started]))
		started++;
	worker_run(&w[0]);
	*bps = 0;
	for (unsigned i = 0; i < started; i++) {
		if (i)
			pthread_join(w[i].id, NULL);
		rc = rc ? rc : w[i].rc;
		*bps += w[i].bps;
		f->direct = f->direct || w[i].direct;
	}
	f->uring = w[0].uring;
	f->registered = w[0].registered;
	free(w);
	return rc;
}

int canp_tune_measure_reads(const struct canp_dirscan *scan, enum canp_io_policy policy,
			    enum canp_ring_kind ring, unsigned cores, uint64_t budget_ns,
			    struct canp_tune_facts *f)
{
	struct turn t = {.scan = scan, .policy = policy, .ring = ring};
	int rc = 0;

	if (!scan->nr_files || !f->nr_reads)
		return -ENODATA;
	canp_reader_opts_init(&t.opts);
	t.opts.streams = AHEAD + 2;
	t.nr = canp_min(canp_max(cores, 1u), THREADS_MAX);
	t.ns = canp_max(budget_ns / (TURNS * f->nr_reads), (uint64_t)(20 * CANP_NS_PER_MS));
	for (unsigned i = 0; i < TURNS * f->nr_reads && !rc; i++) {
		struct canp_tune_read *r = &f->reads[i % f->nr_reads];
		double bps = 0;

		t.opts.depth = r->depth;
		t.opts.slice_bytes = r->slice;
		rc = turn_run(&t, f, &bps);
		r->bps = canp_max(r->bps, bps);
	}
	if (rc)
		f->nr_reads = 0;
	return rc;
}
