/*
 * cmd_spawn.h - one child process, started without holding up the thread that starts it: the child
 * shares the caller's memory until it executes the program, so nothing is copied however big the
 * caller is, and the caller goes on at once.
 *
 * Everything the child reads must stay as it is until `tid` is 0 again (the kernel clears it when
 * the child executes or ends); a child that was seen to have ended has done so.
 */
#ifndef CANP_COMMAND_CMD_SPAWN_H
#define CANP_COMMAND_CMD_SPAWN_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct canp_cmd_spec;

#define CMD_STACK_BYTES 65536u

enum cmd_spawn_step { CMD_STEP_NONE, CMD_STEP_FDS, CMD_STEP_LIMITS, CMD_STEP_CHDIR, CMD_STEP_EXEC };

struct cmd_spawn {
	const struct canp_cmd_spec *spec;
	const char *path;
	char **argv; /* two entries before it are free for "/bin/sh script" */
	char **envp;
	int fds[3];                /* what becomes 0, 1, 2; -1: as it is */
	const cpu_set_t *affinity; /* NULL: the caller's */
	pid_t parent;              /* this process */
	/* results */
	uint32_t tid;       /* atomic; not 0: the child still uses all this */
	int error;          /* atomic; errno of the child before it could execute */
	int step;           /* where */
	bool keep_handlers; /* the kernel did not reset the signal handlers */
};

/* Starts the child on `stack` (CMD_STACK_BYTES, 16-aligned). Returns the pid and *pidfd
 * (close-on-exec), or -errno. Any thread. */
pid_t canp_cmd_spawn(struct cmd_spawn *s, void *stack, int *pidfd);
/* For tests: as if the kernel had no clone3(). */
extern bool canp_cmd_spawn_old;

#endif
