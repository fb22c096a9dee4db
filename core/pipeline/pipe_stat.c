/*
 * pipe_stat.c - figures of a pipe: sums of what its workers count, each on its own. Any thread, at
 * any time; figures of a running pipe need not belong to the same moment.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/pipeline/pipe_priv.h"

static bool built(const struct canp_pipe *p)
{
	return __atomic_load_n(&p->state, __ATOMIC_ACQUIRE) != PIPE_NEW;
}

int canp_pipe_op_stats(const struct canp_pipe *p, int op, struct canp_pipe_op_stats *st)
{
	memset(st, 0, sizeof(*st));
	if (op < 0 || (unsigned)op >= p->nr_ops)
		return -EINVAL;
	st->name = p->ops[op].name;
	for (unsigned i = 0; p->workers && i <= p->nr_workers; i++) {
		const struct pipe_op_counts *c = &p->workers[i].c[op];

		st->items_in += canp_stat_get(&c->rows_in);
		st->items_out += canp_stat_get(&c->rows_out);
		st->items_dropped += canp_stat_get(&c->dropped);
		st->items_failed += canp_stat_get(&c->failed);
		st->retries += canp_stat_get(&c->retries);
		st->batches += canp_stat_get(&c->batches);
		st->busy_ns += canp_stat_get(&c->busy_ns);
		st->wait_ns += canp_stat_get(&c->wait_ns);
		st->queue_max = canp_max(st->queue_max, (uint32_t)canp_stat_get(&c->queue_max));
		st->running_max =
			canp_max(st->running_max, (uint32_t)canp_stat_get(&c->running_max));
	}
	st->queue_depth = (uint32_t)__builtin_popcountll(
		__atomic_load_n(&p->ops[op].ready, __ATOMIC_RELAXED));
	return 0;
}

static void latency_sum(const struct canp_pipe *p, struct canp_pipe_stats *st)
{
	struct canp_hist *h = malloc(sizeof(*h));

	if (!h)
		return;
	canp_hist_init(h);
	for (unsigned k = 0; k < CANP_HIST_BUCKETS; k++) {
		uint64_t n = 0, low = canp_hist_bucket_low(k);

		for (unsigned i = 0; i <= p->nr_workers; i++)
			n += canp_stat_get(&p->workers[i].latency[k]);
		if (!n)
			continue;
		h->buckets[k] = n;
		h->count += n;
		h->min = canp_min(h->min, low);
		h->max = low + low / CANP_HIST_SUB;
	}
	st->latency_p50_ns = canp_hist_percentile(h, 50);
	st->latency_p99_ns = canp_hist_percentile(h, 99);
	st->latency_p999_ns = canp_hist_percentile(h, 99.9);
	free(h);
}

void canp_pipe_stats(const struct canp_pipe *p, struct canp_pipe_stats *st)
{
	bool runs;

	memset(st, 0, sizeof(*st));
	st->nr_ops = p->nr_ops - (p->pull.op != PIPE_NONE);
	if (!built(p))
		return;
	runs = pipe_runs(p);
	st->items_in = canp_stat_get(&p->items_in);
	st->batches = canp_stat_get(&p->batches);
	st->paused_ns = canp_stat_get(&p->paused_ns);
	st->in_flight_items_max = (uint32_t)canp_stat_get(&p->items_max);
	st->in_flight_batches_max = (uint32_t)canp_stat_get(&p->flights_max);
	st->in_flight_bytes_max = canp_stat_get(&p->bytes_max);
	st->in_flight_items = (uint32_t)pipe_in_flight(p);
	if (p->push.used)
		st->in_flight_items = __atomic_load_n(&p->push.nr, __ATOMIC_RELAXED) -
				      (uint32_t)__atomic_load_n(&p->back, __ATOMIC_RELAXED);
	st->elapsed_ns = runs ? canp_clock_ns() - __atomic_load_n(&p->started_ns, __ATOMIC_RELAXED)
			      : __atomic_load_n(&p->elapsed_ns, __ATOMIC_RELAXED);
	st->memory_bytes = sizeof(*p) + p->map_bytes;
	st->batch_items = __atomic_load_n(&p->batch, __ATOMIC_RELAXED);
	st->executor = p->kind;
	for (unsigned i = 0; i <= p->nr_workers; i++)
		st->handovers += canp_stat_get(&p->workers[i].handovers);
	for (unsigned i = 0; i < p->nr_ops; i++) {
		struct canp_pipe_op_stats os;

		canp_pipe_op_stats(p, (int)i, &os);
		st->busy_ns += os.busy_ns;
		if (p->ops[i].op.kind == CANP_PIPE_SINK)
			st->items_out += os.items_out;
	}
	latency_sum(p, st);
}
