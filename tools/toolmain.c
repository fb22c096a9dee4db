/*
 * toolmain.c - shared start-up and output of the tools.
 */
#include "tools/toolmain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/strbuf.h"
#include "core/base/version.h"

int canp_tool_usage(const struct canp_tool *tool, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", tool->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry '%s --help'.\n", tool->name);
	return CANP_EXIT_USAGE;
}

static int tool_help(const struct canp_tool *tool, const struct canp_opts *o)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;

	canp_strbuf_printf(&sb, "Usage: %s %s\n%s\n\n", tool->name, tool->synopsis, tool->text);
	canp_opts_help(o, &sb);
	return canp_tool_print(&sb);
}

int canp_tool_options(const struct canp_tool *tool, const struct canp_opt_bind *binds, unsigned nr,
		      int argc, char **argv, struct canp_opts **out)
{
	struct canp_opts *o = NULL;
	int rc = canp_opts_create(binds, nr, &o);

	if (!rc)
		rc = canp_opts_cli(o, argc - 1, argv + 1);
	if (!rc && tool->help && *tool->help) {
		rc = tool_help(tool, o);
		canp_opts_destroy(o);
		return rc;
	}
	if (!rc && tool->version && *tool->version) {
		printf("%s %s\n", tool->name, CANP_VERSION);
		canp_opts_destroy(o);
		return CANP_EXIT_OK;
	}
	if (!rc)
		rc = canp_opts_env(o, environ);
	if (!rc && tool->config && **tool->config)
		rc = canp_opts_file(o, *tool->config);
	if (rc) {
		rc = canp_tool_usage(tool, "%s", o ? canp_opts_error(o) : "out of memory");
		canp_opts_destroy(o);
		return rc;
	}
	*out = o;
	return -1;
}

int canp_tool_print(struct canp_strbuf *sb)
{
	bool bad = sb->failed;

	if (sb->len && fwrite(sb->buf, 1, sb->len, stdout) != sb->len)
		bad = true;
	if (fflush(stdout))
		bad = true;
	canp_strbuf_fini(sb);
	if (bad)
		fprintf(stderr, "canp: cannot write to standard output\n");
	return bad ? CANP_EXIT_FATAL : CANP_EXIT_OK;
}

const char *canp_tool_bytes(double bytes, char *buf)
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	unsigned u = 0;

	while (bytes >= 1024 && u + 1 < CANP_ARRAY_SIZE(unit)) {
		bytes /= 1024;
		u++;
	}
	snprintf(buf, 32, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
	return buf;
}

const char *canp_tool_count(double n, char *buf)
{
	static const char *const unit[] = {"", "k", "M", "G", "T"};
	unsigned u = 0;

	while (n >= 10000 && u + 1 < CANP_ARRAY_SIZE(unit)) {
		n /= 1000;
		u++;
	}
	snprintf(buf, 32, u ? "%.1f %s" : "%.0f%s", n, unit[u]);
	return buf;
}
