/*
 * hooks.h - commands of the user that a job starts when something happened: a part of the dataset
 * was published, an input turned out damaged or unreadable.
 *
 * Reactors only leave a note (no lock, no call, no memory); the control thread makes commands of
 *the notes, and a command pool with a thread of its own runs them, a few at once. A hook that fails
 *or takes too long is counted and told, and changes nothing about the job.
 *
 * A hook is run by /bin/sh -c, standard input empty, with the job's environment and
 *	CANP_EVENT   publish or quarantine
 *	CANP_OUT     the output folder
 *	CANP_FILE    publish: the part's path; quarantine: the input's path
 *	CANP_PART, CANP_TABLE, CANP_ROWS, CANP_BYTES   publish: path inside CANP_OUT, and what it
 *has CANP_STATUS  quarantine: damaged or failed CANP_FAULTS, CANP_REASON, CANP_OFFSET quarantine:
 *how many, and the first of them
 */
#ifndef CANP_IO_HOOKS_H
#define CANP_IO_HOOKS_H

#include <stdint.h>

struct canp_hooks;
struct canp_job;
struct canp_json;

struct canp_hooks_opts {
	const char *on_publish, *on_quarantine; /* "" or NULL: none */
	const char *out;                        /* output folder */
	unsigned jobs;                          /* at once */
	uint64_t timeout_ms;                    /* of one; 0: none */
};

struct canp_hooks_counts {
	uint64_t run, failed; /* failed: exit status, time-out, could not be started */
	uint64_t lost;        /* no room for the note */
};

/* *out stays NULL when there are no hooks. Strings are borrowed. 0 or -errno. Control thread. */
int canp_hooks_create(const struct canp_hooks_opts *o, struct canp_hooks **out);
/* NULL is allowed in all that follow. */
void canp_hooks_destroy(struct canp_hooks *h);
/* A part was published: `table`/part `seq` with extension `ext`; both strings stay valid. Any
 * thread; never blocks. */
void canp_hooks_published(struct canp_hooks *h, const char *table, const char *ext, uint32_t seq,
			  uint64_t rows, uint64_t bytes);
/* Turns notes, and inputs whose status has become known, into commands. Control thread. */
void canp_hooks_pump(struct canp_hooks *h, const struct canp_job *job);
/* The same for the last time, and waits until all have ended. Control thread. */
void canp_hooks_finish(struct canp_hooks *h, const struct canp_job *job);
/* publish, quarantine; after finish. */
void canp_hooks_counts(const struct canp_hooks *h, struct canp_hooks_counts c[2]);
/* The member "hooks" of run.json; nothing without hooks. */
void canp_hooks_json(struct canp_json *js, const struct canp_hooks *h);

#endif
