/*
 * cmd_capture.h - what is kept of a stream: its first and its last bytes within a limit, and the
 * exact number of all of them. The buffer is the caller's.
 */
#ifndef CANP_COMMAND_CMD_CAPTURE_H
#define CANP_COMMAND_CMD_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

struct canp_cmd_output;

struct cmd_capture {
	char *buf;
	size_t cap;
	uint64_t total;
};

void canp_cmd_capture_init(struct cmd_capture *c, char *buf, size_t cap);
void canp_cmd_capture_add(struct cmd_capture *c, const void *data, size_t len);
/* c holds the kept bytes of a stream that was captured elsewhere, by the same limit, as `of` says.
 */
void canp_cmd_capture_skip(struct cmd_capture *c, const struct canp_cmd_output *of);
/* Puts the parts in order and describes them. Adding has ended. */
void canp_cmd_capture_finish(struct cmd_capture *c, struct canp_cmd_output *out);

#endif
