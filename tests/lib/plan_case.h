/*
 * plan_case.h - plans from DBC text written in a test: files in a temporary folder, the warnings
 * collected, and look-ups by name. Each test binary has its own copy of the state.
 */
#ifndef CANP_TESTS_PLAN_CASE_H
#define CANP_TESTS_PLAN_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/strbuf.h"
#include "io/can/value.h"

#define M(id, name, len) "BO_ " #id " " name ": " #len " X\n"
#define S(...)           " SG_ " __VA_ARGS__ "\n"
#define A                S("a : 0|8@1+ (1,0) [0|0] \"\" X")

static struct canp_strbuf said;
static char dir[64];

static inline void note(void *arg, const char *line)
{
	(void)arg;
	canp_strbuf_puts(&said, line);
	canp_strbuf_putc(&said, '\n');
}

static inline bool warned(const char *what)
{
	return said.buf && strstr(said.buf, what);
}

/* Writes a DBC under dir; returns its path (valid until the test ends). */
static inline const char *dbc(const char *name, const char *text)
{
	static char paths[8][96];
	static unsigned next;
	char *path = paths[next++ % 8];
	FILE *f;

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

static inline struct canp_plan *plan_of(struct canp_plan_opts opts, struct canp_plan_dbc *v,
					size_t nr)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_plan *plan = NULL;

	canp_strbuf_fini(&said);
	opts.dbcs = v;
	opts.nr_dbcs = nr;
	assert_int_equal(canp_plan_create(&opts, &err, note, NULL, &plan), 0);
	assert_null(err.buf);
	return plan;
}

static inline struct canp_plan *plan_one(struct canp_plan_opts opts, const char *text)
{
	struct canp_plan_dbc v = {NULL, dbc("one.dbc", text)};

	return plan_of(opts, &v, 1);
}

static const struct canp_plan_opts none;

static inline const struct canp_table *table(const struct canp_plan *p, const char *name)
{
	for (uint32_t i = 0; i < p->nr_tables; i++)
		if (!strcmp(p->tables[i].name, name))
			return &p->tables[i];
	return NULL;
}

static inline const struct canp_col *col(const struct canp_table *t, const char *name)
{
	for (uint32_t i = 0; t && i < t->nr_cols; i++)
		if (!strcmp(t->cols[i].name, name))
			return &t->cols[i];
	return NULL;
}

static inline unsigned idx(const struct canp_table *t, const char *name)
{
	assert_non_null(col(t, name));
	return (unsigned)(col(t, name) - t->cols);
}

static inline const char *at(const struct canp_plan *p, const char *bus, unsigned number,
			     uint32_t id, bool ext)
{
	const struct canp_idmap *m = canp_plan_map(p, bus, number);
	const struct canp_table *t;
	unsigned slot;

	if (!m)
		return "no bus";
	slot = canp_idmap_find(m, id, ext);
	if (slot == CANP_SLOT_UNKNOWN)
		return "unknown";
	if (slot == CANP_SLOT_DROP)
		return "dropped";
	t = canp_plan_table(p, slot);
	assert_non_null(t);
	return t->name;
}

static inline int mux(const struct canp_table *t, const char *name, uint8_t b0, uint8_t b1)
{
	uint8_t data[8] = {b0, b1};
	uint64_t raw;

	return canp_plan_extract(t, idx(t, name), data, 8, &raw);
}

static inline int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/t_plan_XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static inline int teardown(void **state)
{
	static const char *const names[] = {"one",   "left",   "right", "all",
					    "named", "number", "late"};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s.dbc", dir, names[i]);
		unlink(path);
	}
	canp_strbuf_fini(&said);
	return rmdir(dir);
}

#endif
