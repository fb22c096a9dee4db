/*
 * sidetable.c - rows of the small tables in memory. Texts are kept once and numbered; the same
 * names, paths and classes repeat in every row.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "io/sink/side_priv.h"

int canp_sidetable_create(const struct canp_side_col *cols, uint32_t nr_cols,
			  struct canp_sidetable **out)
{
	struct canp_sidetable *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->cols = calloc(nr_cols, sizeof(*t->cols));
	if (!t->cols)
		goto fail;
	for (; t->nr_cols < nr_cols; t->nr_cols++) {
		struct side_col *c = &t->cols[t->nr_cols];

		c->type = cols[t->nr_cols].type;
		c->optional = cols[t->nr_cols].optional;
		c->name = strdup(cols[t->nr_cols].name);
		if (!c->name)
			goto fail;
	}
	*out = t;
	return 0;
fail:
	canp_sidetable_destroy(t);
	return -ENOMEM;
}

void canp_sidetable_destroy(struct canp_sidetable *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		free(t->cols[i].name);
		free(t->cols[i].vals);
		free(t->cols[i].valid);
	}
	for (uint32_t i = 0; i < t->nr_texts; i++)
		free(t->texts[i]);
	free(t->texts);
	free(t->hash);
	free(t->cols);
	free(t);
}

static int side_grow(struct canp_sidetable *t)
{
	uint64_t cap = t->cap ? t->cap * 2 : 256;

	for (uint32_t i = 0; i < t->nr_cols; i++) {
		struct side_col *c = &t->cols[i];
		uint64_t *vals = realloc(c->vals, cap * sizeof(*vals));
		uint8_t *valid;

		if (!vals)
			return -ENOMEM;
		c->vals = vals;
		valid = realloc(c->valid, cap);
		if (!valid)
			return -ENOMEM;
		c->valid = valid;
	}
	t->cap = cap;
	return 0;
}

static uint32_t *hash_slot(const struct canp_sidetable *t, const char *s)
{
	uint64_t h = canp_hash_bytes(s, strlen(s));

	for (;; h++) {
		uint32_t *slot = &t->hash[h & (t->cap_hash - 1)];

		if (!*slot || !strcmp(t->texts[*slot - 1], s))
			return slot;
	}
}

static int hash_grow(struct canp_sidetable *t)
{
	uint32_t cap = t->cap_hash ? t->cap_hash * 2 : 512;
	char **texts = realloc(t->texts, cap / 2 * sizeof(*texts));
	uint32_t *hash;

	if (!texts)
		return -ENOMEM;
	t->texts = texts;
	hash = calloc(cap, sizeof(*hash));
	if (!hash)
		return -ENOMEM;
	free(t->hash);
	t->hash = hash;
	t->cap_hash = cap;
	t->cap_texts = cap / 2;
	for (uint32_t i = 0; i < t->nr_texts; i++)
		*hash_slot(t, t->texts[i]) = i + 1;
	return 0;
}

/* Number of a text; -ENOMEM. */
static int64_t text_number(struct canp_sidetable *t, const char *s)
{
	uint32_t *slot;
	char *copy;

	if (t->nr_texts == t->cap_texts && hash_grow(t))
		return -ENOMEM;
	slot = hash_slot(t, s);
	if (!*slot) {
		copy = strdup(s);
		if (!copy)
			return -ENOMEM;
		t->texts[t->nr_texts++] = copy;
		*slot = t->nr_texts;
	}
	return (int64_t)*slot - 1;
}

int canp_sidetable_add(struct canp_sidetable *t, const struct canp_side_val *vals)
{
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		const struct side_col *c = &t->cols[i];

		if (!vals[i].valid && !c->optional)
			return -EINVAL;
		if (vals[i].valid && c->type == CANP_SIDE_STRING &&
		    (!vals[i].s || strlen(vals[i].s) > SIDE_TEXT_MAX))
			return -EINVAL;
	}
	if (t->rows == t->cap && side_grow(t))
		return -ENOMEM;
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		struct side_col *c = &t->cols[i];
		int64_t n;

		c->valid[t->rows] = vals[i].valid;
		c->vals[t->rows] = 0;
		if (!vals[i].valid)
			continue;
		c->vals[t->rows] = vals[i].u;
		if (c->type != CANP_SIDE_STRING)
			continue;
		n = text_number(t, vals[i].s);
		if (n < 0)
			return (int)n;
		c->vals[t->rows] = (uint64_t)n;
	}
	t->rows++;
	return 0;
}

uint64_t canp_sidetable_rows(const struct canp_sidetable *t)
{
	return t->rows;
}
