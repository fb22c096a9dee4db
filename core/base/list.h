/*
 * list.h - intrusive doubly linked list and a singly linked FIFO. The links live in the caller's
 * own struct, so nothing is allocated.
 */
#ifndef CANP_BASE_LIST_H
#define CANP_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

struct canp_list {
	struct canp_list *next, *prev;
};

static inline void canp_list_init(struct canp_list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool canp_list_empty(const struct canp_list *l)
{
	return l->next == l;
}

static inline void canp_list_add_tail(struct canp_list *l, struct canp_list *n)
{
	n->prev = l->prev;
	n->next = l;
	l->prev->next = n;
	l->prev = n;
}

static inline void canp_list_add(struct canp_list *l, struct canp_list *n)
{
	canp_list_add_tail(l->next, n);
}

static inline void canp_list_del(struct canp_list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	canp_list_init(n);
}

static inline struct canp_list *canp_list_pop(struct canp_list *l)
{
	struct canp_list *n = l->next;

	if (n == l)
		return NULL;
	canp_list_del(n);
	return n;
}

#define canp_list_for_each(pos, head) for (pos = (head)->next; pos != (head); pos = pos->next)
#define canp_list_for_each_safe(pos, tmp, head)                                                    \
	for (pos = (head)->next, tmp = pos->next; pos != (head); pos = tmp, tmp = pos->next)

struct canp_fifo_node {
	struct canp_fifo_node *next;
};

struct canp_fifo {
	struct canp_fifo_node *head, *tail;
};

static inline void canp_fifo_push(struct canp_fifo *f, struct canp_fifo_node *n)
{
	n->next = NULL;
	if (f->tail)
		f->tail->next = n;
	else
		f->head = n;
	f->tail = n;
}

static inline struct canp_fifo_node *canp_fifo_pop(struct canp_fifo *f)
{
	struct canp_fifo_node *n = f->head;

	if (!n)
		return NULL;
	f->head = n->next;
	if (!f->head)
		f->tail = NULL;
	n->next = NULL;
	return n;
}

CANP_END_DECLS

#endif
