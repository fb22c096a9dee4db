/*
 * isolate_event.h - what a worker process says about a file, as bytes: the calls its walker made to
 * the grouper and to the host, one event after the other.
 *
 * The writer is the worker, which may be broken or taken over by what it reads; the reader is the
 * job. So the reader takes nothing for granted: every size is checked against what is there, every
 * number against what the calls behind it accept, and it only ever reads from a copy of its own
 * that nobody else can change meanwhile. What it cannot prevent is that a worker tells frames which
 * are not in the file.
 *
 *   event:  | size (of all, multiple of 8) | kind | bus | n | body |      numbers as the CPU has
 * them
 */
#ifndef CANP_IO_ISOLATE_EVENT_H
#define CANP_IO_ISOLATE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "io/format/format.h"

/* Frames in one event at most, so that an event has a largest size. */
#define CANP_ISO_FRAMES_MAX  512u
#define CANP_ISO_NAME_MAX    256u
#define CANP_ISO_BUSES_MAX   256u
#define CANP_ISO_DEVICES_MAX 1024u
#define CANP_ISO_EVENT_MAX   (CANP_ISO_FRAMES_MAX * 24u + 64u)
#define CANP_ISO_PUSH_MIN    32u /* bytes of the smallest event that is a frame by value */

enum canp_iso_kind {
	CANP_ISO_FORMAT = 1, /* first of all: what the file is */
	CANP_ISO_BUS,        /* canp_group_bus(); the next number */
	CANP_ISO_NAME,       /* a name of a device; the next number, from 1 */
	CANP_ISO_DEVICE,     /* canp_group_device() */
	CANP_ISO_PUSH,
	CANP_ISO_PUSH24,
	CANP_ISO_FAULT,
	CANP_ISO_END, /* last of all: the file was walked to its end */
	CANP_ISO_NR
};

/* One event, checked. Pointers go into what was parsed. */
struct canp_iso_event {
	enum canp_iso_kind kind;
	unsigned bus;
	union {
		struct {
			const struct canp_format *format; /* NULL: none recognises it */
			bool gz;
		} format;
		struct {
			char name[CANP_ISO_NAME_MAX]; /* BUS: with a NUL behind it */
			bool named;
			unsigned len, number;
		} name; /* and BUS */
		uint32_t device;
		struct {
			int64_t ts_ns;
			uint32_t id;
			unsigned flags, dlc, len;
			const uint8_t *data;
		} push;
		struct {
			int64_t mul, add;
			const uint8_t *frames;
			size_t n;
		} push24;
		struct canp_fault fault;
		struct {
			struct canp_format_stats stats;
			bool whole; /* all of the file was looked at */
		} end;
	};
};

/* Takes the event at p, len bytes there. Its size; 0: more bytes are needed; -EBADMSG: no such
 * event. Reads nothing outside. */
int canp_iso_parse(const uint8_t *p, size_t len, struct canp_iso_event *ev);

/* The same, but of the frames of a PUSH24 no more than the first need be there, and none is looked
 * at: enough to know whether the event can be taken. */
int canp_iso_skim(const uint8_t *p, size_t len, struct canp_iso_event *ev);

/* What may follow: FORMAT once and first, buses and devices that were named before, nothing after
 * END. Zero before the first event. False: a worker that follows the rules does not do this. */
struct canp_iso_state {
	uint32_t buses, devices;
	bool begun, ended;
};
bool canp_iso_follow(struct canp_iso_state *st, const struct canp_iso_event *ev);

/* ---- writing ---- */

/* Where events go: room() returns size bytes (at most CANP_ISO_EVENT_MAX, a multiple of 8) or NULL
 * when nothing is wanted any more; they count as written. */
struct canp_iso_out {
	void *(*room)(void *arg, size_t size);
	void *arg;
	uint32_t devices; /* named so far; 0 at the start of a file */
};

void canp_iso_put_format(struct canp_iso_out *o, const struct canp_format *format, bool gz);
void canp_iso_put_end(struct canp_iso_out *o, const struct canp_format_stats *stats, bool whole);
/* Callbacks of struct canp_group_capture and struct canp_format_host; arg: the canp_iso_out. */
void canp_iso_put_bus(void *arg, unsigned bus, const char *name, unsigned number);
void canp_iso_put_device(void *arg, uint32_t device);
void canp_iso_put_push(void *arg, unsigned bus, int64_t ts_ns, uint32_t id, unsigned flags,
		       unsigned dlc, const uint8_t *data, unsigned len);
void canp_iso_put_push24(void *arg, unsigned bus, const uint8_t *frames, size_t n, int64_t ts_mul,
			 int64_t ts_add);
void canp_iso_put_fault(void *arg, const struct canp_fault *fault);
/* The number of the name. */
uint32_t canp_iso_put_name(void *arg, const char *name, size_t len);

#endif
