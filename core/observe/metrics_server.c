/*
 * metrics_server.c - answers scrapes on a loopback or unix socket, on a thread of its own and one
 * connection at a time: a scraper comes every few seconds, and a slow one is cut off by the
 * deadline of its request. Nothing else of HTTP is here: no keep-alive, no bodies, no encodings.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/stat.h"
#include "core/base/units.h"
#include "core/observe/metrics.h"

#define REQUEST_MAX        8192u
#define TIMEOUT_MS_DEFAULT 2000u
#define BACKLOG            16

struct canp_metrics_server {
	struct canp_metrics_server_opts o;
	pthread_t thread;
	int fd, stop_fd;
	unsigned port;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* empty: not a unix socket */
	struct canp_stat requests;
	struct canp_metrics metrics;
};

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static int parse_port(const char *s, uint16_t *port)
{
	char *end;
	unsigned long v = strtoul(s, &end, 10);

	if (*s < '0' || *s > '9' || *end || v > 65535)
		return -EINVAL;
	*port = htons((uint16_t)v);
	return 0;
}

static bool is_loopback4(struct in_addr a)
{
	return ntohl(a.s_addr) >> 24 == 127;
}

static int parse_inet(const char *text, union address *a, socklen_t *len)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	size_t n;

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	n = (size_t)(colon - text);
	memcpy(host, text, n);
	host[n] = 0;
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = 0;
		a->in6.sin6_family = AF_INET6;
		*len = sizeof(a->in6);
		if (inet_pton(AF_INET6, host + 1, &a->in6.sin6_addr) != 1 ||
		    !IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr))
			return -EINVAL;
		return parse_port(colon + 1, &a->in6.sin6_port);
	}
	a->in.sin_family = AF_INET;
	*len = sizeof(a->in);
	if (inet_pton(AF_INET, host, &a->in.sin_addr) != 1 || !is_loopback4(a->in.sin_addr))
		return -EINVAL;
	return parse_port(colon + 1, &a->in.sin_port);
}

static int parse_address(const char *text, union address *a, socklen_t *len)
{
	memset(a, 0, sizeof(*a));
	if (strncmp(text, "unix:", 5))
		return parse_inet(text, a, len);
	text += 5;
	if (!*text || strlen(text) >= sizeof(a->un.sun_path))
		return -EINVAL;
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, text, strlen(text) + 1);
	*len = sizeof(a->un);
	return 0;
}

/* A socket file nobody listens on is left over; anything else at that path is not ours to touch. */
static void remove_stale(const union address *a)
{
	struct stat st;
	int fd;

	if (lstat(a->un.sun_path, &st) || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, &a->any, sizeof(a->un)) && errno == ECONNREFUSED)
		unlink(a->un.sun_path);
	close(fd);
}

static int server_listen(struct canp_metrics_server *s)
{
	union address a;
	socklen_t len;
	int err = parse_address(s->o.address, &a, &len), one = 1;

	if (err)
		return err;
	s->fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -errno;
	if (a.any.sa_family == AF_UNIX)
		remove_stale(&a);
	else
		setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s->fd, &a.any, len))
		return -errno;
	if (a.any.sa_family == AF_UNIX)
		memcpy(s->path, a.un.sun_path, sizeof(s->path));
	if (listen(s->fd, BACKLOG))
		return -errno;
	len = sizeof(a);
	if (a.any.sa_family != AF_UNIX && !getsockname(s->fd, &a.any, &len))
		s->port = ntohs(a.any.sa_family == AF_INET ? a.in.sin_port : a.in6.sin6_port);
	return 0;
}

/* Waits for events on fd; 0, -ETIMEDOUT at the deadline, or -ECANCELED when the server stops. */
static int wait_fd(const struct canp_metrics_server *s, int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = s->stop_fd, .events = POLLIN}};

	for (;;) {
		uint64_t now = canp_clock_ns();
		int ms = -1, n;

		if (deadline_ns) {
			if (now >= deadline_ns)
				return -ETIMEDOUT;
			ms = (int)((deadline_ns - now) / (uint64_t)CANP_NS_PER_MS) + 1;
		}
		n = poll(p, 2, ms);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && p[1].revents)
			return -ECANCELED;
		if (n > 0 && p[0].revents)
			return 0;
	}
}

/* Reads up to the empty line behind the headers. The length, or negative. */
static int read_request(const struct canp_metrics_server *s, int fd, char *text, uint64_t deadline)
{
	size_t len = 0;

	while (len < REQUEST_MAX - 1) {
		ssize_t n;
		int err = wait_fd(s, fd, POLLIN, deadline);

		if (err)
			return err;
		n = recv(fd, text + len, REQUEST_MAX - 1 - len, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return -ECONNRESET;
		len += (size_t)n;
		text[len] = 0;
		if (memchr(text, 0, len))
			return -EBADMSG;
		if (strstr(text, "\r\n\r\n") || strstr(text, "\n\n"))
			return (int)len;
	}
	return -E2BIG;
}

static void send_all(const struct canp_metrics_server *s, int fd, const char *text, size_t len,
		     uint64_t deadline)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN && !wait_fd(s, fd, POLLOUT, deadline))
			continue;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

struct reply {
	const char *status, *type;
	struct canp_strbuf body;
	bool head_only;
};

static void send_reply(const struct canp_metrics_server *s, int fd, const struct reply *r,
		       uint64_t deadline)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			 "Connection: close\r\n\r\n",
			 r->status, r->type, r->body.len);

	send_all(s, fd, head, (size_t)n, deadline);
	if (!r->head_only && r->body.len)
		send_all(s, fd, r->body.buf, r->body.len, deadline);
}

static void reply_text(struct reply *r, const char *status, const char *text)
{
	r->status = status;
	canp_strbuf_printf(&r->body, "%s\n", text);
}

static void reply_metrics(struct canp_metrics_server *s, struct reply *r, const char *headers)
{
	bool open = strcasestr(headers, "application/openmetrics-text") != NULL;

	canp_metrics_init(&s->metrics, &r->body,
			  open ? CANP_METRICS_OPENMETRICS : CANP_METRICS_PROMETHEUS);
	s->o.write(s->o.arg, &s->metrics);
	if (canp_metrics_finish(&s->metrics)) {
		canp_strbuf_reset(&r->body);
		reply_text(r, "500 Internal Server Error", "the metrics could not be written");
		return;
	}
	r->type = open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}

static void reply_state(struct reply *r, const char *why)
{
	reply_text(r, why ? "503 Service Unavailable" : "200 OK", why ? why : "ok");
}

/* The target up to a question mark; false when it is something else. */
static bool is_target(const char *target, const char *want)
{
	size_t n = strlen(want);

	return !strncmp(target, want, n) && (target[n] == ' ' || target[n] == '?');
}

static void answer(struct canp_metrics_server *s, char *request, struct reply *r)
{
	char *target = strchr(request, ' '), *line = strchr(request, '\n');

	if (!target || target > line || !memmem(target, (size_t)(line - target), " HTTP/1.", 8)) {
		reply_text(r, "400 Bad Request", "not HTTP/1");
		return;
	}
	*target++ = 0;
	r->head_only = !strcmp(request, "HEAD");
	if (strcmp(request, "GET") && !r->head_only)
		reply_text(r, "405 Method Not Allowed", "GET or HEAD only");
	else if (is_target(target, "/metrics"))
		reply_metrics(s, r, line);
	else if (is_target(target, "/healthz"))
		reply_state(r, s->o.health ? s->o.health(s->o.arg) : NULL);
	else if (is_target(target, "/readyz"))
		reply_state(r, s->o.ready ? s->o.ready(s->o.arg) : NULL);
	else
		reply_text(r, "404 Not Found", "/metrics, /healthz or /readyz");
}

static void serve(struct canp_metrics_server *s, int fd)
{
	uint64_t deadline = canp_clock_ns() + s->o.timeout_ms * (uint64_t)CANP_NS_PER_MS;
	struct reply r = {.status = "200 OK", .type = "text/plain; charset=utf-8"};
	char request[REQUEST_MAX];
	int n = read_request(s, fd, request, deadline);

	if (n == -E2BIG || n == -EBADMSG)
		reply_text(&r, "400 Bad Request", "request too long or not text");
	else if (n > 0)
		answer(s, request, &r);
	if (r.body.len || n > 0)
		send_reply(s, fd, &r, deadline);
	canp_strbuf_fini(&r.body);
	canp_stat_add(&s->requests, 1);
}

static void *server_run(void *arg)
{
	struct canp_metrics_server *s = arg;

	pthread_setname_np(pthread_self(), "canp-metrics");
	for (;;) {
		int err = wait_fd(s, s->fd, POLLIN, 0), fd;

		if (err)
			return NULL;
		fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			/* Out of descriptors, say: the caller's trouble passes or does not. */
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				usleep(10000);
			continue;
		}
		serve(s, fd);
		close(fd);
	}
}

static void server_free(struct canp_metrics_server *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->stop_fd >= 0)
		close(s->stop_fd);
	if (s->path[0])
		unlink(s->path);
	free(s);
}

int canp_metrics_server_start(const struct canp_metrics_server_opts *o,
			      struct canp_metrics_server **out)
{
	struct canp_metrics_server *s;
	int err;

	if (!o->address || !o->write)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->o = *o;
	s->o.timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS_DEFAULT;
	s->fd = -1;
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	err = s->stop_fd < 0 ? -errno : server_listen(s);
	if (!err)
		err = -pthread_create(&s->thread, NULL, server_run, s);
	if (err) {
		server_free(s);
		return err;
	}
	*out = s;
	return 0;
}

void canp_metrics_server_stop(struct canp_metrics_server *s)
{
	uint64_t one = 1;

	if (!s)
		return;
	while (write(s->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(s->thread, NULL);
	server_free(s);
}

unsigned canp_metrics_server_port(const struct canp_metrics_server *s)
{
	return s->port;
}

uint64_t canp_metrics_server_requests(const struct canp_metrics_server *s)
{
	return canp_stat_get(&s->requests);
}
