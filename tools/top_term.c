/*
 * top_term.c - plain ANSI sequences, as every terminal of the last decades understands them.
 */
#include "tools/top_term.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/units.h"

static struct termios term_before;
static bool term_raw, term_on;
static int term_leave; /* set by signals; atomic */

static void term_on_signal(int sig)
{
	if (sig != SIGWINCH)
		__atomic_store_n(&term_leave, 1, __ATOMIC_RELAXED);
}

static void term_signals(void)
{
	static const int nrs[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
	struct sigaction sa = {.sa_handler = term_on_signal};

	sigemptyset(&sa.sa_mask);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(nrs); i++)
		sigaction(nrs[i], &sa, NULL);
}

bool canp_top_term_open(bool screen)
{
	struct termios t;

	term_signals();
	if (!screen || !isatty(STDOUT_FILENO))
		return false;
	if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &term_before) == 0) {
		t = term_before;
		t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		term_raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
	}
	fputs("\033[?1049h\033[?25l\033[2J", stdout);
	fflush(stdout);
	term_on = true;
	return true;
}

void canp_top_term_close(void)
{
	if (term_on) {
		fputs("\033[?25h\033[?1049l", stdout);
		fflush(stdout);
	}
	if (term_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &term_before);
	term_on = term_raw = false;
}

void canp_top_term_size(unsigned *cols, unsigned *rows)
{
	struct winsize w;

	*cols = 80;
	*rows = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col && w.ws_row) {
		*cols = w.ws_col;
		*rows = w.ws_row;
	}
}

void canp_top_term_draw(const struct canp_strbuf *sb)
{
	const char *p = sb->buf, *end = p + sb->len;
	unsigned cols, rows;

	canp_top_term_size(&cols, &rows);
	fputs("\033[H", stdout);
	for (unsigned row = 0; p < end && row < rows; row++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);

		/* The last line without a line feed: the screen must not scroll. */
		fprintf(stdout, "%s%.*s\033[K", row ? "\r\n" : "", (int)canp_min(n, (size_t)cols),
			p);
		p += n + 1;
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

static bool term_key(void)
{
	char c;
	ssize_t n = read(STDIN_FILENO, &c, 1);

	/* The terminal is gone, or the input has ended: with nobody there, leave. */
	if (n <= 0)
		return n == 0 || (errno != EINTR && errno != EAGAIN);
	return c == 'q' || c == 'Q' || c == 3 || c == 4;
}

bool canp_top_term_wait(uint64_t ns)
{
	uint64_t end_ns = canp_clock_ns() + ns;

	while (!__atomic_load_n(&term_leave, __ATOMIC_RELAXED)) {
		/* Keys count only where there is a screen to leave. */
		struct pollfd p = {.fd = term_on && term_raw ? STDIN_FILENO : -1, .events = POLLIN};
		uint64_t now_ns = canp_clock_ns();
		struct timespec ts;
		int n;

		if (now_ns >= end_ns)
			return false;
		ts.tv_sec = (time_t)((end_ns - now_ns) / (uint64_t)CANP_NS_PER_S);
		ts.tv_nsec = (long)((end_ns - now_ns) % (uint64_t)CANP_NS_PER_S);
		n = ppoll(&p, 1, &ts, NULL);
		if (n > 0 && term_key())
			return true;
		if (n < 0)
			return __atomic_load_n(&term_leave, __ATOMIC_RELAXED) != 0;
	}
	return true;
}
