/*
 * plugin_priv.h - what the parts of the plugin host share; private to io/plugin_*.c. plugin_host.c
 * runs on the control thread, plugin_op.c and plugin_pack.c on the shards.
 */
#ifndef CANP_IO_PLUGIN_PRIV_H
#define CANP_IO_PLUGIN_PRIV_H

#include "core/base/bump.h"
#include "core/base/stat.h"
#include "io/can/group.h"
#include "io/plugin_host.h"

/* What one plugin wants of one message. */
struct plugin_msg {
	bool batches;
	uint8_t nr_extra, first_extra; /* its columns among those of the table */
	struct canp_plugin_message pub;
	uint32_t column[CANP_PLUGIN_COLUMNS_MAX]; /* indices into table->cols */
};

struct plugin {
	const struct canp_plugin *ops;
	char name[CANP_FLOW_NAME_MAX + 1];
	void *lib; /* of dlopen(), or NULL */
	void *ctx;
	bool opened;
	bool out;                 /* atomic: too many errors */
	struct plugin_msg **msgs; /* by slot; NULL: not wanted */
	struct canp_plugin_sum sum;
};

/* What all plugins share of a message. */
struct plugin_table {
	const struct canp_table *table; /* of the plan, widened */
	struct canp_table frame;        /* the same with the stride of frames */
	bool wanted;
	uint32_t nr_signals;
	struct canp_plugin_signal *signals;
	uint32_t *cols; /* [nr_signals] column of a signal */
	unsigned nr_extra;
	struct canp_plan_extra extra[CANP_PLAN_EXTRA_MAX + 1];
};

struct canp_plugins {
	struct canp_bump mem;
	struct canp_plan *plan;
	unsigned nr, nr_slots;
	struct plugin v[CANP_PLUGINS_MAX];
	struct plugin_table *tables; /* by slot */
	void (*warn)(void *arg, const char *line);
	void *warn_arg;
};

/* One plugin on one shard. */
struct plugin_op {
	struct canp_plugin_shard *sh;
	struct plugin *plugin;
	void *state;
	bool begun;
	uint32_t errors_in_row;
	struct canp_stat batches, rows_seen, rows_dropped, errors, busy_ns;
};

/* Kept rows of one message that do not fill a chunk yet. */
struct plugin_chunk {
	uint8_t *rec; /* [256] of table->stride; NULL: no plugin wants the message */
	uint8_t *lens;
	struct canp_meta_run *meta; /* [256] */
	uint32_t n, nr_meta;
	bool is_short;
};

struct canp_plugin_shard {
	struct canp_plugins *set;
	struct canp_runscratch *scratch;
	unsigned shard;
	struct plugin_op ops[CANP_PLUGINS_MAX];
	struct plugin_chunk *chunks; /* by slot */
	/* Of the batch under way. */
	CANP_ALIGNED(64) int64_t ts[CANP_BATCH_ROWS];
	uint8_t len[CANP_BATCH_ROWS];
	CANP_ALIGNED(64) uint64_t column[CANP_PLUGIN_COLUMNS_MAX][CANP_BATCH_ROWS];
	uint64_t present[CANP_PLUGIN_COLUMNS_MAX][CANP_BATCH_WORDS];
	const uint64_t *columns[CANP_PLUGIN_COLUMNS_MAX];
	const uint64_t *presents[CANP_PLUGIN_COLUMNS_MAX];
	double extra[CANP_PLAN_EXTRA_MAX][CANP_BATCH_ROWS];
	double *extras[CANP_PLAN_EXTRA_MAX];
};

#endif
