/*
 * device_rule.c - which vehicle a file belongs to, by its name.
 */
#include "io/device_rule.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "core/base/units.h"

struct canp_device_rule {
	enum { RULE_NAME, RULE_PATH, RULE_REGEX } kind;
	char *name;
	long nth;
	regex_t re;
};

static int rule_path(struct canp_device_rule *r, const char *text, struct canp_strbuf *err)
{
	char *end;

	r->kind = RULE_PATH;
	r->nth = strtol(text, &end, 10);
	if (*text && !*end && r->nth && labs(r->nth) <= 1000)
		return 0;
	canp_strbuf_printf(
		err, "--device path:%s: N is a folder number, 1 the first, -1 the file name", text);
	return -EINVAL;
}

static int rule_regex(struct canp_device_rule *r, const char *text, struct canp_strbuf *err)
{
	char msg[128];
	int rc = regcomp(&r->re, text, REG_EXTENDED);

	if (rc) {
		regerror(rc, &r->re, msg, sizeof(msg));
		canp_strbuf_printf(err, "--device %s: not a regular expression: %s", text, msg);
		return -EINVAL;
	}
	r->kind = RULE_REGEX;
	return 0;
}

int canp_device_rule_create(const char *text, struct canp_device_rule **out,
			    struct canp_strbuf *err)
{
	struct canp_device_rule *r = calloc(1, sizeof(*r));
	int rc = 0;

	if (!r)
		return -ENOMEM;
	if (!strncmp(text, "path:", 5))
		rc = rule_path(r, text + 5, err);
	else if (strchr(text, '('))
		rc = rule_regex(r, text, err);
	else
		r->name = strdup(text);
	if (!rc && r->kind == RULE_NAME && !r->name)
		rc = -ENOMEM;
	if (rc) {
		free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void canp_device_rule_destroy(struct canp_device_rule *r)
{
	if (!r)
		return;
	if (r->kind == RULE_REGEX)
		regfree(&r->re);
	free(r->name);
	free(r);
}

/* The nth component of path; empty components do not count. */
static size_t path_component(const char *path, long nth, const char **at)
{
	const char *p = path, *best = NULL;
	size_t best_len = 0;
	long n = 0, want = nth;

	if (nth < 0) {
		long total = 0;

		for (const char *q = path; *q; q++)
			total += *q != '/' && (q == path || q[-1] == '/');
		want = total + nth + 1;
	}
	while (*p) {
		size_t len = strcspn(p, "/");

		if (len && ++n == want) {
			best = p;
			best_len = len;
			break;
		}
		p += len + (p[len] == '/');
	}
	*at = best;
	return best_len;
}

size_t canp_device_rule_apply(const struct canp_device_rule *r, const char *path, char *buf,
			      size_t cap)
{
	const char *from = r->name;
	size_t len = 0;
	regmatch_t m[2];

	buf[0] = '\0';
	switch (r->kind) {
	case RULE_NAME:
		len = strlen(r->name);
		break;
	case RULE_PATH:
		len = path_component(path, r->nth, &from);
		break;
	case RULE_REGEX:
		if (regexec(&r->re, path, 2, m, 0) || m[1].rm_so < 0)
			return 0;
		from = path + m[1].rm_so;
		len = (size_t)(m[1].rm_eo - m[1].rm_so);
		break;
	}
	len = canp_min(len, cap - 1);
	if (len)
		memcpy(buf, from, len);
	buf[len] = '\0';
	return len;
}
