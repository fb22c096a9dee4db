/*
 * t_notify.c - what the service manager hears, with a socket of our own in its place.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/observe/notify.h"
#include "tests/lib/tmpdir.h"

static char root[64];

static int setup(void **state)
{
	(void)state;
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return tmpdir_make(root, sizeof(root), "/tmp/t_notify");
}

static int teardown(void **state)
{
	(void)state;
	return tmpdir_remove(root);
}

/* A manager listening at name, '@' for an abstract one. */
static int manager(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	size_t n = strlen(name);

	assert_true(fd >= 0 && n < sizeof(a.sun_path));
	memcpy(a.sun_path, name, n);
	if (*name == '@')
		a.sun_path[0] = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&a,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void assert_heard(int fd, const char *want)
{
	char text[256] = "";
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	assert_true(n > 0);
	text[n] = 0;
	assert_string_equal(text, want);
}

static void G22_the_manager_hears_ready_watchdog_and_stopping(void **state)
{
	struct canp_notify n;
	char name[100];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "%s/notify", root);
	fd = manager(name);
	setenv("WATCHDOG_USEC", "3000000", 1);
	assert_int_equal(canp_notify_open(&n), 0);
	assert_true(n.fd >= 0);
	assert_int_equal(canp_notify_watchdog_ns(&n), 3000000000ull);
	/* Children do not speak for us. */
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_int_equal(canp_notify_send(&n, "READY=1\nSTATUS=running"), 0);
	assert_int_equal(canp_notify_send(&n, "WATCHDOG=1"), 0);
	assert_int_equal(canp_notify_send(&n, "STOPPING=1"), 0);
	assert_heard(fd, "READY=1\nSTATUS=running");
	assert_heard(fd, "WATCHDOG=1");
	assert_heard(fd, "STOPPING=1");
	canp_notify_close(&n);
	assert_int_equal(n.fd, -1);
	close(fd);
}

static void G22_an_abstract_name_is_understood(void **state)
{
	struct canp_notify n;
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@canp-notify-%d", (int)getpid());
	fd = manager(name);
	assert_int_equal(canp_notify_open(&n), 0);
	assert_int_equal(canp_notify_send(&n, "READY=1"), 0);
	assert_heard(fd, "READY=1");
	canp_notify_close(&n);
	close(fd);
}

static void G22_without_a_manager_nothing_happens(void **state)
{
	struct canp_notify n;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(canp_notify_open(&n), 0);
	assert_int_equal(n.fd, -1);
	assert_int_equal(canp_notify_send(&n, "READY=1"), 0);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(canp_notify_open(&n), -EINVAL);
	setenv("NOTIFY_SOCKET", "/", 1);
	assert_int_equal(canp_notify_open(&n), -EINVAL);
	setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	assert_int_equal(canp_notify_open(&n), -ENOENT);
	assert_int_equal(n.fd, -1);
	assert_int_equal(canp_notify_send(&n, "READY=1"), 0);
	canp_notify_close(&n);
}

static uint64_t watchdog_of(const char *us, const char *pid)
{
	struct canp_notify n;
	char name[64];
	uint64_t ns;
	int fd;

	snprintf(name, sizeof(name), "@canp-dog-%d", (int)getpid());
	fd = manager(name);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (us)
		setenv("WATCHDOG_USEC", us, 1);
	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(canp_notify_open(&n), 0);
	ns = canp_notify_watchdog_ns(&n);
	canp_notify_close(&n);
	close(fd);
	return ns;
}

static void G22_the_watchdog_counts_only_for_the_process_it_names(void **state)
{
	char pid[16];

	(void)state;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(watchdog_of(NULL, NULL), 0);
	assert_int_equal(watchdog_of("250000", pid), 250000000);
	assert_int_equal(watchdog_of("250000", "1"), 0);
	assert_int_equal(watchdog_of("250000", "x"), 0);
	assert_int_equal(watchdog_of("-5", pid), 0);
	assert_int_equal(watchdog_of("12x", pid), 0);
	assert_int_equal(watchdog_of("99999999999999999999999", pid), 0);
	assert_int_equal(watchdog_of("18446744073709551615", pid), 0);
}

static void G22_a_manager_that_does_not_listen_holds_nobody(void **state)
{
	struct canp_notify n;
	char name[100];
	unsigned sent = 0;
	int fd, rc = 0;

	(void)state;
	snprintf(name, sizeof(name), "%s/deaf", root);
	fd = manager(name);
	assert_int_equal(canp_notify_open(&n), 0);
	for (; sent < 100000 && !rc; sent++)
		rc = canp_notify_send(&n, "WATCHDOG=1");
	assert_int_equal(rc, -EAGAIN);
	close(fd);
	assert_true(canp_notify_send(&n, "WATCHDOG=1") < 0);
	canp_notify_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(G22_the_manager_hears_ready_watchdog_and_stopping),
		cmocka_unit_test(G22_an_abstract_name_is_understood),
		cmocka_unit_test(G22_without_a_manager_nothing_happens),
		cmocka_unit_test(G22_the_watchdog_counts_only_for_the_process_it_names),
		cmocka_unit_test(G22_a_manager_that_does_not_listen_holds_nobody),
	};

	return cmocka_run_group_tests_name("notify", tests, setup, teardown);
}
