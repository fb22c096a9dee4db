/*
 * bump.h - allocation that only grows and is freed at once: for things built once and kept, such
 * as a parsed DBC or a plan. Control plane only, one thread at a time.
 *
 * A failed allocation sets ->failed and gives NULL; builders may go on and check the flag at the
 * places where they would use the memory.
 */
#ifndef CANP_BASE_BUMP_H
#define CANP_BASE_BUMP_H

#include <stdbool.h>
#include <stddef.h>

struct canp_bump_block;

struct canp_bump {
	struct canp_bump_block *head;
	size_t bytes; /* handed out so far */
	bool failed;
};

#define CANP_BUMP_INIT                                                                             \
	{                                                                                          \
		0                                                                                  \
	}

/* Zeroed memory, aligned to 16 bytes, owned by the bump; NULL when there is none. */
void *canp_bump_alloc(struct canp_bump *b, size_t bytes);
/* Copy of len bytes with a NUL behind; NULL when there is no memory. */
char *canp_bump_str(struct canp_bump *b, const char *s, size_t len);
/* Room for element nr of an array that holds nr elements: returns the array, moved when it was
 * full (the old one stays readable until canp_bump_fini()), or NULL when there is no memory. */
void *canp_bump_grow(struct canp_bump *b, void *array, size_t nr, size_t elem_bytes);
/* Frees everything; the bump is empty and usable afterwards. */
void canp_bump_fini(struct canp_bump *b);

#endif
