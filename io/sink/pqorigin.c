/*
 * pqorigin.c - the dictionary of an origin column (src, device, bus) at the close of a row group: a
 * sorted dictionary of what occurs, found in the runs of equal origin that the producers noted,
 * never by looking at rows.
 */
#include <string.h>

#include "core/base/assert.h"
#include "io/sink/pq_priv.h"

uint32_t canp_pqc_meta_key(const struct canp_pqleaf *l, const struct canp_run_meta *m)
{
	if (l->kind == CANP_PQL_SRC)
		return m->src;
	return l->kind == CANP_PQL_DEVICE ? m->device : m->bus;
}

static void sift_down(uint32_t *v, uint32_t at, uint32_t n)
{
	for (;;) {
		uint32_t kid = 2 * at + 1, tmp;

		if (kid >= n)
			return;
		if (kid + 1 < n && v[kid + 1] > v[kid])
			kid++;
		if (v[at] >= v[kid])
			return;
		tmp = v[at];
		v[at] = v[kid];
		v[kid] = tmp;
		at = kid;
	}
}

/* Heap sort: bounded memory and time, no allocation (qsort of the C library may allocate). */
static void keys_sort(uint32_t *v, uint32_t n)
{
	for (uint32_t i = n / 2; i-- > 0;)
		sift_down(v, i, n);
	for (uint32_t i = n; i-- > 1;) {
		uint32_t tmp = v[0];

		v[0] = v[i];
		v[i] = tmp;
		sift_down(v, 0, i);
	}
}

const char *canp_pqc_device_name(const struct canp_pqw *w, uint32_t key)
{
	const char *s = w->o.device_name ? w->o.device_name(w->o.arg, key) : NULL;

	return s ? s : "";
}

/* Entries of the device dictionary in the order of their names, so that the file does not depend
 * on the order in which devices were met. Few devices: insertion sort. */
static void device_order(struct canp_pqw *w)
{
	struct canp_pqshared *sh = w->o.shared;

	for (uint32_t i = 0; i < sh->nr_keys; i++) {
		uint32_t at = i;

		while (at > 0 && strcmp(canp_pqc_device_name(w, sh->keys[sh->order[at - 1]]),
					canp_pqc_device_name(w, sh->keys[i])) > 0) {
			sh->order[at] = sh->order[at - 1];
			at--;
		}
		sh->order[at] = (uint16_t)i;
	}
	for (uint32_t i = 0; i < sh->nr_keys; i++)
		sh->remap[sh->order[i]] = (uint16_t)i;
}

void canp_pqc_plan_origin(struct canp_pqw *w, const struct canp_pqleaf *l)
{
	struct canp_pqshared *sh = w->o.shared;
	struct canp_segcur cur = canp_segcur_at(&w->meta);
	struct canp_run_meta m;
	uint32_t n = 0, u = 0;
	bool sorted = true;

	while (canp_segcur_read(&cur, &m, sizeof(m)) == sizeof(m)) {
		uint32_t key = canp_pqc_meta_key(l, &m);

		if (n && sh->keys[n - 1] == key)
			continue;
		if (n == CANP_PQ_KEYS_MAX) { /* many changes between few: drop the repeats */
			keys_sort(sh->keys, n);
			for (uint32_t i = u = 0; i < n; i++) {
				if (!u || sh->keys[i] != sh->keys[u - 1])
					sh->keys[u++] = sh->keys[i];
			}
			n = u;
			sorted = false;
			CANP_ASSERT(n < CANP_PQ_KEYS_MAX);
		}
		sorted &= !n || sh->keys[n - 1] < key;
		sh->keys[n++] = key;
	}
	if (!sorted)
		keys_sort(sh->keys, n);
	for (uint32_t i = u = 0; i < n; i++) {
		if (!u || sh->keys[i] != sh->keys[u - 1])
			sh->keys[u++] = sh->keys[i];
	}
	sh->nr_keys = u;
	if (l->kind == CANP_PQL_DEVICE)
		device_order(w);
	w->c.enc = CANP_PQ_DICT;
	w->c.exact = true;
	w->c.sorted = true;
	w->c.dict_n = u;
	w->c.width = canp_pqc_bits_for(u);
}
