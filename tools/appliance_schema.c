/*
 * appliance_schema.c - `canp-appliance schema`: the tables a job with these options would write, as
 * text or as SQL that makes them known to DuckDB or Athena.
 */
#include <stdio.h>
#include <string.h>

#include "tools/appliance_cmd.h"

enum sql_dialect { SQL_NONE, SQL_DUCKDB, SQL_ATHENA };

static const char *type_text(enum canp_coltype type, enum sql_dialect d)
{
	static const char *const plain[] = {"BOOL",  "UINT8",  "INT8",   "UINT16",
					    "INT16", "UINT32", "INT32",  "UINT64",
					    "INT64", "FLOAT",  "DOUBLE", "BYTES"};
	/* Athena has no unsigned types: the next larger signed one holds the values. */
	static const char *const athena[] = {"boolean",  "smallint", "tinyint", "int",
					     "smallint", "bigint",   "int",     "decimal(20,0)",
					     "bigint",   "float",    "double",  "binary"};

	return d == SQL_ATHENA ? athena[type] : plain[type];
}

static void schema_column(struct canp_strbuf *sb, const struct canp_col *c)
{
	canp_strbuf_printf(sb, "  %s %s%s%s", c->name, type_text(c->type, SQL_NONE),
			   *c->unit ? "  # " : "", c->unit);
	if (c->plugin)
		canp_strbuf_printf(sb, "%smade by plugin %s", *c->unit ? ", " : "  # ", c->plugin);
	canp_strbuf_putc(sb, '\n');
}

static void schema_text(struct canp_strbuf *sb, const struct canp_plan *p,
			const struct canp_table *t)
{
	canp_strbuf_printf(sb, "%s (id 0x%X%s%s)\n  ts TIMESTAMP us UTC\n", t->name, t->id,
			   t->ext ? "x" : "", t->j1939 ? ", J1939" : "");
	if (p->opts.ts_ns_column)
		canp_strbuf_puts(sb, "  ts_ns INT64\n");
	canp_strbuf_puts(sb, "  src INT32\n");
	if (p->opts.device_column)
		canp_strbuf_puts(sb, "  device STRING\n");
	canp_strbuf_puts(sb, "  bus UINT8\n");
	for (uint32_t i = 0; i < t->nr_cols; i++)
		if (!t->cols[i].hidden)
			schema_column(sb, &t->cols[i]);
}

/* DuckDB reads the folder itself; a view gives it its name. */
static void schema_duckdb(struct canp_strbuf *sb, const struct canp_table *t, const char *out)
{
	canp_strbuf_printf(sb,
			   "CREATE OR REPLACE VIEW \"%s\" AS SELECT * FROM "
			   "read_parquet('%s/%s/*.parquet');\n",
			   t->name, out, t->name);
}

static void schema_athena(struct canp_strbuf *sb, const struct canp_plan *p,
			  const struct canp_table *t, const char *out)
{
	canp_strbuf_printf(sb, "CREATE EXTERNAL TABLE `%s` (\n  `ts` timestamp,\n", t->name);
	if (p->opts.ts_ns_column)
		canp_strbuf_puts(sb, "  `ts_ns` bigint,\n");
	canp_strbuf_puts(sb, "  `src` int,\n");
	if (p->opts.device_column)
		canp_strbuf_puts(sb, "  `device` string,\n");
	canp_strbuf_puts(sb, "  `bus` smallint");
	for (uint32_t i = 0; i < t->nr_cols; i++)
		if (!t->cols[i].hidden)
			canp_strbuf_printf(sb, ",\n  `%s` %s", t->cols[i].name,
					   type_text(t->cols[i].type, SQL_ATHENA));
	canp_strbuf_printf(sb, "\n) STORED AS PARQUET LOCATION '%s/%s/';\n", out, t->name);
}

static void schema_table(struct canp_strbuf *sb, const struct canp_plan *p,
			 const struct canp_table *t, enum sql_dialect d, const char *out)
{
	if (!t || t->cls == CANP_REC_NONE)
		return;
	if (d == SQL_DUCKDB)
		schema_duckdb(sb, t, out);
	else if (d == SQL_ATHENA)
		schema_athena(sb, p, t, out);
	else
		schema_text(sb, p, t);
}

/* --sql is this command's own option: taken out of the arguments before the common ones. */
static int take_sql(int *argc, char **argv, enum sql_dialect *d)
{
	int n = 0;

	for (int i = 0; i < *argc; i++) {
		const char *v = NULL;

		if (!strncmp(argv[i], "--sql=", 6))
			v = argv[i] + 6;
		else if (!strcmp(argv[i], "--sql") && i + 1 < *argc)
			v = argv[++i];
		if (!v) {
			argv[n++] = argv[i];
			continue;
		}
		if (!strcmp(v, "duckdb"))
			*d = SQL_DUCKDB;
		else if (!strcmp(v, "athena"))
			*d = SQL_ATHENA;
		else
			return -1;
	}
	*argc = n;
	return 0;
}

int canp_cmd_schema(int argc, char **argv)
{
	static const struct canp_tool tool = {
		.name = "canp-appliance schema",
		.synopsis = "-d [BUS=]FILE.dbc... [--sql duckdb|athena] [OPTION]...",
		.text = "Shows the tables a job with these options would write.",
	};
	struct canp_strbuf err = CANP_STRBUF_INIT, sb = CANP_STRBUF_INIT;
	enum sql_dialect d = SQL_NONE;
	struct canp_plugins *plugins = NULL;
	struct canp_plan *plan = NULL;
	struct canp_job_cli c;
	unsigned shown = 0;
	int code;

	if (take_sql(&argc, argv, &d))
		return canp_tool_usage(&tool, "--sql takes duckdb or athena");
	code = canp_job_cli_parse(&c, &tool, argc, argv);
	if (code >= 0)
		return code;
	code = canp_job_cli_resolve(&c, &tool);
	if (code < 0 && (canp_plan_create(&c.job.plan, &err, canp_cmd_warn, &shown, &plan) ||
			 canp_plugins_create(c.job.plugins, c.job.nr_plugins, plan, &err,
					     canp_cmd_warn, &shown, &plugins))) {
		fprintf(stderr, "canp-appliance: %s\n", err.buf);
		code = CANP_EXIT_FATAL;
	}
	if (code < 0) {
		for (unsigned s = 0; s < canp_plan_nr_slots(plan); s++)
			schema_table(&sb, plan, canp_plan_table(plan, s), d,
				     c.job.out ? c.job.out : "DATASET");
		code = canp_tool_print(&sb);
	}
	canp_plugins_destroy(plugins);
	canp_plan_destroy(plan);
	canp_strbuf_fini(&err);
	canp_job_cli_fini(&c);
	return code;
}
