/*
 * bump.c - blocks of 64 KiB, larger ones for larger requests. Arrays double by copying: half of the
 * memory may be waste, which is nothing against the simplicity of one free.
 */
#include "core/base/bump.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/units.h"

#define BUMP_BLOCK_BYTES (64 * CANP_KIB)
#define BUMP_FIRST_ELEMS 4u

struct canp_bump_block {
	struct canp_bump_block *next;
	size_t used, cap;
	/* Data follows; the head is padded so that it stays aligned to 16 bytes. */
	size_t pad;
};

void *canp_bump_alloc(struct canp_bump *b, size_t bytes)
{
	struct canp_bump_block *blk = b->head;
	size_t need;
	uint8_t *p;

	if (bytes > SIZE_MAX / 4) {
		b->failed = true;
		return NULL;
	}
	need = canp_align_up(bytes ? bytes : (size_t)1, 16);
	if (!blk || need > blk->cap - blk->used) {
		size_t cap = need > BUMP_BLOCK_BYTES / 4 ? need : BUMP_BLOCK_BYTES;

		blk = malloc(sizeof(*blk) + cap);
		if (!blk) {
			b->failed = true;
			return NULL;
		}
		blk->used = 0;
		blk->cap = cap;
		/* A block made for one large request is full at once: keep the open one in front.
		 */
		if (cap == need && b->head) {
			blk->next = b->head->next;
			b->head->next = blk;
		} else {
			blk->next = b->head;
			b->head = blk;
		}
	}
	p = (uint8_t *)(blk + 1) + blk->used;
	blk->used += need;
	b->bytes += need;
	memset(p, 0, need);
	return p;
}

char *canp_bump_str(struct canp_bump *b, const char *s, size_t len)
{
	char *p = canp_bump_alloc(b, len + 1);

	if (p && len)
		memcpy(p, s, len);
	return p;
}

void *canp_bump_grow(struct canp_bump *b, void *array, size_t nr, size_t elem_bytes)
{
	void *p;

	if (nr && (nr < BUMP_FIRST_ELEMS || (nr & (nr - 1))))
		return array;
	if (nr > SIZE_MAX / 8 / elem_bytes) {
		b->failed = true;
		return NULL;
	}
	p = canp_bump_alloc(b, (nr ? 2 * nr : BUMP_FIRST_ELEMS) * elem_bytes);
	if (p && nr)
		memcpy(p, array, nr * elem_bytes);
	return p;
}

void canp_bump_fini(struct canp_bump *b)
{
	struct canp_bump_block *blk = b->head;

	while (blk) {
		struct canp_bump_block *next = blk->next;

		free(blk);
		blk = next;
	}
	*b = (struct canp_bump)CANP_BUMP_INIT;
}
