/*
 * mesh.c - lanes between shards, and the protocol that lets an idle shard sleep without losing a
 * message.
 *
 * Sending only appends to a FIFO of the sender; every SEND_BATCH messages, and at flush, what is
 * waiting moves to the lane in one push, the receiver's bit for this sender is set, and at flush
 * the receiver is woken if it sleeps. A receiver looks at its bits, not at every lane, so an idle
 * mesh of many shards costs a few loads.
 *
 * Sleep protocol (store, then look, on both sides; one of the two must see the other):
 *   receiver  S1 state = ASLEEP (sequentially consistent)   S2 look at bits and kicked; if any: no
 * sleep sender    W1 set bit or kicked (sequentially consistent)  W2 look at state; ASLEEP ->
 * WOKEN: wake The exchange ASLEEP -> WOKEN succeeds for one sender only, so a sleeper gets one
 * wake-up however many lanes were filled.
 *
 * A sender whose lane was full may sleep too: it first raises want_room on the lane (F1) and tries
 * once more (F2); a receiver that popped (F3) takes want_room down and kicks the sender (F4). F1
 * and F4 exchange the same word, so either the receiver sees it raised, or the sender's second try
 * sees the room.
 *
 * A lane is initialised by its sender before the first push, so a large mesh costs only the lanes
 * that are used; the receiver touches a lane only after it saw the bit that the push set.
 */
#include "core/runtime/mesh.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/assert.h"
#include "core/base/compiler.h"
#include "core/base/spsc.h"
#include "core/base/units.h"
#include "core/runtime/ring.h"

#define MESH_SHARDS_MAX 256u
#define MESH_WORDS      (MESH_SHARDS_MAX / 64)
/* Messages that move to a lane at once: enough to share the cost of one cache line transfer. */
#define MESH_SEND_BATCH 16u
#define MESH_RECV_BATCH 32u
#define MESH_RETURNED   0x8000u

enum { MESH_AWAKE, MESH_ASLEEP, MESH_WOKEN };

struct mesh_lane {
	struct canp_spsc q;
	CANP_ALIGNED(CANP_CACHELINE) uint32_t want_room; /* both sides, rarely raised */
	uint32_t ready;                                  /* sender only */
	CANP_ALIGNED(CANP_CACHELINE) void *slots[CANP_MESH_LANE_SLOTS];
};

/* What other threads write about a shard. */
struct mesh_inbox {
	CANP_ALIGNED(CANP_CACHELINE)
	uint64_t bits[MESH_WORDS]; /* senders whose lane has something */
	uint32_t kicked;
	uint32_t state;
	struct canp_ring *ring;
};

/* What only the shard itself uses. */
struct mesh_outbox {
	CANP_ALIGNED(CANP_CACHELINE) uint64_t dirty[MESH_WORDS]; /* targets flush has to look at */
	uint64_t seen[MESH_WORDS]; /* senders whose lane is not drained yet */
	uint32_t waiting;          /* messages in all FIFOs but the one to itself */
	uint32_t next;             /* sender recv begins with: fairness */
	struct canp_fifo *fifo;    /* one per target */
	uint32_t *nr_fifo;
};

struct canp_mesh {
	unsigned nr;
	struct mesh_lane *lanes; /* lanes[from * nr + to] */
	size_t lanes_bytes;
	struct mesh_inbox *in;
	struct mesh_outbox *out;
};

static struct mesh_lane *mesh_lane(struct canp_mesh *m, unsigned from, unsigned to)
{
	return &m->lanes[(size_t)from * m->nr + to];
}

static struct canp_msg *mesh_msg_of(struct canp_fifo_node *n)
{
	return canp_container_of(n, struct canp_msg, node);
}

static void mesh_set(uint64_t *words, unsigned i)
{
	words[i / 64] |= 1ULL << (i % 64);
}

static void mesh_clear(uint64_t *words, unsigned i)
{
	words[i / 64] &= ~(1ULL << (i % 64));
}

int canp_mesh_create(unsigned nr_shards, struct canp_mesh **out)
{
	struct canp_mesh *m;
	void *lanes;

	if (nr_shards == 0 || nr_shards > MESH_SHARDS_MAX)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->nr = nr_shards;
	m->lanes_bytes = (size_t)nr_shards * nr_shards * sizeof(struct mesh_lane);
	/* A mapping, because its untouched pages cost nothing. */
	lanes = mmap(NULL, m->lanes_bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	m->lanes = lanes == MAP_FAILED ? NULL : lanes;
	m->in = aligned_alloc(CANP_CACHELINE, nr_shards * sizeof(m->in[0]));
	m->out = aligned_alloc(CANP_CACHELINE, nr_shards * sizeof(m->out[0]));
	if (m->in)
		memset(m->in, 0, nr_shards * sizeof(m->in[0]));
	if (m->out)
		memset(m->out, 0, nr_shards * sizeof(m->out[0]));
	if (!m->lanes || !m->in || !m->out)
		goto out_nomem;
	for (unsigned i = 0; i < nr_shards; i++) {
		m->out[i].fifo = calloc(nr_shards, sizeof(struct canp_fifo));
		m->out[i].nr_fifo = calloc(nr_shards, sizeof(uint32_t));
		if (!m->out[i].fifo || !m->out[i].nr_fifo)
			goto out_nomem;
	}
	*out = m;
	return 0;
out_nomem:
	canp_mesh_destroy(m);
	return -ENOMEM;
}

void canp_mesh_destroy(struct canp_mesh *m)
{
	if (!m)
		return;
	for (unsigned i = 0; m->out && i < m->nr; i++) {
		free(m->out[i].fifo);
		free(m->out[i].nr_fifo);
	}
	if (m->lanes)
		munmap(m->lanes, m->lanes_bytes);
	free(m->in);
	free(m->out);
	free(m);
}

void canp_mesh_attach(struct canp_mesh *m, unsigned shard, struct canp_ring *ring)
{
	CANP_ASSERT(shard < m->nr);
	__atomic_store_n(&m->in[shard].ring, ring, __ATOMIC_RELEASE);
}

/* W2: wakes the shard if it sleeps and nobody else has woken it. */
static void mesh_wake(struct mesh_inbox *in)
{
	uint32_t expect = MESH_ASLEEP;
	struct canp_ring *ring;

	if (__atomic_load_n(&in->state, __ATOMIC_SEQ_CST) != MESH_ASLEEP)
		return;
	if (!__atomic_compare_exchange_n(&in->state, &expect, MESH_WOKEN, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return;
	ring = __atomic_load_n(&in->ring, __ATOMIC_ACQUIRE);
	if (ring)
		canp_ring_wake(ring);
}

void canp_mesh_kick(struct canp_mesh *m, unsigned shard)
{
	CANP_ASSERT(shard < m->nr);
	__atomic_store_n(&m->in[shard].kicked, 1, __ATOMIC_SEQ_CST); /* W1 */
	mesh_wake(&m->in[shard]);
}

/* Moves what is waiting for `to` into its lane, as much as fits, and tells the receiver's bits. */
static void mesh_push(struct canp_mesh *m, unsigned from, unsigned to)
{
	struct mesh_lane *lane = mesh_lane(m, from, to);
	struct mesh_outbox *out = &m->out[from];
	uint32_t room, left;

	if (canp_unlikely(!lane->ready)) {
		canp_spsc_init(&lane->q, lane->slots, CANP_MESH_LANE_SLOTS);
		lane->ready = 1;
	}
	room = canp_spsc_room(&lane->q);
	left = canp_min(room, out->nr_fifo[to]);
	if (!left)
		return;
	out->nr_fifo[to] -= left;
	out->waiting -= left;
	while (left) {
		void *batch[MESH_SEND_BATCH];
		uint32_t n = canp_min(left, MESH_SEND_BATCH);

		/* Unlinked before the push: from then on the message is the receiver's. */
		for (uint32_t i = 0; i < n; i++)
			batch[i] = mesh_msg_of(canp_fifo_pop(&out->fifo[to]));
		CANP_ASSERT(canp_spsc_push(&lane->q, batch, n) == n);
		left -= n;
	}
	__atomic_fetch_or(&m->in[to].bits[from / 64], 1ULL << (from % 64),
			  __ATOMIC_SEQ_CST); /* W1 */
}

static void mesh_post(struct canp_mesh *m, unsigned from, unsigned to, struct canp_msg *msg)
{
	struct mesh_outbox *out = &m->out[from];

	canp_fifo_push(&out->fifo[to], &msg->node);
	out->nr_fifo[to]++;
	if (to == from)
		return; /* recv takes it from the FIFO */
	out->waiting++;
	mesh_set(out->dirty, to);
	if (out->nr_fifo[to] % MESH_SEND_BATCH == 0)
		mesh_push(m, from, to);
}

void canp_mesh_send(struct canp_mesh *m, unsigned from, unsigned to, struct canp_msg *msg)
{
	CANP_ASSERT(from < m->nr && to < m->nr && !(msg->kind & MESH_RETURNED));
	msg->home = (uint16_t)from;
	mesh_post(m, from, to, msg);
}

void canp_mesh_return(struct canp_mesh *m, unsigned from, struct canp_msg *msg)
{
	CANP_ASSERT(from < m->nr && msg->home < m->nr && !(msg->kind & MESH_RETURNED));
	msg->kind |= MESH_RETURNED;
	mesh_post(m, from, msg->home, msg);
}

struct mesh_sink {
	void (*fn)(void *arg, unsigned from, struct canp_msg *msg, bool returned);
	void *arg;
};

static void mesh_deliver(const struct mesh_sink *sink, unsigned from, struct canp_msg *msg)
{
	bool returned = msg->kind & MESH_RETURNED;

	msg->kind &= (uint16_t)~MESH_RETURNED;
	sink->fn(sink->arg, from, msg, returned);
}

/* Those sent before this call; what a callback sends to itself waits for the next. */
static unsigned mesh_recv_self(struct canp_mesh *m, unsigned self, unsigned max,
			       const struct mesh_sink *sink)
{
	struct mesh_outbox *out = &m->out[self];
	unsigned n = canp_min(out->nr_fifo[self], max);

	for (unsigned i = 0; i < n; i++) {
		out->nr_fifo[self]--;
		mesh_deliver(sink, self, mesh_msg_of(canp_fifo_pop(&out->fifo[self])));
	}
	return n;
}

static unsigned mesh_recv_lane(struct canp_mesh *m, unsigned self, unsigned from, unsigned max,
			       const struct mesh_sink *sink)
{
	struct mesh_lane *lane = mesh_lane(m, from, self);
	unsigned got = 0;

	while (got < max) {
		void *batch[MESH_RECV_BATCH];
		uint32_t want = canp_min(max - got, MESH_RECV_BATCH);
		uint32_t n = canp_spsc_pop(&lane->q, batch, want); /* F3 */

		for (uint32_t i = 0; i < n; i++)
			mesh_deliver(sink, from, batch[i]);
		got += n;
		if (n < want) {
			mesh_clear(m->out[self].seen, from);
			break;
		}
	}
	/* F4. The exchange is needed even when the word is down: see the head of the file. */
	if (canp_unlikely(__atomic_exchange_n(&lane->want_room, 0, __ATOMIC_ACQ_REL)))
		canp_mesh_kick(m, from);
	return got;
}

unsigned canp_mesh_recv(struct canp_mesh *m, unsigned self, unsigned max,
			void (*fn)(void *arg, unsigned from, struct canp_msg *msg, bool returned),
			void *arg)
{
	struct mesh_outbox *out = &m->out[self];
	struct mesh_sink sink = {fn, arg};
	unsigned first = out->next, nr_words = (m->nr + 63) / 64;
	unsigned got = mesh_recv_self(m, self, max, &sink);
	uint64_t any = 0;

	for (unsigned w = 0; w < nr_words; w++) {
		uint64_t *bits = &m->in[self].bits[w];

		if (__atomic_load_n(bits, __ATOMIC_RELAXED))
			out->seen[w] |= __atomic_exchange_n(bits, 0, __ATOMIC_SEQ_CST);
		any |= out->seen[w];
	}
	if (!any)
		return got;
	for (unsigned i = 0; i < m->nr && got < max; i++) {
		unsigned from = first + i < m->nr ? first + i : first + i - m->nr;

		if (!(out->seen[from / 64] >> (from % 64) & 1))
			continue;
		got += mesh_recv_lane(m, self, from, max - got, &sink);
		out->next = from + 1 < m->nr ? from + 1 : 0;
	}
	return got;
}

unsigned canp_mesh_flush(struct canp_mesh *m, unsigned self)
{
	struct mesh_outbox *out = &m->out[self];
	unsigned nr_words = (m->nr + 63) / 64;

	for (unsigned w = 0; w < nr_words; w++) {
		uint64_t todo = out->dirty[w];

		while (todo) {
			unsigned to = w * 64 + (unsigned)__builtin_ctzll(todo);

			todo &= todo - 1;
			if (out->nr_fifo[to])
				mesh_push(m, self, to);
			if (!out->nr_fifo[to])
				mesh_clear(out->dirty, to);
			mesh_wake(&m->in[to]);
		}
	}
	return out->waiting;
}

/* True when every message not yet in a lane waits for room that its receiver will announce. */
static bool mesh_only_full_lanes(struct canp_mesh *m, unsigned self)
{
	struct mesh_outbox *out = &m->out[self];

	for (unsigned to = 0; to < m->nr; to++) {
		struct mesh_lane *lane = mesh_lane(m, self, to);

		if (!(out->dirty[to / 64] >> (to % 64) & 1))
			continue;
		if (!out->nr_fifo[to] || !lane->ready)
			return false; /* not flushed since it was sent */
		__atomic_exchange_n(&lane->want_room, 1, __ATOMIC_ACQ_REL); /* F1 */
		if (canp_spsc_room(&lane->q))                               /* F2 */
			return false;
	}
	return true;
}

static bool mesh_has_mail(struct canp_mesh *m, unsigned self)
{
	struct mesh_inbox *in = &m->in[self];
	uint64_t any = 0;

	for (unsigned w = 0; w < MESH_WORDS; w++)
		any |= __atomic_load_n(&in->bits[w], __ATOMIC_SEQ_CST) | m->out[self].seen[w];
	return any || m->out[self].nr_fifo[self];
}

bool canp_mesh_sleep_prepare(struct canp_mesh *m, unsigned self)
{
	struct mesh_inbox *in = &m->in[self];

	__atomic_exchange_n(&in->state, MESH_ASLEEP, __ATOMIC_SEQ_CST); /* S1 */
	if (mesh_only_full_lanes(m, self) && !mesh_has_mail(m, self) &&
	    !__atomic_exchange_n(&in->kicked, 0, __ATOMIC_SEQ_CST)) /* S2 */
		return true;
	__atomic_store_n(&in->state, MESH_AWAKE, __ATOMIC_SEQ_CST);
	return false;
}

void canp_mesh_sleep_done(struct canp_mesh *m, unsigned self)
{
	__atomic_store_n(&m->in[self].state, MESH_AWAKE, __ATOMIC_SEQ_CST);
}
