/*
 * appliance_tune_decide.c - from measured numbers to a profile, with a reason for each value.
 *
 * The rules, in the order in which they depend on each other:
 *
 *   cores         fewer when the inputs arrive so slowly that more than half would wait
 *   depth, slice  the fewest bytes in flight that read (nearly) as fast as the best way or as the
 *                 cores can take, and only when reading can limit the job at all
 *   prefetch      enough files ahead to fill what is in flight
 *   inflate       another engine when it was clearly faster
 *   mem-per-core  room for the reads; less, and less writer-mem, when the memory is not there
 *   hugepages     what is reserved
 *   write-depth   as depth, of the output
 *
 * A value that is as good as another within the noise of a measurement is kept: profiles should not
 * differ from the defaults without need.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/compiler.h"
#include "core/base/units.h"
#include "tools/appliance_tune.h"

/* A way is as good as the best from here on; two measurements of one way differ by as much. */
#define AS_GOOD_READ  0.95
#define AS_GOOD_WRITE 0.90
#define CLEARLY       1.10
/* A core takes so many times the compressed bytes that ISA-L alone inflates (README, Performance:
 * 1.1 to 1.3). */
#define JOB_TO_ISAL 1.25
/* Reading is no limit when it gives so many times what the cores take. */
#define READ_AMPLE 1.2
/* Of what can be taken now, the rest is for the page cache and the neighbours. */
#define ROOM_SHARE   0.8
#define MIB_1        (1ULL << 20)
#define PREFETCH_MAX 16u

/* What the rules settle one after the other. */
struct decision {
	const struct canp_tune_facts *f;
	const struct canp_tune_current *cur;
	struct canp_tune_plan *plan;
	unsigned cores; /* that will run */
	uint32_t depth, slice;
	uint64_t mem_per_core, writer_mem;
	double demand; /* compressed bytes a second and core */
};

const char *canp_tune_key_name(enum canp_tune_key key)
{
	static const char *const names[] = {
		[CANP_TUNE_CORES] = "cores",
		[CANP_TUNE_DEPTH] = "depth",
		[CANP_TUNE_SLICE] = "slice",
		[CANP_TUNE_PREFETCH] = "prefetch",
		[CANP_TUNE_INFLATE] = "inflate",
		[CANP_TUNE_HUGEPAGES] = "hugepages",
		[CANP_TUNE_MEM_PER_CORE] = "mem-per-core",
		[CANP_TUNE_WRITER_MEM] = "writer-mem",
		[CANP_TUNE_WRITE_DEPTH] = "write-depth",
	};

	return names[key];
}

static void size_text(uint64_t bytes, char *buf, size_t cap)
{
	static const char unit[] = {'k', 'm', 'g'};
	unsigned u = 0;

	bytes >>= 10;
	while (u < 2 && bytes && !(bytes & 1023)) {
		bytes >>= 10;
		u++;
	}
	snprintf(buf, cap, "%llu%c", (unsigned long long)bytes, unit[u]);
}

static double mib(double bps)
{
	return bps / (double)MIB_1;
}

static void set_text(struct decision *d, enum canp_tune_key key, const char *was, const char *now)
{
	struct canp_tune_value *v = &d->plan->v[key];

	snprintf(v->was, sizeof(v->was), "%s", was);
	snprintf(v->now, sizeof(v->now), "%s", now);
	v->change = strcmp(v->was, v->now) != 0;
}

static void set_number(struct decision *d, enum canp_tune_key key, uint64_t was, uint64_t now)
{
	char a[24], b[24];

	snprintf(a, sizeof(a), "%llu", (unsigned long long)was);
	snprintf(b, sizeof(b), "%llu", (unsigned long long)now);
	set_text(d, key, a, b);
}

static void set_size(struct decision *d, enum canp_tune_key key, uint64_t was, uint64_t now)
{
	char a[24], b[24];

	size_text(was, a, sizeof(a));
	size_text(now, b, sizeof(b));
	set_text(d, key, a, b);
}

static CANP_PRINTF(3, 4) void because(struct decision *d, enum canp_tune_key key, const char *fmt,
				      ...)
{
	struct canp_tune_value *v = &d->plan->v[key];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->reason, sizeof(v->reason), fmt, ap);
	va_end(ap);
}

static CANP_PRINTF(2, 3) void advise(struct decision *d, const char *fmt, ...)
{
	va_list ap;

	if (d->plan->nr_advice == CANP_TUNE_ADVICE_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(d->plan->advice[d->plan->nr_advice++], sizeof(d->plan->advice[0]), fmt, ap);
	va_end(ap);
}

static bool is_fixed(struct decision *d, enum canp_tune_key key)
{
	if (d->cur->fixed[key])
		because(d, key, "given by name");
	return d->cur->fixed[key];
}

static const struct canp_tune_read *best_read(const struct canp_tune_facts *f)
{
	const struct canp_tune_read *best = NULL;

	for (unsigned i = 0; i < f->nr_reads; i++)
		if (f->reads[i].bps > (best ? best->bps : 0))
			best = &f->reads[i];
	return best;
}

static double read_now(const struct canp_tune_facts *f, const struct canp_tune_current *cur)
{
	for (unsigned i = 0; i < f->nr_reads; i++)
		if (f->reads[i].depth == cur->depth && f->reads[i].slice == cur->slice)
			return f->reads[i].bps;
	return 0;
}

static void decide_cores(struct decision *d)
{
	const struct canp_tune_facts *f = d->f;
	const struct canp_tune_read *best = best_read(f);
	unsigned own = canp_max(f->cores, 1u), now = d->cur->cores, enough;
	double ask;

	d->cores = now ? now : own;
	set_number(d, CANP_TUNE_CORES, now, now);
	if (is_fixed(d, CANP_TUNE_CORES))
		return;
	if (now > own) {
		set_number(d, CANP_TUNE_CORES, now, 0);
		because(d, CANP_TUNE_CORES, "only %u CPUs may be used; 0 takes them all", own);
		d->cores = own;
		return;
	}
	if (!best || d->demand <= 0) {
		because(d, CANP_TUNE_CORES, "%u CPUs may be used; speed of the inputs not measured",
			own);
		return;
	}
	ask = best->bps * READ_AMPLE / d->demand;
	if ((ask + 1) * 2 > d->cores) {
		because(d, CANP_TUNE_CORES,
			"%u cores take about %.0f MiB/s, the inputs give %.0f: none has to wait "
			"much",
			d->cores, mib(d->demand * d->cores), mib(best->bps));
		return;
	}
	enough = (unsigned)ask + 1;
	set_number(d, CANP_TUNE_CORES, now, enough);
	because(d, CANP_TUNE_CORES,
		"the inputs give %.0f MiB/s at best, which %u cores decode (%.0f MiB/s each); of "
		"%u "
		"most would wait",
		mib(best->bps), enough, mib(d->demand), d->cores);
	d->cores = enough;
}

/* Bytes that the reads of one core may hold. */
static uint64_t reads_max(const struct decision *d)
{
	uint64_t share = (uint64_t)((double)d->f->room * ROOM_SHARE) / d->cores / 4;

	return d->f->room ? share : UINT64_MAX;
}

static uint64_t in_flight(uint32_t depth, uint32_t slice)
{
	return (uint64_t)depth * slice;
}

/* The way with the fewest bytes in flight that reads at least `enough`; NULL when none fits. */
static const struct canp_tune_read *choose_read(const struct decision *d, double enough)
{
	const struct canp_tune_read *pick = NULL;

	for (unsigned i = 0; i < d->f->nr_reads; i++) {
		const struct canp_tune_read *r = &d->f->reads[i];
		uint64_t bytes = in_flight(r->depth, r->slice);

		if (r->bps < enough || bytes + r->slice > reads_max(d))
			continue;
		if (d->cur->fixed[CANP_TUNE_DEPTH] && r->depth != d->cur->depth)
			continue;
		if (d->cur->fixed[CANP_TUNE_SLICE] && r->slice != d->cur->slice)
			continue;
		if (!pick || bytes < in_flight(pick->depth, pick->slice) ||
		    (bytes == in_flight(pick->depth, pick->slice) && r->slice > pick->slice))
			pick = r;
	}
	return pick;
}

static void reads_reason(struct decision *d, const char *text)
{
	for (enum canp_tune_key k = CANP_TUNE_DEPTH; k <= CANP_TUNE_SLICE; k++)
		if (!is_fixed(d, k))
			because(d, k, "%s", text);
}

static void decide_reads(struct decision *d)
{
	const struct canp_tune_read *best = best_read(d->f), *pick;
	double now = read_now(d->f, d->cur), need = d->demand * d->cores;
	char text[200];

	d->depth = d->cur->depth;
	d->slice = d->cur->slice;
	if (!best || now <= 0) {
		snprintf(text, sizeof(text), "not measured: no input was read");
	} else if (need > 0 && now >= need * READ_AMPLE) {
		snprintf(text, sizeof(text),
			 "reads give %.0f MiB/s, %u core%s take%s about %.0f: reading is not the "
			 "limit",
			 mib(now), d->cores, d->cores == 1 ? "" : "s", d->cores == 1 ? "s" : "",
			 mib(need));
	} else if (now >= best->bps * AS_GOOD_READ) {
		snprintf(text, sizeof(text), "%.0f MiB/s; the best of %u ways gave %.0f", mib(now),
			 d->f->nr_reads, mib(best->bps));
	} else {
		/* As fast as the best way, or as the cores can take. */
		double enough = best->bps * AS_GOOD_READ;

		if (need > 0)
			enough = canp_min(enough, need * READ_AMPLE);
		pick = choose_read(d, enough);
		if (pick) {
			d->depth = pick->depth;
			d->slice = pick->slice;
			snprintf(text, sizeof(text),
				 "%u x %u KiB in flight a core read %.0f MiB/s, %u x %u KiB %.0f",
				 d->depth, d->slice >> 10, mib(pick->bps), d->cur->depth,
				 d->cur->slice >> 10, mib(now));
		} else {
			snprintf(text, sizeof(text),
				 "faster ways to read need more memory than there is");
		}
	}
	set_number(d, CANP_TUNE_DEPTH, d->cur->depth, d->depth);
	set_size(d, CANP_TUNE_SLICE, d->cur->slice, d->slice);
	reads_reason(d, text);
}

static void decide_prefetch(struct decision *d)
{
	uint32_t was = d->cur->prefetch, now = was;
	uint64_t mean = d->f->files ? d->f->bytes / d->f->files : 0;
	uint64_t flight = in_flight(d->depth, d->slice);

	if (!is_fixed(d, CANP_TUNE_PREFETCH)) {
		uint64_t want = mean ? (flight + mean - 1) / mean : 0;

		if (want > was)
			now = (uint32_t)canp_min(want, (uint64_t)PREFETCH_MAX);
		if (!mean)
			because(d, CANP_TUNE_PREFETCH, "sizes of the inputs not known");
		else
			because(d, CANP_TUNE_PREFETCH,
				"%llu KiB in flight are %.1f files of %llu KiB",
				(unsigned long long)(flight >> 10), (double)flight / (double)mean,
				(unsigned long long)(mean >> 10));
	}
	set_number(d, CANP_TUNE_PREFETCH, was, canp_max(now, was));
}

static void decide_inflate(struct decision *d)
{
	const struct canp_tune_facts *f = d->f;
	bool isal = !strcmp(d->cur->inflate, "isal");
	const char *now = d->cur->inflate;

	if (!is_fixed(d, CANP_TUNE_INFLATE)) {
		if (f->inflate_isal <= 0 || f->inflate_interleaved <= 0) {
			because(d, CANP_TUNE_INFLATE, "not measured");
		} else {
			if (!isal && f->inflate_isal > f->inflate_interleaved * CLEARLY)
				now = "isal";
			else if (isal && f->inflate_interleaved > f->inflate_isal * CLEARLY)
				now = "auto";
			because(d, CANP_TUNE_INFLATE,
				"five at once: %.0f MiB/s of compressed bytes a core, ISA-L: %.0f",
				mib(f->inflate_interleaved), mib(f->inflate_isal));
		}
	}
	set_text(d, CANP_TUNE_INFLATE, d->cur->inflate, now);
}

static uint64_t floor_pow2(uint64_t x)
{
	while (x & (x - 1))
		x &= x - 1;
	return x;
}

/* Sizes that fit the room: the writers give first, then the arenas, then the number of cores. */
static void shrink(struct decision *d, uint64_t room)
{
	const uint64_t least = 64 * MIB_1;

	if (!d->cur->fixed[CANP_TUNE_WRITER_MEM])
		d->writer_mem = canp_max(least, canp_min(d->writer_mem, floor_pow2(room / 4)));
	if (!d->cur->fixed[CANP_TUNE_MEM_PER_CORE]) {
		uint64_t rest = room > d->writer_mem ? room - d->writer_mem : 0;
		uint64_t each = rest / d->cores / (16 * MIB_1) * (16 * MIB_1);

		d->mem_per_core = canp_max(least, canp_min(d->mem_per_core, each));
		if (each < least && !d->cur->fixed[CANP_TUNE_CORES]) {
			unsigned fit = (unsigned)canp_max(rest / least, 1ULL);

			if (fit < d->cores) {
				set_number(d, CANP_TUNE_CORES, d->cur->cores, fit);
				because(d, CANP_TUNE_CORES,
					"%llu MiB can be taken, a core needs at least 64",
					(unsigned long long)(d->f->room >> 20));
				d->cores = fit;
			}
		}
	}
}

static void decide_memory(struct decision *d)
{
	uint64_t room = (uint64_t)((double)d->f->room * ROOM_SHARE), reads, want;
	const char *text = "";

	d->mem_per_core = d->cur->mem_per_core;
	d->writer_mem = d->cur->writer_mem;
	reads = in_flight(d->depth + 1, d->slice);
	if (reads > d->mem_per_core / 4 && !d->cur->fixed[CANP_TUNE_MEM_PER_CORE]) {
		d->mem_per_core = floor_pow2(reads * 4 - 1) * 2;
		text = "for the reads in flight: ";
	}
	want = d->mem_per_core * d->cores + d->writer_mem;
	if (d->f->room && want > room) {
		shrink(d, room);
		want = d->mem_per_core * d->cores + d->writer_mem;
		text = "less, as there is no more: ";
	}
	set_size(d, CANP_TUNE_MEM_PER_CORE, d->cur->mem_per_core, d->mem_per_core);
	set_size(d, CANP_TUNE_WRITER_MEM, d->cur->writer_mem, d->writer_mem);
	for (enum canp_tune_key k = CANP_TUNE_MEM_PER_CORE; k <= CANP_TUNE_WRITER_MEM; k++) {
		if (is_fixed(d, k))
			continue;
		if (!d->f->room)
			because(d, k, "free memory not known");
		else
			because(d, k, "%sa job takes up to %llu MiB, %llu can be taken now", text,
				(unsigned long long)(want >> 20),
				(unsigned long long)(d->f->room >> 20));
	}
}

static void decide_pages(struct decision *d)
{
	const struct canp_tune_facts *f = d->f;
	uint64_t need = (d->mem_per_core + 2 * MIB_1 - 1) / (2 * MIB_1) * d->cores;
	bool enough = f->free_2m >= need;
	uint64_t need_1g = ((d->mem_per_core + 1024 * MIB_1 - 1) >> 30) * d->cores;
	const char *was = d->cur->hugepages, *now = was;

	if (!is_fixed(d, CANP_TUNE_HUGEPAGES)) {
		if (d->mem_per_core >> 30 && f->free_1g >= need_1g) {
			now = "1g";
			because(d, CANP_TUNE_HUGEPAGES, "%llu pages of 1 GiB are free, %llu needed",
				(unsigned long long)f->free_1g, (unsigned long long)need_1g);
		} else {
			if ((!strcmp(was, "off") && enough) || !strcmp(was, "1g") ||
			    (!strcmp(was, "2m") && !enough))
				now = "auto";
			because(d, CANP_TUNE_HUGEPAGES,
				"%llu of %llu reserved 2 MiB pages are free, %llu needed; "
				"transparent: %s",
				(unsigned long long)f->free_2m, (unsigned long long)f->total_2m,
				(unsigned long long)need, *f->thp ? f->thp : "unknown");
		}
	}
	set_text(d, CANP_TUNE_HUGEPAGES, was, now);
	if (!enough && strcmp(now, "1g") && strcmp(now, "off"))
		advise(d,
		       "sysctl vm.nr_hugepages=%llu: reserved pages are mapped faster than "
		       "transparent ones",
		       (unsigned long long)(f->total_2m - f->free_2m + need));
}

static void decide_writes(struct decision *d)
{
	const struct canp_tune_facts *f = d->f;
	double best = 0, at = 0;
	uint32_t was = d->cur->write_depth, now = was;

	for (unsigned i = 0; i < f->nr_writes; i++) {
		best = canp_max(best, f->writes[i].bps);
		if (f->writes[i].depth == was)
			at = f->writes[i].bps;
	}
	if (!is_fixed(d, CANP_TUNE_WRITE_DEPTH)) {
		if (at <= 0) {
			because(d, CANP_TUNE_WRITE_DEPTH, "not measured: no -o DIR was written to");
		} else if (at >= best * AS_GOOD_WRITE) {
			because(d, CANP_TUNE_WRITE_DEPTH,
				"%.0f MiB/s; the best of %u depths gave %.0f", mib(at),
				f->nr_writes, mib(best));
		} else {
			double got = 0;

			for (unsigned i = 0; i < f->nr_writes; i++)
				if (f->writes[i].bps >= best * AS_GOOD_WRITE &&
				    (got <= 0 || f->writes[i].depth < now)) {
					now = f->writes[i].depth;
					got = f->writes[i].bps;
				}
			because(d, CANP_TUNE_WRITE_DEPTH,
				"%u blocks at once write %.0f MiB/s, %u blocks %.0f", now, mib(got),
				was, mib(at));
		}
	}
	set_number(d, CANP_TUNE_WRITE_DEPTH, was, now);
}

static void advise_machine(struct decision *d)
{
	const struct canp_tune_facts *f = d->f;

	if (f->nr_reads && !f->uring)
		advise(d, "io_uring is refused here, helper threads are used: `canp-appliance "
			  "doctor` says what forbids it");
	else if (f->nr_reads && !f->registered)
		advise(d,
		       "buffers cannot be registered with the ring (memlock %llu KiB): ulimit -l "
		       "unlimited, or LimitMEMLOCK=infinity in the unit",
		       (unsigned long long)(f->memlock >> 10));
	if (f->nofile && f->nofile < 4096)
		advise(d, "ulimit -n 65536: each open table takes a descriptor, %llu are allowed",
		       (unsigned long long)f->nofile);
	if (f->quota > 0 && f->quota < f->allowed)
		advise(d, "the container's quota of %.2f CPUs keeps %u allowed CPUs from work",
		       f->quota, f->allowed);
	if (f->nodes > 1 && f->input_node >= 0 && d->cores < f->allowed)
		advise(d,
		       "the inputs' device hangs on memory node %d of %u: `numactl -N %d` keeps "
		       "the "
		       "%u cores beside it",
		       f->input_node, f->nodes, f->input_node, d->cores);
	if (f->nr_reads && !f->direct)
		advise(d, "the inputs were not read past the page cache: their speed may be that "
			  "of memory");
}

void canp_tune_decide(const struct canp_tune_facts *f, const struct canp_tune_current *cur,
		      struct canp_tune_plan *plan)
{
	struct decision d = {
		.f = f, .cur = cur, .plan = plan, .demand = f->inflate_isal * JOB_TO_ISAL};

	memset(plan, 0, sizeof(*plan));
	for (unsigned k = 0; k < CANP_TUNE_NR; k++)
		plan->v[k].key = canp_tune_key_name((enum canp_tune_key)k);
	decide_cores(&d);
	decide_reads(&d);
	decide_prefetch(&d);
	decide_inflate(&d);
	decide_memory(&d);
	decide_pages(&d);
	decide_writes(&d);
	advise_machine(&d);
}
