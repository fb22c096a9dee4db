/*
 * foreign_loop.c - the command pool inside somebody else's event loop. The loop here is a plain
 * epoll set with a descriptor of its own (a timer that stands for the program's other work); the
 * pool adds one descriptor and starts no thread.
 *
 *	foreign_loop COMMAND...	runs each argument with sh -c, all at once
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/command/command_pool.h"

static unsigned left;

static void ended(void *arg, struct canp_future *f, const struct canp_cmd_result *r)
{
	(void)f;
	printf("%s: %s, exit %d, %.*s\n", (const char *)arg, canp_cmd_status_name(r->status),
	       r->exit_code, (int)r->out.len, r->out.data);
	left--;
}

static int watch(int ep, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static int loop(struct canp_cmd_pool *pool)
{
	struct itimerspec every = {{0, 10000000}, {0, 10000000}};
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	unsigned long ticks = 0;
	uint64_t n;

	timerfd_settime(tick, 0, &every, NULL);
	if (watch(ep, tick) || watch(ep, canp_cmd_pool_fd(pool)))
		return 1;
	while (left) {
		struct epoll_event e;

		if (epoll_wait(ep, &e, 1, -1) != 1)
			continue;
		if (e.data.fd == tick && read(tick, &n, sizeof(n)) == sizeof(n))
			ticks += n; /* the program's own work */
		else if (e.data.fd == canp_cmd_pool_fd(pool))
			canp_cmd_pool_dispatch(pool);
	}
	printf("own events: %s\n", ticks ? "yes" : "none");
	close(tick);
	close(ep);
	return 0;
}

int main(int argc, char **argv)
{
	struct canp_cmd_config cfg = {.concurrency_limit = 64, .foreign = true};
	struct canp_cmd_pool *pool;
	int rc;

	if (canp_cmd_pool_create(&cfg, &pool) || canp_cmd_pool_start(pool, 0)) {
		fprintf(stderr, "foreign_loop: no command pool\n");
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		const char *const sh[] = {"/bin/sh", "-c", argv[i], NULL};
		struct canp_cmd_spec s = {.argv = sh, .done = ended, .arg = argv[i]};

		if (canp_cmd_push(pool, &s, NULL) == 0)
			left++;
	}
	rc = loop(pool);
	canp_cmd_pool_destroy(pool);
	return rc;
}
