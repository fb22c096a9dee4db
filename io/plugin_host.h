/*
 * plugin_host.h - loads plugins (plugin.h), asks them about every message of the plan, and runs
 * them on the shards. Only a job with plugins comes here.
 *
 * A batch goes through the operators of the plugins in the order of the options, each of which may
 * clear keep bits and fill the columns it added; then through `pack`, which copies the kept rows
 * into full chunks again and puts the new columns behind them, because run builders take full
 * chunks only (io/sink/columns.h).
 */
#ifndef CANP_IO_PLUGIN_HOST_H
#define CANP_IO_PLUGIN_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "core/pipeline/flow.h"
#include "io/can/plan.h"
#include "io/plugin.h"
#include "io/sink/columns.h"

#define CANP_PLUGINS_MAX 16u
/* So many errors of batch() in a row, on one core, take the plugin out of the job. */
#define CANP_PLUGIN_ERRORS_MAX 50u

/* One plugin of a job: a file, or one that the program brings along (file NULL). */
struct canp_plugin_spec {
	const char *file;
	const struct canp_plugin *plugin;
	const char *arg; /* for open(); NULL: "" */
};

struct canp_plugins;
struct canp_plugin_shard;

/* Loads and opens the plugins, asks them about the messages of the plan and adds their columns to
 * it. Strings and plugins of the specs are borrowed until destroy. Warnings go to warn (may be
 * NULL). -errno with a line in err. Control thread. */
int canp_plugins_create(const struct canp_plugin_spec *specs, unsigned nr, struct canp_plan *plan,
			struct canp_strbuf *err, void (*warn)(void *arg, const char *line),
			void *arg, struct canp_plugins **out);
/* Closes them; after canp_plugin_shard_fini() on every shard. NULL is allowed. Control thread. */
void canp_plugins_destroy(struct canp_plugins *ps);

unsigned canp_plugins_nr(const struct canp_plugins *ps);
/* Of plugin i: unique in the job and free as the name of an operator. */
const char *canp_plugins_name(const struct canp_plugins *ps, unsigned i);
/* Plugins want rows of this slot, so that they are packed again. */
bool canp_plugins_want(const struct canp_plugins *ps, unsigned slot);

struct canp_plugin_sum {
	uint64_t batches, rows_seen, rows_dropped, errors;
	uint64_t busy_ns; /* in batch(), preparing its columns included */
	bool out;         /* taken out of the job after too many errors */
};
/* Over all shards. Control thread, after the shards have stopped. */
void canp_plugins_sum(const struct canp_plugins *ps, unsigned i, struct canp_plugin_sum *sum);

/* Memory of one shard: a pure function of the plan and the plugins. */
size_t canp_plugin_shard_bytes(const struct canp_plugins *ps);
/* Builds the shard's part in mem (64-byte aligned, zeroed or not) and calls shard() of the plugins.
 * scratch is shared with the run builders. Shard thread; 0 or the plugin's -errno, with its name in
 * *who. fini calls shard_end() of those whose shard() returned 0. */
int canp_plugin_shard_init(struct canp_plugins *ps, void *mem, unsigned shard, unsigned nr_shards,
			   struct canp_runscratch *scratch, const char **who,
			   struct canp_plugin_shard **out);
void canp_plugin_shard_fini(struct canp_plugin_shard *sh);

/* States of the operators: of plugin i, and of `pack`. */
void *canp_plugin_shard_op(struct canp_plugin_shard *sh, unsigned i);
/* The operators themselves. Their batches carry struct canp_ingest_rows; see ingest_shard.h. */
void canp_plugin_push(void *state, struct canp_flow_node *n, struct canp_batch *b);
void canp_plugin_pack(void *state, struct canp_flow_node *n, struct canp_batch *b);
/* Rows of a slot that `pack` holds; forgets them all. */
uint32_t canp_plugin_pack_held(const struct canp_plugin_shard *sh, unsigned slot);
void canp_plugin_pack_reset(struct canp_plugin_shard *sh);

#endif
