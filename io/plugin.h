/*
 * plugin.h - operators of users inside the appliance's job: C functions that see every decoded
 * frame before its signals are extracted, drop rows or add columns. Loaded with
 * `canp-appliance run --plugin x.so[:arg]`, or registered by a program that links libcanp.
 *
 * A plugin is a shared object that exports
 *
 *   const struct canp_plugin canp_plugin = { .abi = CANP_PLUGIN_ABI, .name = "drop-idle", ... };
 *
 * Life, in order:
 *   open()     once, control thread: parses the argument text after ':'
 *   message()  once per message of the DBC, control thread: says whether it wants the message,
 *              which raw columns it wants to see and which columns it adds
 *   shard()    once per core, on that core: memory for the operator there; may allocate
 *   batch()    per batch of at most 256 rows of one message, on the core that decoded it. It runs
 *              between two CAN chunks on the reactor: no blocking, no allocation, no lock
 *   close()    once, control thread
 *
 * batch() may clear keep bits (canp_batch_drop()) and must fill every extra column it declared, for
 * every row (NaN is written as null). Rows keep their order. It returns 0, or -errno: then the rows
 * of the batch are kept as they were, its extra columns are null, and the job counts an operator
 * error (run.json "plugins"); the fiftieth error in a row takes the plugin out of the job.
 *
 * batch->len of a classic frame that holds all signals of its message is the length the DBC states:
 * the exact one is only known of CAN FD and J1939 frames and of those that are too short. A float
 * signal arrives scaled; its present bits say, as those of any other, whether the row has it.
 *
 * Several plugins run in the order of the options; a later one sees what an earlier one kept.
 * Output stays a function of input and options only if batch() is: state kept from batch to batch
 * sees the rows of one file in order, but files in no promised order (reset it at a new src).
 */
#ifndef CANP_IO_PLUGIN_H
#define CANP_IO_PLUGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/compiler.h"
#include "core/pipeline/batch.h"

CANP_BEGIN_DECLS

#define CANP_PLUGIN_ABI         1u
#define CANP_PLUGIN_SYMBOL      "canp_plugin"
#define CANP_PLUGIN_COLUMNS_MAX 64u /* seen, per message and plugin */
#define CANP_PLUGIN_EXTRA_MAX   8u  /* added, per message and plugin */

/* One signal of a message. Physical value = raw * factor + offset for integers. */
struct canp_plugin_signal {
	const char *name, *unit;
	double factor, offset;
	uint8_t bits;
	bool is_signed;
	bool is_float; /* the raw column holds the bits of a double */
	bool muxed;    /* not in every row, see batch->present */
};

/* One message table of the job; valid until close(). */
struct canp_plugin_message {
	const char *name;
	uint32_t id; /* bit 31: extended */
	uint32_t nr_signals;
	const struct canp_plugin_signal *signals;
	/* What message() of this plugin asked for: indices into signals, in the order of
	 * batch->column. */
	uint32_t nr_columns;
	const uint32_t *columns;
	void *user; /* what message() left */
};

/* Filled by message(); zeroed before. */
struct canp_plugin_want {
	bool batches; /* false: the plugin is not called for this message */
	uint32_t nr_columns;
	uint32_t columns[CANP_PLUGIN_COLUMNS_MAX]; /* indices of signals */
	uint32_t nr_extra;
	/* The name of the new column is one as of a DBC signal; unit may be NULL. Both are copied
	 * when message() has returned. */
	struct {
		const char *name;
		const char *unit;
	} extra[CANP_PLUGIN_EXTRA_MAX]; /* doubles, in the order of batch->extra */
	void *user;                     /* handed back in canp_plugin_message.user */
};

struct canp_plugin {
	uint32_t abi;     /* CANP_PLUGIN_ABI */
	const char *name; /* [a-z0-9_-], at most 31 */
	/* All but batch may be NULL. -errno ends the job with the plugin's name and `err`. */
	int (*open)(const char *arg, void **ctx, char *err, uint32_t err_bytes);
	int (*message)(void *ctx, const struct canp_plugin_message *m,
		       struct canp_plugin_want *want);
	int (*shard)(void *ctx, unsigned shard, unsigned nr_shards, void **state);
	int (*batch)(void *state, struct canp_batch *b);
	void (*shard_end)(void *ctx, unsigned shard, void *state);
	void (*close)(void *ctx);
};

CANP_END_DECLS

#endif
