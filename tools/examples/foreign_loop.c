/*
 * foreign_loop.c - the command pool inside somebody else's event loop. The loop here is a plain
 * epoll set with a descriptor of its own (a timer that stands for the program's other work); the
 * pool adds one descriptor and starts no thread.
 *
 *	foreign_loop [COMMAND]...	runs each argument with sh -c, all at once
 *
 * Exits with 1 when a command failed, or when the loop's own work stood still meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <canp.h>

static unsigned left, failed;

static void ended(void *arg, struct canp_future *f, const struct canp_cmd_result *r)
{
	(void)f;
	printf("%s: %s: %.*s", (const char *)arg, canp_cmd_status_name(r->status), (int)r->out.len,
	       r->out.data);
	failed += r->status != CANP_CMD_COMPLETED;
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
	return failed || !ticks;
}

int main(int argc, char **argv)
{
	static const char *const defaults[] = {"sleep 0.2; echo one", "sleep 0.1; echo two",
					       "echo three"};
	const char *const *commands = argc > 1 ? (const char *const *)argv + 1 : defaults;
	int nr = argc > 1 ? argc - 1 : 3;
	struct canp_cmd_config cfg = {.concurrency_limit = 64, .foreign = true};
	struct canp_cmd_pool *pool;
	int rc;

	if (canp_cmd_pool_create(&cfg, &pool) || canp_cmd_pool_start(pool, 0)) {
		fprintf(stderr, "foreign_loop: no command pool\n");
		return 1;
	}
	for (int i = 0; i < nr; i++) {
		const char *const sh[] = {"/bin/sh", "-c", commands[i], NULL};
		struct canp_cmd_spec s = {
			.argv = sh, .done = ended, .arg = (void *)(uintptr_t)commands[i]};

		if (canp_cmd_push(pool, &s, NULL) == 0)
			left++;
	}
	rc = loop(pool);
	canp_cmd_pool_destroy(pool);
	return rc;
}
