/*
 * dag.c - a diamond of operators, and an operator that fails on some items without stopping the
 * others:
 *
 *             /-> double -\
 *   numbers -<             >-> add -> sink
 *             \-> square -/     \-> dead letters: every hundredth item, with number and reason
 *
 * `add` joins its inputs by CANP_PIPE_ZIP: its record is one item of each, behind each other, and
 * it runs when both are there. Results arrive in the order of the source.
 *
 * Build: cc dag.c $(pkg-config --cflags --libs canp)
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <canp.h>

#define ITEMS 10000u
#define EVERY 100u

struct run {
	uint64_t next; /* of the source */
	uint64_t sum, items, out_of_order, last;
	uint64_t dead, dead_wrong;
};

static int numbers(void *arg, void *items, uint32_t max)
{
	struct run *r = arg;
	uint64_t *out = items;
	uint32_t n = 0;

	while (n < max && r->next < ITEMS)
		out[n++] = r->next++;
	return (int)n; /* 0: the end */
}

static int twice(void *arg, const void *in, void *out)
{
	uint64_t x;

	(void)arg;
	memcpy(&x, in, sizeof(x));
	x *= 2;
	memcpy(out, &x, sizeof(x));
	return 0;
}

static int square(void *arg, const void *in, void *out)
{
	uint64_t x;

	(void)arg;
	memcpy(&x, in, sizeof(x));
	x *= x;
	memcpy(out, &x, sizeof(x));
	return 0;
}

static int add(void *arg, const void *in, void *out)
{
	uint64_t pair[2], sum;

	(void)arg;
	memcpy(pair, in, sizeof(pair)); /* double, square: in the order of its inputs */
	if (pair[0] / 2 % EVERY == 0)
		return -EDOM;
	sum = pair[0] + pair[1];
	memcpy(out, &sum, sizeof(sum));
	return 0;
}

/* The error side of `add`: which item, why, and what it was. Several cores may be in here. */
static void on_dead(void *arg, const struct canp_pipe_dead *d)
{
	struct run *r = arg;
	uint64_t pair[2];

	if (d->bytes >= sizeof(pair))
		memcpy(pair, d->data, sizeof(pair));
	if (d->bytes < sizeof(pair) || d->error != -EDOM || d->item % EVERY ||
	    pair[0] != 2 * d->item)
		__atomic_add_fetch(&r->dead_wrong, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&r->dead, 1, __ATOMIC_RELAXED);
	if (d->item == EVERY)
		printf("item %" PRIu64 " failed in %s: %s\n", d->item, d->op,
		       canp_strerror(d->error));
}

static int sink(void *arg, const struct canp_batch *b)
{
	struct run *r = arg;

	for (uint32_t i = 0; i < b->nr_rows; i++) {
		uint64_t x;

		if (!canp_batch_kept(b, i)) /* dropped on the way */
			continue;
		memcpy(&x, b->rec + (size_t)i * b->stride, sizeof(x));
		r->out_of_order += x <= r->last;
		r->last = x;
		r->sum += x;
		r->items++;
	}
	return 0;
}

/* Returns the id of the operator, or an error. */
static int add_op(struct canp_pipe *p, const char *name, enum canp_pipe_kind kind,
		  int (*map)(void *arg, const void *in, void *out), struct run *r, int in0, int in1)
{
	int inputs[2] = {in0, in1};
	struct canp_pipe_op op;

	memset(&op, 0, sizeof(op));
	op.name = name;
	op.kind = kind;
	op.item_bytes = kind == CANP_PIPE_SINK ? 0 : sizeof(uint64_t);
	op.arg = r;
	op.next = kind == CANP_PIPE_SOURCE ? numbers : NULL;
	op.map = map;
	op.sink = kind == CANP_PIPE_SINK ? sink : NULL;
	if (in1 >= 0) {
		op.join = CANP_PIPE_ZIP;
		op.policy = CANP_PIPE_DEAD_LETTER;
		op.on_dead = on_dead;
	}
	return canp_pipe_add(p, &op, inputs, (in0 >= 0) + (in1 >= 0));
}

static int make(struct canp_pipe *p, struct run *r)
{
	int src = add_op(p, "numbers", CANP_PIPE_SOURCE, NULL, r, -1, -1);
	int left = add_op(p, "double", CANP_PIPE_MAP, twice, r, src, -1);
	int right = add_op(p, "square", CANP_PIPE_MAP, square, r, src, -1);
	int join = add_op(p, "add", CANP_PIPE_MAP, add, r, left, right);
	int end = add_op(p, "sink", CANP_PIPE_SINK, NULL, r, join, -1);

	return src < 0 ? src : left < 0 ? left : right < 0 ? right : join < 0 ? join : end;
}

int main(void)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	uint64_t sum = 0, dead = ITEMS / EVERY;
	struct canp_pipe_stats st;
	struct canp_pipe *p;
	struct run r;
	int rc;

	memset(&r, 0, sizeof(r));
	rc = canp_pipe_create("dag", "throughput", NULL, &p);
	if (rc) {
		fprintf(stderr, "dag: %s\n", canp_strerror(rc));
		return 1;
	}
	rc = make(p, &r);
	if (rc >= 0)
		rc = canp_pipe_build(p, &err);
	if (!rc)
		rc = canp_pipe_run(p); /* to the end of the source */
	if (rc)
		fprintf(stderr, "dag: %s %s\n", canp_strerror(rc), err.buf ? err.buf : "");
	canp_pipe_stats(p, &st);
	for (uint64_t i = 0; i < ITEMS; i++)
		sum += i % EVERY ? 2 * i + i * i : 0;
	printf("%" PRIu64 " of %u items arrived, %" PRIu64 " failed, sum %" PRIu64 ", %" PRIu64
	       " batches\n",
	       r.items, ITEMS, r.dead, r.sum, st.batches);
	canp_strbuf_fini(&err);
	canp_pipe_destroy(p);
	if (rc || r.items != ITEMS - dead || r.dead != dead || r.dead_wrong || r.out_of_order ||
	    r.sum != sum) {
		fprintf(stderr, "dag: wrong result\n");
		return 1;
	}
	return 0;
}
