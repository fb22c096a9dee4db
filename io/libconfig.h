/*
 * libconfig.h - the configuration of a program that uses libcanp, from the places an operator
 * knows: the environment (CANP_POOL_MAX_MEMORY=512m) beats a file (pool-max-memory = 512m), which
 * beats the defaults. The file may be the canp.conf that `make menuconfig` and `make
 * NAME_defconfig` write and canp-appliance reads; keys that are not the library's are passed over.
 * All keys with their help are in that file; they begin with pool-, task-, pipe-, event- and
 * monitor-.
 *
 * Nothing reads the environment behind a program's back: who does not call this has the defaults of
 * zeroed option structs.
 */
#ifndef CANP_IO_LIBCONFIG_H
#define CANP_IO_LIBCONFIG_H

#include "core/base/compiler.h"
#include "core/base/strbuf.h"
#include "core/command/command_pool.h"
#include "core/observe/event.h"
#include "core/observe/monitor.h"
#include "core/pipeline/pipeline.h"
#include "core/process/process.h"
#include "core/runtime/task.h"
#include "numa/mem.h"

CANP_BEGIN_DECLS

/* Ready for canp_mem_create(), canp_exec_create(), canp_pipe_create(), canp_process_pool_create(),
 * canp_cmd_pool_create(), canp_events_create() and canp_monitor_config(). Pointers in them (the
 * executor's pool, ..) are NULL: the caller's. */
struct canp_lib_config {
	struct canp_mem_opts mem;
	struct canp_exec_opts exec;
	struct canp_pipe_opts pipe;
	struct canp_process_config process;
	struct canp_cmd_config command;
	struct canp_event_opts event;
	struct canp_mon_opts mon;
};

/* file NULL: what CANP_CONFIG names, or none. dump (may be NULL) gets the effective configuration
 * as such a file, with the origin of each value. 0; -EINVAL (bad value), -ENOENT (no such file, or
 * a key with one of our prefixes that does not exist), -errno of reading it, -ENOMEM, with a line
 * that says what is wrong in err (may be NULL) and *out untouched. Any thread; allocates. */
int canp_lib_config(const char *file, struct canp_lib_config *out, struct canp_strbuf *dump,
		    struct canp_strbuf *err);

CANP_END_DECLS

#endif
