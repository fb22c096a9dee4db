/*
 * plan_extra.c - the columns of plugins. A table gets a wider record: behind the record of the
 * frame stand the doubles, behind them eight bytes with one bit a column, which says that the row
 * has a value there. The doubles are laid out like float signals of the payload, the bits like
 * hidden one-bit multiplexors of them; so extraction, null values, encoding and CSV need to know
 * nothing of plugins, and a table without them is what it always was.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"
#include "core/base/units.h"
#include "io/can/plan_parts.h"

#define EXTRA_NAME_MAX 128u

static const struct canp_muxrange extra_present = {.lo = 1, .hi = 1};

static bool extra_name_ok(const char *name)
{
	static const char chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
	size_t len = strlen(name);

	return len && len <= EXTRA_NAME_MAX && strspn(name, chars) == len &&
	       (*name < '0' || *name > '9');
}

/* A column of the table has the name, or the sinks would make one. */
static bool extra_taken(const struct plan *p, const struct canp_table *t, const char *name)
{
	if (plan_name_reserved(name))
		return true;
	for (uint32_t i = 0; i < t->nr_cols; i++) {
		const char *have = t->cols[i].name;
		size_t len = strlen(have);

		if (!strcasecmp(have, name))
			return true;
		if (p->pub.opts.enum_labels && t->cols[i].nr_values &&
		    !strncasecmp(name, have, len) && !strcasecmp(name + len, "_label"))
			return true;
	}
	return false;
}

static int extra_check(const struct plan *p, const struct canp_table *t,
		       const struct canp_plan_extra *extra, unsigned nr, struct canp_strbuf *err)
{
	if (nr > CANP_PLAN_EXTRA_MAX) {
		canp_strbuf_printf(err, "plugin %s: message %s gets more than %u columns",
				   extra[CANP_PLAN_EXTRA_MAX].plugin, t->name, CANP_PLAN_EXTRA_MAX);
		return -E2BIG;
	}
	for (unsigned i = 0; i < nr; i++) {
		bool taken = false;

		if (!extra_name_ok(extra[i].name)) {
			canp_strbuf_printf(err,
					   "plugin %s: '%s' is no name of a column: letters, "
					   "digits and _ are, not beginning with a digit",
					   extra[i].plugin, extra[i].name);
			return -EINVAL;
		}
		for (unsigned k = 0; k < i; k++)
			taken |= !strcasecmp(extra[k].name, extra[i].name);
		if (taken || extra_taken(p, t, extra[i].name)) {
			canp_strbuf_printf(err, "plugin %s: message %s has a column %s already",
					   extra[i].plugin, t->name, extra[i].name);
			return -EEXIST;
		}
	}
	return 0;
}

static void extra_column(struct plan *p, struct canp_col *c, const struct canp_plan_extra *e,
			 unsigned byte, uint8_t win, int32_t presence)
{
	*c = (struct canp_col){
		.name = canp_bump_str(&p->mem, e->name, strlen(e->name)),
		.unit = e->unit ? canp_bump_str(&p->mem, e->unit, strlen(e->unit)) : "",
		.comment = plan_printf(p, "made by plugin %s", e->plugin),
		.plugin = canp_bump_str(&p->mem, e->plugin, strlen(e->plugin)),
		.type = CANP_COL_F64,
		.src = CANP_SRC_SIGNAL,
		.store = CANP_STORE_U64,
		.raw_bits = 64,
		.is_float = 64,
		.start_bit = (uint16_t)(8 * byte),
		.win = win,
		.factor = 1,
		.mux_parent = presence,
		.nr_mux = 1,
		.mux = &extra_present,
	};
	c->dbc_name = c->name;
}

static void extra_bit(struct plan *p, struct canp_col *c, const struct canp_col *of, unsigned byte,
		      uint8_t win, uint8_t bit)
{
	*c = (struct canp_col){
		.name = plan_printf(p, "%s is there", of->name),
		.unit = "",
		.comment = "",
		.plugin = of->plugin,
		.type = CANP_COL_BOOL,
		.src = CANP_SRC_SIGNAL,
		.store = CANP_STORE_INDEX,
		.raw_bits = 1,
		.start_bit = (uint16_t)(8 * byte + bit),
		.win = win,
		.shift = bit,
		.integral = true,
		.factor = 1,
		.ifactor = 1,
		.mux_parent = -1,
		.hidden = true,
	};
	c->dbc_name = c->name;
}

int canp_plan_widen(struct canp_plan *plan, unsigned slot, const struct canp_plan_extra *extra,
		    unsigned nr, struct canp_strbuf *err)
{
	struct canp_table *t = &plan->tables[slot - CANP_SLOT_FIRST_TABLE];
	struct plan *p = plan->priv;
	/* Windows count from the payload. */
	unsigned byte = t->stride - t->payload_off, bits = byte + 8 * nr;
	struct canp_window *wins;
	struct canp_col *cols;
	int rc = t->nr_extra ? -EINVAL : extra_check(p, t, extra, nr, err);

	if (rc || !nr)
		return rc;
	cols = canp_bump_alloc(&p->mem, (t->nr_cols + 2ul * nr) * sizeof(*cols));
	wins = canp_bump_alloc(&p->mem, (t->nr_wins + nr + 1ul) * sizeof(*wins));
	if (!cols || !wins)
		return -ENOMEM;
	memcpy(cols, t->cols, t->nr_cols * sizeof(*cols));
	memcpy(wins, t->wins, t->nr_wins * sizeof(*wins));
	for (unsigned i = 0; i < nr; i++) {
		struct canp_col *c = &cols[t->nr_cols + i];

		wins[t->nr_wins + i].off = (uint8_t)(byte + 8 * i);
		extra_column(p, c, &extra[i], byte + 8 * i, (uint8_t)(t->nr_wins + i),
			     (int32_t)(t->nr_cols + nr + i));
		extra_bit(p, c + nr, c, bits, (uint8_t)(t->nr_wins + nr), (uint8_t)i);
	}
	wins[t->nr_wins + nr].off = (uint8_t)bits;
	t->extra_off = t->stride;
	t->nr_extra = (uint8_t)nr;
	t->stride = (uint16_t)canp_align_up(t->stride + 8u * (nr + 1), 16u);
	t->cols = cols;
	t->wins = wins;
	t->nr_cols += 2 * nr;
	t->nr_wins += nr + 1;
	plan_finish_columns(t);
	return p->mem.failed ? -ENOMEM : plan_hash(p);
}
