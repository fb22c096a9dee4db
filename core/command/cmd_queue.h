/*
 * cmd_queue.h - the queue of the command pool: bounded, FIFO, many producers and consumers, without
 * locks. It carries record numbers. Neither side ever waits for the other; who finds it full or
 * empty is told so.
 *
 * The functions are the contract: the tests run the pool on a second implementation with a mutex
 * that they link in place of cmd_queue.c.
 */
#ifndef CANP_COMMAND_CMD_QUEUE_H
#define CANP_COMMAND_CMD_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct canp_cmd_queue;

/* Room for at least cap numbers (1..2^24). NULL: no memory. */
struct canp_cmd_queue *canp_cmd_queue_create(uint32_t cap);
void canp_cmd_queue_destroy(struct canp_cmd_queue *q);
/* All n at once, next to each other, or none. Any thread. */
bool canp_cmd_queue_push(struct canp_cmd_queue *q, const uint32_t *v, uint32_t n);
/* The oldest. Any thread. */
bool canp_cmd_queue_pop(struct canp_cmd_queue *q, uint32_t *v);
/* Exact when nobody pushes or pops. Any thread. */
uint32_t canp_cmd_queue_count(const struct canp_cmd_queue *q);

#endif
