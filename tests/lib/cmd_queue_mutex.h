/*
 * cmd_queue_mutex.h - the queue of the command pool with a mutex: the same functions, so a program
 * that includes this runs the pool on it instead of core/command/cmd_queue.c.
 */
#include <pthread.h>
#include <stdlib.h>

#include "core/command/cmd_queue.h"

struct canp_cmd_queue {
	pthread_mutex_t lock;
	uint32_t head, tail, cap;
	uint32_t v[];
};

struct canp_cmd_queue *canp_cmd_queue_create(uint32_t cap)
{
	struct canp_cmd_queue *q = calloc(1, sizeof(*q) + cap * sizeof(q->v[0]));

	q->cap = cap;
	pthread_mutex_init(&q->lock, NULL);
	return q;
}

void canp_cmd_queue_destroy(struct canp_cmd_queue *q)
{
	if (q)
		pthread_mutex_destroy(&q->lock);
	free(q);
}

bool canp_cmd_queue_push(struct canp_cmd_queue *q, const uint32_t *v, uint32_t n)
{
	bool room;

	pthread_mutex_lock(&q->lock);
	room = q->tail - q->head + n <= q->cap;
	for (uint32_t i = 0; i < n && room; i++)
		q->v[q->tail++ % q->cap] = v[i];
	pthread_mutex_unlock(&q->lock);
	return room;
}

bool canp_cmd_queue_pop(struct canp_cmd_queue *q, uint32_t *v)
{
	bool any;

	pthread_mutex_lock(&q->lock);
	any = q->tail != q->head;
	if (any)
		*v = q->v[q->head++ % q->cap];
	pthread_mutex_unlock(&q->lock);
	return any;
}

uint32_t canp_cmd_queue_count(const struct canp_cmd_queue *cq)
{
	struct canp_cmd_queue *q = (struct canp_cmd_queue *)(uintptr_t)cq;
	uint32_t n;

	pthread_mutex_lock(&q->lock);
	n = q->tail - q->head;
	pthread_mutex_unlock(&q->lock);
	return n;
}
