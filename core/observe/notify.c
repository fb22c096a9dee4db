/*
 * notify.c - the client's half of sd_notify(3). $NOTIFY_SOCKET is a path, or an abstract name when
 * it begins with '@'. $WATCHDOG_USEC counts only when $WATCHDOG_PID is us or missing.
 */
#include "core/observe/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/units.h"

static int notify_number(const char *text, uint64_t *out)
{
	char *end;

	if (!text || *text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno || *end ? -EINVAL : 0;
}

static uint64_t notify_watchdog(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t v, us;

	if (pid && (notify_number(pid, &v) || v != (uint64_t)getpid()))
		return 0;
	if (notify_number(getenv("WATCHDOG_USEC"), &us) ||
	    us > UINT64_MAX / (uint64_t)CANP_NS_PER_US)
		return 0;
	return us * (uint64_t)CANP_NS_PER_US;
}

static int notify_connect(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = strlen(name);
	int fd, rc;

	if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof(a.sun_path))
		return -EINVAL;
	memcpy(a.sun_path, name, n);
	if (name[0] == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The length tells an abstract name's end; a path may go without its NUL. */
	if (connect(fd, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n))) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int canp_notify_open(struct canp_notify *n)
{
	const char *name = getenv("NOTIFY_SOCKET");

	*n = (struct canp_notify){.fd = -1};
	if (!name || !*name)
		return 0;
	n->fd = notify_connect(name);
	unsetenv("NOTIFY_SOCKET");
	if (n->fd < 0) {
		int rc = n->fd;

		n->fd = -1;
		return rc;
	}
	n->watchdog_ns = notify_watchdog();
	return 0;
}

int canp_notify_send(const struct canp_notify *n, const char *lines)
{
	if (n->fd < 0)
		return 0;
	return send(n->fd, lines, strlen(lines), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

uint64_t canp_notify_watchdog_ns(const struct canp_notify *n)
{
	return n->watchdog_ns;
}

void canp_notify_close(struct canp_notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}
