/*
 * process_trace.c - spans of tasks: submit, queue, run and complete, with the trace id that came in
 * (or one of its own) and the pid of the process that each one happened in. They are kept when a
 * slot becomes free, since then all times are known, in a buffer of fixed size; what does not fit
 * is counted. Export writes OTLP/JSON lines or one Chrome trace document, whose flow arrows lead
 * from the caller to the worker and back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/json.h"
#include "core/observe/trace.h"
#include "core/process/process_priv.h"

void canp_process_span(struct canp_process_pool *p, const struct proc_slot *s, uint64_t w)
{
	struct proc_span *sp;

	if (!p->spans || !(s->flags & PF_TRACE))
		return;
	if (p->nr_spans == PROC_TRACE_MAX) {
		p->spans_lost++;
		return;
	}
	sp = &p->spans[p->nr_spans++];
	sp->trace = proc_cold_of(p, s)->trace;
	sp->parent = proc_cold_of(p, s)->parent;
	sp->id = (w >> 32) << 32 | s->index;
	sp->submit_ns = s->created_ns;
	sp->start_ns = s->pid ? s->started_ns : 0;
	sp->end_ns = s->ended_ns;
	sp->pid = s->pid;
	sp->outcome = (uint8_t)proc_outcome(w);
}

static void hex(const uint8_t *v, unsigned n, char *out)
{
	for (unsigned i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", v[i]);
}

/* The parts of a task that become spans. */
struct part {
	const char *name;
	uint64_t from_ns, to_ns;
	pid_t pid;
};

static unsigned parts_of(const struct canp_process_pool *p, const struct proc_span *s,
			 struct part *out)
{
	uint64_t end = canp_max(s->end_ns, s->submit_ns);
	unsigned n = 0;

	out[n++] = (struct part){"submit", s->submit_ns, s->submit_ns, p->pid};
	out[n++] = (struct part){"queue", s->submit_ns, s->start_ns ? s->start_ns : end, p->pid};
	if (s->start_ns) {
		end = canp_max(end, s->start_ns);
		out[n++] = (struct part){"run", s->start_ns, end, s->pid};
	}
	out[n++] = (struct part){"complete", end, end, p->pid};
	return n;
}

/* ---- OTLP ---- */

static void otlp_attr(struct canp_json *js, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	canp_json_object(js);
	canp_json_kstr(js, "key", key);
	canp_json_key(js, "value");
	canp_json_object(js);
	canp_json_kstr(js, "intValue", text);
	canp_json_end(js);
	canp_json_end(js);
}

static void otlp_time(struct canp_json *js, const char *key, uint64_t ns, int64_t offset_ns)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)((int64_t)ns + offset_ns));
	canp_json_kstr(js, key, text);
}

static void otlp_span(struct canp_json *js, const struct proc_span *s, const struct part *pt,
		      unsigned i, int64_t offset_ns)
{
	char id[33], span[17];
	uint8_t own[8];

	memcpy(own, s->trace.span_id, 8);
	own[0] = (uint8_t)(own[0] + i + 1);
	hex(s->trace.trace_id, 16, id);
	canp_json_object(js);
	canp_json_kstr(js, "traceId", id);
	hex(own, 8, span);
	canp_json_kstr(js, "spanId", span);
	hex(s->trace.span_id, 8, span);
	canp_json_kstr(js, "parentSpanId", span);
	canp_json_kstr(js, "name", pt->name);
	canp_json_ku64(js, "kind", 1);
	otlp_time(js, "startTimeUnixNano", pt->from_ns, offset_ns);
	otlp_time(js, "endTimeUnixNano", pt->to_ns, offset_ns);
	canp_json_key(js, "attributes");
	canp_json_array(js);
	otlp_attr(js, "process.pid", (uint64_t)pt->pid);
	otlp_attr(js, "task.id", s->id);
	otlp_attr(js, "task.outcome", s->outcome);
	canp_json_end(js);
	canp_json_end(js);
}

/* The task itself, around its parts. */
static void otlp_task(struct canp_json *js, const struct proc_span *s, const struct part *last,
		      pid_t pid, int64_t offset_ns)
{
	char text[33];

	canp_json_object(js);
	hex(s->trace.trace_id, 16, text);
	canp_json_kstr(js, "traceId", text);
	hex(s->trace.span_id, 8, text);
	canp_json_kstr(js, "spanId", text);
	hex(s->parent.span_id, 8, text);
	if (strcmp(text, "0000000000000000") != 0)
		canp_json_kstr(js, "parentSpanId", text);
	canp_json_kstr(js, "name", "task");
	canp_json_ku64(js, "kind", 1);
	otlp_time(js, "startTimeUnixNano", s->submit_ns, offset_ns);
	otlp_time(js, "endTimeUnixNano", last->to_ns, offset_ns);
	canp_json_key(js, "attributes");
	canp_json_array(js);
	otlp_attr(js, "process.pid", (uint64_t)pid);
	otlp_attr(js, "task.id", s->id);
	canp_json_end(js);
	canp_json_end(js);
}

static void otlp_line(struct canp_process_pool *p, struct canp_strbuf *sb,
		      const struct proc_span *s, int64_t offset_ns)
{
	struct canp_json js = CANP_JSON_INIT(sb, 0);
	struct part parts[4];
	unsigned n = parts_of(p, s, parts);

	canp_json_object(&js);
	canp_json_key(&js, "resourceSpans");
	canp_json_array(&js);
	canp_json_object(&js);
	canp_json_key(&js, "resource");
	canp_json_object(&js);
	canp_json_key(&js, "attributes");
	canp_json_array(&js);
	canp_json_object(&js);
	canp_json_kstr(&js, "key", "service.name");
	canp_json_key(&js, "value");
	canp_json_object(&js);
	canp_json_kstr(&js, "stringValue", p->cfg.pool_name);
	canp_json_end(&js);
	canp_json_end(&js);
	canp_json_end(&js);
	canp_json_end(&js);
	canp_json_key(&js, "scopeSpans");
	canp_json_array(&js);
	canp_json_object(&js);
	canp_json_key(&js, "spans");
	canp_json_array(&js);
	otlp_task(&js, s, &parts[n - 1], p->pid, offset_ns);
	for (unsigned i = 0; i < n; i++)
		otlp_span(&js, s, &parts[i], i, offset_ns);
	while (js.depth)
		canp_json_end(&js);
	canp_strbuf_puts(sb, "\n");
}

/* ---- Chrome ---- */

static void chrome_event(struct canp_json *js, const struct proc_span *s, const struct part *pt,
			 const char *ph)
{
	char id[33];

	canp_json_object(js);
	canp_json_kstr(js, "name", pt->name);
	canp_json_kstr(js, "cat", "task");
	canp_json_kstr(js, "ph", ph);
	canp_json_ki64(js, "pid", pt->pid);
	canp_json_ki64(js, "tid", pt->pid);
	canp_json_kdouble(js, "ts", (double)pt->from_ns / 1e3);
	if (*ph == 'X')
		canp_json_kdouble(js, "dur", (double)(pt->to_ns - pt->from_ns) / 1e3);
	else
		canp_json_ku64(js, "id", s->id);
	if (*ph == 'f')
		canp_json_kstr(js, "bp", "e");
	hex(s->trace.trace_id, 16, id);
	canp_json_key(js, "args");
	canp_json_object(js);
	canp_json_kstr(js, "trace_id", id);
	canp_json_ku64(js, "task_id", s->id);
	canp_json_end(js);
	canp_json_end(js);
}

static void chrome_task(struct canp_process_pool *p, struct canp_json *js,
			const struct proc_span *s)
{
	struct part parts[4];
	unsigned n = parts_of(p, s, parts);

	for (unsigned i = 0; i < n; i++) {
		if (!strcmp(parts[i].name, "queue")) { /* these overlap */
			struct part end = parts[i];

			chrome_event(js, s, &parts[i], "b");
			end.from_ns = end.to_ns;
			chrome_event(js, s, &end, "e");
			continue;
		}
		chrome_event(js, s, &parts[i], "X");
		if (!strcmp(parts[i].name, "submit"))
			chrome_event(js, s, &parts[i], "s");
		else if (!strcmp(parts[i].name, "run"))
			chrome_event(js, s, &parts[i], "f");
	}
}

/* ---- export ---- */

static int export_write(const char *path, const struct canp_strbuf *sb)
{
	FILE *f = fopen(path, "we");
	int rc = 0;

	if (!f)
		return -errno;
	if (sb->len && fwrite(sb->buf, 1, sb->len, f) != sb->len)
		rc = -EIO;
	if (fclose(f))
		rc = -errno;
	return rc;
}

int canp_process_pool_trace_export(struct canp_process_pool *p, const char *path,
				   const char *format)
{
	bool chrome = !strcmp(format, "chrome");
	int64_t offset_ns = canp_trace_wall_offset_ns();
	struct canp_strbuf sb;
	struct canp_json js = CANP_JSON_INIT(&sb, 0);
	struct proc_span *spans;
	unsigned n;
	int rc;

	if (!p->spans || (!chrome && strcmp(format, "otlp") != 0))
		return -EINVAL;
	spans = malloc(PROC_TRACE_MAX * sizeof(*spans));
	if (!spans)
		return -ENOMEM;
	pthread_mutex_lock(&p->lock);
	n = p->nr_spans;
	memcpy(spans, p->spans, n * sizeof(*spans));
	p->nr_spans = 0;
	pthread_mutex_unlock(&p->lock);
	sb = (struct canp_strbuf)CANP_STRBUF_INIT;
	if (chrome) {
		canp_json_object(&js);
		canp_json_key(&js, "traceEvents");
		canp_json_array(&js);
	}
	for (unsigned i = 0; i < n; i++) {
		if (chrome)
			chrome_task(p, &js, &spans[i]);
		else
			otlp_line(p, &sb, &spans[i], offset_ns);
	}
	if (chrome) {
		canp_json_end(&js);
		canp_json_end(&js);
	}
	rc = sb.failed ? -ENOMEM : export_write(path, &sb);
	canp_strbuf_fini(&sb);
	free(spans);
	return rc;
}
