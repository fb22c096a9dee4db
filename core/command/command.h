/*
 * command.h - an external command: what to run (spec) and what came of it (result).
 *
 * Arguments are handed over exactly as given; no shell is involved. A zeroed spec with argv is
 * complete: standard input from /dev/null, standard output and error captured within the default
 * limit, no timeout, a process group of its own, every descriptor above 2 closed, signals as after
 * login. Threads: plain data; canp_cmd_execute() from any thread but a reactor.
 */
#ifndef CANP_COMMAND_COMMAND_H
#define CANP_COMMAND_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "core/base/compiler.h"
#include "core/runtime/task.h"

CANP_BEGIN_DECLS

#define CANP_CMD_CAPTURE_MAX 65536u /* default of kept bytes per stream */
#define CANP_CMD_RLIMITS_MAX 4u
#define CANP_CMD_KEEP_MAX    4u

enum canp_cmd_io {
	CANP_CMD_IO_DEFAULT, /* in: /dev/null; out and err: CAPTURE */
	CANP_CMD_IO_CAPTURE, /* out, err: head and tail within the limit, the rest counted */
	CANP_CMD_IO_DATA,    /* in: the bytes given */
	CANP_CMD_IO_NULL,
	CANP_CMD_IO_INHERIT,
	CANP_CMD_IO_FD,    /* a descriptor of the caller's, which keeps it */
	CANP_CMD_IO_STDOUT /* err: goes where out goes */
};

struct canp_cmd_stream {
	enum canp_cmd_io kind;
	int fd;
	const void *data; /* DATA */
	size_t len;       /* of data; CAPTURE: bytes to keep, 0: the pool's */
};

struct canp_cmd_rlimit {
	int resource; /* RLIMIT_* */
	struct rlimit limit;
};

struct canp_cmd_result;

struct canp_cmd_spec {
	const char *const *argv; /* NULL-terminated; argv[0] is searched in PATH without a '/' */
	const char *const *env;  /* NULL-terminated NAME=value; NULL: the caller's environment */
	bool env_add;            /* env comes on top of the caller's instead of in its place */
	const char *cwd;         /* NULL: the caller's */
	struct canp_cmd_stream in, out, err;
	uint64_t timeout_ms;  /* of the run, from its start; 0: none */
	uint64_t queue_ms;    /* longest stay in the queue; 0: any */
	uint64_t grace_ms;    /* SIGTERM, then so much later SIGKILL; 0: 1000 */
	uint64_t start_at_ns; /* canp_clock_ns(); 0: now */
	uint64_t every_ns;    /* again each so often until cancelled; 0: once */
	enum canp_task_prio prio;
	struct canp_trace_ctx trace; /* zero: none; handed on as TRACEPARENT */
	struct canp_cmd_rlimit rlimits[CANP_CMD_RLIMITS_MAX];
	unsigned nr_rlimits;
	int keep_fds[CANP_CMD_KEEP_MAX]; /* stay open under their numbers (> 2) */
	unsigned nr_keep_fds;
	bool same_group;    /* stay in the caller's process group: then only the child is killed */
	bool no_pdeathsig;  /* may survive this process */
	bool no_new_privs;  /* set-user-ID programs get no privileges */
	bool kill_leftover; /* kill what is left of its group and descendants at its normal end too
			     */
	int nice;           /* added to the caller's */
	/* Called on the pool's thread: bytes as they come (capturing goes on), and once per run
	 * after its end; the result is valid in there without a future. */
	void (*on_output)(void *arg, int stream, const void *data, size_t len);
	void (*done)(void *arg, struct canp_future *f, const struct canp_cmd_result *r);
	void *arg;
};

enum canp_cmd_status {
	CANP_CMD_UNKNOWN,
	CANP_CMD_PENDING,
	CANP_CMD_RUNNING,
	CANP_CMD_COMPLETED,
	CANP_CMD_FAILED
};
/* Why a command failed (ExecuteError of the source document, and ours). */
enum canp_cmd_error {
	CANP_CMD_OK,
	CANP_CMD_ERR_IO,       /* it could not be started: errno in `error` */
	CANP_CMD_ERR_TIMEOUT,  /* after timeout_ns */
	CANP_CMD_ERR_CHILD,    /* exit code other than 0, or a signal */
	CANP_CMD_ERR_CANCELLED /* by its future, or the pool was stopped */
};

struct canp_cmd_output {
	const char *data; /* first `head` bytes of the stream, then its last len - head */
	size_t len, head;
	uint64_t total; /* bytes the command wrote */
	bool truncated; /* total > len */
};

struct canp_cmd_result {
	enum canp_cmd_status status;
	enum canp_cmd_error why;
	int error;                /* 0 or -errno: the future's error */
	int exit_code;            /* -1: no exit */
	int term_signal;          /* 0: none */
	bool core_dumped, killed; /* killed: SIGKILL was needed */
	uint64_t id;
	int pid;
	unsigned lane, runs; /* where it ran; how often (every_ns) */
	uint64_t timeout_ns; /* that was exceeded */
	uint64_t created_ns, started_ns, ended_ns,
		spawn_ns; /* spawn_ns: the pool was busy with it */
	struct rusage usage;
	struct canp_cmd_output out, err;
	char message[192]; /* one line for people, "" when all is well */
};

/* Runs one command and waits for it. *r lives in buffers of *mem, which the caller gives back with
 * canp_cmd_execute_free(). 0: it ran (see r->status); -errno: no memory or descriptors, bad spec.
 */
struct canp_cmd_execution;
int canp_cmd_execute(const struct canp_cmd_spec *spec, struct canp_cmd_execution **mem,
		     const struct canp_cmd_result **r);
void canp_cmd_execute_free(struct canp_cmd_execution *mem);

/* Why `name` cannot be executed, for people: what was looked at, where, and the errors. 0: it can.
 * env as in the spec. */
int canp_cmd_diagnose(const char *name, const char *const *env, const char *cwd, char *text,
		      size_t text_bytes);
const char *canp_cmd_status_name(enum canp_cmd_status s);
const char *canp_cmd_error_name(enum canp_cmd_error e);

CANP_END_DECLS

#endif
