/*
 * plan_parts.h - what the parts of the planner share; private to io/can/plan*.c.
 *
 * plan.c reads the DBCs and runs the steps in order; plan_j1939.c says which messages are J1939,
 * CAN FD or need a transport protocol; plan_map.c decides which definition an id means on each bus;
 * plan_names.c names tables and columns; plan_select.c applies --select and --exclude; plan_mux.c
 * finds multiplexors; plan_cols.c lays out columns and windows; plan_extra.c adds the columns of
 * plugins afterwards.
 *
 * A definition is one message of one DBC; equal ones of several DBCs are one definition. The names
 * are given before the selection, so a selection never renames what it leaves.
 */
#ifndef CANP_IO_PLAN_PARTS_H
#define CANP_IO_PLAN_PARTS_H

#include "core/base/bump.h"
#include "core/base/compiler.h"
#include "io/can/dbc.h"
#include "io/can/plan.h"

/* Slots are 16 bits; definitions are numbered as slots while the maps are made. */
#define PLAN_DEFS_MAX (UINT16_MAX - CANP_SLOT_FIRST_TABLE)
/* A payload of a transport protocol beyond this is not laid out: `need` has eight bits. */
#define PLAN_PAYLOAD_MAX 255u

struct plan_sig { /* one signal of a definition */
	const struct canp_dbc_signal *dbc;
	const char *name; /* unique column name */
	int32_t parent;   /* signal index of the multiplexor, -1: always present */
	uint32_t nr_mux;
	const struct canp_muxrange *mux;
	uint8_t need;
	bool usable; /* lies inside the record */
	bool output; /* selected */
	bool wanted; /* selected, or the multiplexor of a selected one */
	int32_t col; /* column index, -1 */
};

struct plan_def {
	const struct canp_dbc *dbc; /* first DBC that has it */
	const struct canp_dbc_message *msg;
	const char *key; /* canonical text; equal keys are equal definitions */
	size_t key_len;
	uint64_t hash;
	const char *name; /* of the table */
	bool ext, j1939, fd;
	bool transport; /* needs a transport protocol: listed, not decoded */
	bool reachable; /* some map leads to it */
	uint16_t slot;  /* final slot */
	enum canp_rec_class cls;
	uint8_t payload_max;
	struct plan_sig *sigs; /* msg->nr_signals */
	struct canp_table table;
};

struct plan_entry { /* a usable message of one -d argument */
	uint32_t def;
	const struct canp_dbc_message *msg;
	bool warned; /* said to be shadowed */
};

struct plan_dbc { /* one -d argument */
	struct canp_dbc *dbc;
	const char *bus; /* "" for every bus */
	uint32_t nr_entries;
	struct plan_entry *entries;
};

enum plan_mapkind {
	PLAN_MAP_DEFAULT,  /* buses that no -d names */
	PLAN_MAP_NAME,     /* the bus of this name */
	PLAN_MAP_NUMBER,   /* this number, the bus has no name */
	PLAN_MAP_NUMBERED, /* this number, but a name that no -d has */
};

struct plan_mapkey {
	enum plan_mapkind kind;
	const char *name;
	uint64_t number;
};

struct plan_pattern {
	const char *text;
	bool dotted; /* Message.Signal */
	bool hit;
};

struct plan_patterns {
	uint32_t nr;
	struct plan_pattern *v;
};

struct plan {
	struct canp_plan pub; /* first: canp_plan_destroy() casts back */
	struct canp_bump mem;
	void (*warn)(void *arg, const char *line);
	void *warn_arg;
	uint32_t nr_dbcs, nr_defs;
	struct plan_dbc *dbcs;
	struct plan_def *defs;
	struct plan_mapkey *mapkeys; /* beside pub.maps */
	struct plan_patterns select, exclude, buses;
	uint32_t nr_transport;
	const struct canp_table **transport;
};

void plan_warn(struct plan *p, const char *fmt, ...) CANP_PRINTF(2, 3);
const char *plan_printf(struct plan *p, const char *fmt, ...) CANP_PRINTF(2, 3);

/* plan_j1939.c: fills ext, j1939, fd, transport, cls, payload_max of a definition. */
void plan_classify(struct plan *p, struct plan_def *d);
/* Says once per DBC that lengths alone make messages CAN FD. */
void plan_warn_inferred_fd(struct plan *p, const struct canp_dbc *dbc);

/* plan_map.c */
int plan_make_maps(struct plan *p);
/* Replaces definition numbers by slots. */
void plan_finish_maps(struct plan *p);

/* plan.c: the schema hash, again after the tables changed. 0 or -ENOMEM. */
int plan_hash(struct plan *p);

/* plan_names.c: tables (reachable definitions) and the columns of one definition. */
int plan_name_tables(struct plan *p);
void plan_name_columns(struct plan *p, struct plan_def *d);
/* A name that sinks or partitions use themselves. */
bool plan_name_reserved(const char *name);

/* plan_select.c */
void plan_parse_patterns(struct plan *p, const char *text, struct plan_patterns *out);
bool plan_selected(struct plan *p, const struct plan_def *d, const struct plan_sig *s);
void plan_warn_patterns(struct plan *p);

/* plan_mux.c: parents and ranges of d->sigs. */
void plan_resolve_mux(struct plan *p, struct plan_def *d);

/* plan_cols.c */
void plan_check_signals(struct plan *p, struct plan_def *d); /* usable, need */
int plan_make_table(struct plan *p, struct plan_def *d);
void plan_make_fixed(struct plan *p);
/* row_bytes and need, once the columns are there. */
void plan_finish_columns(struct canp_table *t);

#endif
