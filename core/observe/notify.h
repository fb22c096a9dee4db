/*
 * notify.h - tells the service manager how we are, by its own protocol: datagrams of KEY=value
 * lines to the socket that $NOTIFY_SOCKET names (sd_notify(3)). No library is needed for that.
 *
 * The usual lines are READY=1 once work has begun, WATCHDOG=1 at least every
 * canp_notify_watchdog_ns() / 2 while we are well, STATUS=text for people, STOPPING=1 at the end.
 *
 * The socket's name is taken out of the environment by open, so that children do not speak for us.
 * Control plane; one object, one thread. Sending never waits.
 */
#ifndef CANP_OBSERVE_NOTIFY_H
#define CANP_OBSERVE_NOTIFY_H

#include <stdint.h>

struct canp_notify {
	int fd;               /* -1: nobody wants to know */
	uint64_t watchdog_ns; /* 0: no watchdog */
};

/* 0 also when there is no manager (then everything below does nothing); -EINVAL: a name that is no
 * socket's; otherwise what socket or connect said, and the object is as without a manager. */
int canp_notify_open(struct canp_notify *n);
/* Sends lines separated by newlines. 0, or -errno (a manager that went away, a full queue). */
int canp_notify_send(const struct canp_notify *n, const char *lines);
/* How often the manager wants to hear from us at least; 0: it does not watch us. */
uint64_t canp_notify_watchdog_ns(const struct canp_notify *n);
void canp_notify_close(struct canp_notify *n);

#endif
