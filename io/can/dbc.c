/*
 * dbc.c - reading a DBC file: statement by statement, then everything that refers to messages is
 * applied. See dbc_parser.h for the division of work and dbc.h for what the result looks like.
 */
#include "io/can/dbc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/err.h"
#include "core/base/strbuf.h"
#include "io/can/dbc_parser.h"

static bool stmt_version(struct dbc_parser *ps)
{
	return dbc_string(ps, &ps->dbc->version) || ps->mem->failed ||
	       dbc_expected(ps, "the version string");
}

/* The list of new symbols: lines of words only. It names keywords, so it cannot be skipped by
 * looking for the next one. */
static bool stmt_ns(struct dbc_parser *ps)
{
	dbc_char(ps, ':');
	for (;;) {
		char *p = ps->p;

		while (p < ps->end && *p != '\n') {
			bool word = *p == '_' || (*p >= 'A' && *p <= 'Z') ||
				    (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9');

			if (!word && *p != ' ' && *p != '\t' && *p != '\r')
				return true;
			p++;
		}
		ps->p = p;
		if (p >= ps->end)
			return true;
		ps->p++;
		ps->line++;
	}
}

static bool stmt_bs(struct dbc_parser *ps)
{
	dbc_char(ps, ':');
	while (dbc_same_line(ps)) /* [baud : btr1, btr2], obsolete */
		ps->p++;
	return true;
}

static bool stmt_nodes(struct dbc_parser *ps)
{
	struct dbc_text t;

	dbc_char(ps, ':');
	while (!dbc_at_keyword(ps) && (dbc_word(ps, &t) || dbc_char(ps, ',')))
		;
	dbc_char(ps, ';');
	return true;
}

static bool stmt_skip(struct dbc_parser *ps)
{
	dbc_skip(ps);
	return true;
}

static const struct {
	const char *keyword;
	bool (*fn)(struct dbc_parser *ps);
} dbc_statements[] = {
	{"SG_", dbc_parse_signal},
	{"BO_", dbc_parse_message},
	{"VAL_", dbc_parse_values},
	{"CM_", dbc_parse_comment},
	{"BA_", dbc_parse_attr},
	{"BA_DEF_", dbc_parse_attr_def},
	{"BA_DEF_DEF_", dbc_parse_attr_default},
	{"VAL_TABLE_", dbc_parse_valtable},
	{"SIG_VALTYPE_", dbc_parse_valtype},
	{"SG_MUL_VAL_", dbc_parse_mux},
	{"VERSION", stmt_version},
	{"NS_", stmt_ns},
	{"BS_", stmt_bs},
	{"BU_", stmt_nodes},
	{"BO_TX_BU_", stmt_skip},
	{"EV_", stmt_skip},
	{"EV_DATA_", stmt_skip},
	{"ENVVAR_DATA_", stmt_skip},
	{"SGTYPE_", stmt_skip},
	{"SGTYPE_VAL_", stmt_skip},
	{"SIGTYPE_VALTYPE_", stmt_skip},
	{"SIG_TYPE_REF_", stmt_skip},
	{"SIG_GROUP_", stmt_skip},
	{"BA_DEF_REL_", stmt_skip},
	{"BA_DEF_DEF_REL_", stmt_skip},
	{"BA_REL_", stmt_skip},
	{"BA_DEF_SGTYPE_", stmt_skip},
	{"BA_SGTYPE_", stmt_skip},
	{"CAT_DEF_", stmt_skip},
	{"CAT_", stmt_skip},
	{"FILTER", stmt_skip},
};

static void dbc_statement(struct dbc_parser *ps)
{
	struct dbc_text word = {"", 0};
	uint32_t line = ps->line;
	size_t i;

	dbc_word(ps, &word);
	for (i = 0; i < CANP_ARRAY_SIZE(dbc_statements); i++)
		if (dbc_is(word, dbc_statements[i].keyword))
			break;
	if (i == CANP_ARRAY_SIZE(dbc_statements)) {
		int len = (int)(word.len < 64 ? word.len : 64);

		if (!word.len)
			dbc_expected(ps, "a statement");
		else
			dbc_warn(ps, line, "unknown statement \"%.*s\" is skipped", len, word.s);
		dbc_resync(ps);
		return;
	}
	if (!dbc_statements[i].fn(ps))
		dbc_resync(ps);
}

/* Raw id -> message, the last one of equal ids; the earlier ones are marked. */
static int dbc_index(struct dbc_parser *ps)
{
	struct canp_dbc *dbc = ps->dbc;
	uint32_t nr = 16;

	while (nr < 2 * dbc->nr_messages)
		nr *= 2;
	ps->ids = canp_bump_alloc(ps->mem, nr * sizeof(*ps->ids));
	if (!ps->ids)
		return -ENOMEM;
	ps->ids_mask = nr - 1;
	for (uint32_t k = 0; k < dbc->nr_messages; k++) {
		struct canp_dbc_message *m = &dbc->messages[k];
		uint32_t i = m->raw_id * 0x9e3779b1u;

		i = (i ^ i >> 15) & ps->ids_mask;
		while (ps->ids[i].msg && ps->ids[i].raw_id != m->raw_id)
			i = (i + 1) & ps->ids_mask;
		if (ps->ids[i].msg) {
			struct canp_dbc_message *old = &dbc->messages[ps->ids[i].msg - 1];

			old->shadowed = true;
			dbc_warn(ps, m->line,
				 "message %s has the id of %s (line %u), which it replaces",
				 m->name, old->name, old->line);
		}
		ps->ids[i].raw_id = m->raw_id;
		ps->ids[i].msg = k + 1;
	}
	return 0;
}

/* An id written once with and once without the extended flag meets itself here. */
static void dbc_mark_same_ids(struct dbc_parser *ps)
{
	struct canp_dbc *dbc = ps->dbc;

	for (uint32_t k = 0; k < dbc->nr_messages; k++) {
		struct canp_dbc_message *m = &dbc->messages[k];
		uint32_t other = m->raw_id ^ 0x80000000u;
		uint32_t i = other * 0x9e3779b1u;

		if (!m->ext || m->shadowed)
			continue;
		for (i = (i ^ i >> 15) & ps->ids_mask; ps->ids[i].msg; i = (i + 1) & ps->ids_mask) {
			struct canp_dbc_message *o = &dbc->messages[ps->ids[i].msg - 1];

			if (ps->ids[i].raw_id != other || !o->ext || o <= m)
				continue;
			m->shadowed = true;
			dbc_warn(ps, o->line,
				 "message %s has the id of %s (line %u), which it replaces",
				 o->name, m->name, m->line);
		}
	}
}

static int dbc_run(struct dbc_parser *ps, const uint8_t *text, size_t len)
{
	int rc = dbc_lex_open(ps, text, len);

	if (rc)
		return rc;
	for (dbc_blank(ps); ps->p < ps->end && !ps->mem->failed; dbc_blank(ps)) {
		if (*ps->p == ';')
			ps->p++;
		else
			dbc_statement(ps);
	}
	if (ps->mem->failed || dbc_index(ps))
		return -ENOMEM;
	dbc_mark_same_ids(ps);
	dbc_resolve_notes(ps);
	dbc_resolve_attrs(ps);
	return ps->mem->failed ? -ENOMEM : 0;
}

static int dbc_fail(struct canp_strbuf *err, const char *path, int rc, const char *what)
{
	if (err)
		canp_strbuf_printf(err, "%s: %s: %s", path, what, canp_strerror(rc));
	return rc;
}

int canp_dbc_parse(const char *path, const void *text, size_t len, struct canp_strbuf *err,
		   canp_dbc_warn_fn warn, void *arg, struct canp_dbc **out)
{
	struct dbc_parser ps = {.warn = warn, .warn_arg = arg};
	struct canp_dbc *dbc;
	const char *slash = strrchr(path, '/');
	int rc;

	if (len > CANP_DBC_BYTES_MAX)
		return dbc_fail(err, path, -EFBIG, "larger than any vehicle database (64 MiB)");
	dbc = calloc(1, sizeof(*dbc));
	if (!dbc)
		return dbc_fail(err, path, -ENOMEM, "reading the DBC");
	dbc->path = canp_bump_str(&dbc->mem, path, strlen(path));
	dbc->file = canp_bump_str(&dbc->mem, slash ? slash + 1 : path,
				  strlen(slash ? slash + 1 : path));
	dbc->version = dbc->comment = dbc->db_name = dbc->bus_type = dbc->protocol_type = "";
	canp_sha256_hex(text, len, dbc->sha256);
	ps.dbc = dbc;
	ps.mem = &dbc->mem;
	ps.loc = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	rc = ps.loc && dbc->file && dbc->path ? dbc_run(&ps, text, len) : -ENOMEM;
	if (ps.loc)
		freelocale(ps.loc);
	free(ps.start);
	if (rc) {
		canp_dbc_destroy(dbc);
		return dbc_fail(err, path, rc, "reading the DBC");
	}
	*out = dbc;
	return 0;
}

static int dbc_read_all(int fd, uint8_t *buf, size_t len, size_t *got)
{
	*got = 0;
	while (*got < len) {
		ssize_t n = read(fd, buf + *got, len - *got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*got += (size_t)n;
	}
	return 0;
}

int canp_dbc_load(const char *path, struct canp_strbuf *err, canp_dbc_warn_fn warn, void *arg,
		  struct canp_dbc **out)
{
	struct stat st;
	uint8_t *buf;
	size_t len;
	int fd, rc;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return dbc_fail(err, path, rc, "opening the DBC");
	}
	if (S_ISDIR(st.st_mode) || st.st_size > (off_t)CANP_DBC_BYTES_MAX) {
		close(fd);
		return dbc_fail(err, path, S_ISDIR(st.st_mode) ? -EISDIR : -EFBIG,
				"not usable as a DBC");
	}
	/* A pipe has size 0: it may bring up to the limit. */
	len = S_ISREG(st.st_mode) ? (size_t)st.st_size : CANP_DBC_BYTES_MAX;
	buf = malloc(len + 1);
	rc = buf ? dbc_read_all(fd, buf, len, &len) : -ENOMEM;
	close(fd);
	if (rc)
		dbc_fail(err, path, rc, "reading the DBC");
	else
		rc = canp_dbc_parse(path, buf, len, err, warn, arg, out);
	free(buf);
	return rc;
}

void canp_dbc_destroy(struct canp_dbc *dbc)
{
	if (!dbc)
		return;
	canp_bump_fini(&dbc->mem);
	free(dbc);
}

const struct canp_dbc_message *canp_dbc_find(const struct canp_dbc *dbc, uint32_t id, bool ext)
{
	for (uint32_t i = dbc->nr_messages; i-- > 0;)
		if (dbc->messages[i].id == id && dbc->messages[i].ext == ext)
			return &dbc->messages[i];
	return NULL;
}

const struct canp_dbc_signal *canp_dbc_signal(const struct canp_dbc_message *msg, const char *name)
{
	for (uint32_t i = 0; i < msg->nr_signals; i++)
		if (!strcmp(msg->signals[i].short_name, name) ||
		    !strcmp(msg->signals[i].name, name))
			return &msg->signals[i];
	return NULL;
}
