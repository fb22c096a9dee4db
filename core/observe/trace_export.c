/*
 * trace_export.c - collected events as Chrome trace JSON and as OTLP/JSON lines.
 *
 * Chrome's format takes the records nearly as they are; only ends whose begin is missing are left
 * out, since viewers would close the wrong span. OTLP wants whole spans with ids, so begins wait on
 * a stack (asynchronous ones in a table) for their ends. Span ids are a function of the job's span
 * id, the track and the place in it: exporting twice gives the same text.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/units.h"
#include "core/observe/event.h"
#include "core/observe/trace.h"

#define DEPTH_MAX  64u
#define LINE_SPANS 256u /* so that a line stays below 128 KiB */

/* A begin that waits for its end. */
struct open_span {
	const struct canp_ev *ev;
	uint64_t span_id;
};

struct exporter {
	const struct canp_trace_opts *o;
	struct canp_trace_result *res;
	struct canp_json js;
	struct canp_strbuf *sb;
	struct open_span stack[DEPTH_MAX];
	unsigned depth;
	unsigned over; /* begins that found the stack full and have not ended */
	unsigned line_spans;
	uint64_t seed;
};

static const char *name_of(const struct exporter *x, unsigned type)
{
	return x->o->name ? x->o->name(type) : canp_event_name(type);
}

static const char *service_of(const struct exporter *x)
{
	return x->o->service ? x->o->service : "canp";
}

static struct exporter *export_new(struct canp_strbuf *sb, const struct canp_trace_opts *o,
				   struct canp_trace_result *res)
{
	struct exporter *x = calloc(1, sizeof(*x));

	memset(res, 0, sizeof(*res));
	if (!x)
		return NULL;
	x->o = o;
	x->res = res;
	x->sb = sb;
	x->js = (struct canp_json)CANP_JSON_INIT(sb, 0);
	return x;
}

/* How many of the open spans an end closes: down to the innermost of its type; 0 when none is. */
static unsigned closes(const struct exporter *x, const struct canp_ev *end)
{
	for (unsigned i = x->depth; i-- > 0;)
		if (x->stack[i].ev->type == end->type)
			return x->depth - i;
	return 0;
}

/* False, and counted, where spans are nested too deep. */
static bool stack_push(struct exporter *x, const struct canp_ev *e, uint64_t span_id)
{
	if (x->depth == DEPTH_MAX) {
		x->over++;
		x->res->skipped++;
		return false;
	}
	x->stack[x->depth++] = (struct open_span){.ev = e, .span_id = span_id};
	return true;
}

/* The end of a begin that was skipped is the next one, since spans nest. */
static bool end_skipped(struct exporter *x)
{
	if (!x->over)
		return false;
	x->over--;
	return true;
}

/* ---- Chrome ---- */

static void chrome_head(struct exporter *x, const char *name, const char *ph, uint32_t tid)
{
	canp_json_object(&x->js);
	canp_json_kstr(&x->js, "name", name);
	canp_json_kstr(&x->js, "ph", ph);
	canp_json_ku64(&x->js, "pid", x->o->pid);
	canp_json_ku64(&x->js, "tid", tid);
}

static void chrome_meta(struct exporter *x, const char *what, uint32_t tid, const char *name)
{
	chrome_head(x, what, "M", tid);
	canp_json_key(&x->js, "args");
	canp_json_object(&x->js);
	canp_json_kstr(&x->js, "name", name);
	canp_json_end(&x->js);
	canp_json_end(&x->js);
}

/* Microseconds with three digits, written as text: a double would round after 104 days. */
static void chrome_us(struct exporter *x, const char *key, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu.%03u", (unsigned long long)(ns / 1000),
		 (unsigned)(ns % 1000));
	canp_json_key(&x->js, key);
	/* The writer has no call for a number given as text. */
	canp_strbuf_puts(x->sb, text);
	x->js.after_key = false;
}

static void chrome_args(struct exporter *x, const struct canp_ev *e)
{
	canp_json_key(&x->js, "args");
	canp_json_object(&x->js);
	if (e->phase == 'C') {
		canp_json_ku64(&x->js, "value", e->a);
	} else {
		canp_json_ku64(&x->js, "id", e->id);
		if (e->phase == 'X' || e->phase == 'i')
			canp_json_ku64(&x->js, "arg", e->b);
	}
	canp_json_end(&x->js);
}

static void chrome_event(struct exporter *x, const struct canp_ev *e, uint32_t tid)
{
	char ph[2] = {(char)e->phase, 0}, key[24];

	chrome_head(x, name_of(x, e->type), ph, tid);
	canp_json_kstr(&x->js, "cat", "canp");
	chrome_us(x, "ts", e->ts_ns);
	if (e->phase == 'X')
		chrome_us(x, "dur", e->a);
	if (e->phase == 'i')
		canp_json_kstr(&x->js, "s", "t");
	if (strchr("besf", e->phase)) {
		snprintf(key, sizeof(key), "0x%llx", (unsigned long long)e->a);
		canp_json_kstr(&x->js, "id", key);
	}
	if (e->phase == 'f')
		canp_json_kstr(&x->js, "bp", "e");
	if (!strchr("sf", e->phase))
		chrome_args(x, e);
	canp_json_end(&x->js);
	x->res->written++;
}

/* Closes the innermost nr spans at ts; as ends of the trace's own, they count. */
static void chrome_close(struct exporter *x, unsigned nr, uint64_t ts_ns, uint32_t tid)
{
	for (; nr; nr--) {
		struct canp_ev end = *x->stack[--x->depth].ev;

		end.phase = 'E';
		end.ts_ns = ts_ns;
		chrome_event(x, &end, tid);
		x->res->unpaired++;
	}
}

static void chrome_one(struct exporter *x, const struct canp_ev *e, uint32_t tid)
{
	unsigned nr;

	switch (e->phase) {
	case 'B':
		if (!stack_push(x, e, 0))
			return;
		break;
	case 'E':
		if (end_skipped(x))
			return;
		nr = closes(x, e);
		if (!nr) {
			x->res->unpaired++;
			return;
		}
		chrome_close(x, nr - 1, e->ts_ns, tid);
		x->depth--;
		break;
	case 'X':
	case 'i':
	case 'b':
	case 'e':
	case 'C':
	case 's':
	case 'f':
		break;
	default:
		x->res->skipped++;
		return;
	}
	chrome_event(x, e, tid);
}

int canp_trace_chrome(struct canp_strbuf *sb, const struct canp_trace_opts *o,
		      const struct canp_trace_track *tracks, unsigned nr,
		      struct canp_trace_result *res)
{
	struct exporter *x = export_new(sb, o, res);
	uint64_t lost = 0;

	if (!x)
		return -ENOMEM;
	canp_json_object(&x->js);
	canp_json_kstr(&x->js, "displayTimeUnit", "ns");
	canp_json_key(&x->js, "traceEvents");
	canp_json_array(&x->js);
	chrome_meta(x, "process_name", 0, service_of(x));
	for (unsigned t = 0; t < nr; t++) {
		const struct canp_trace_track *tr = &tracks[t];

		chrome_meta(x, "thread_name", tr->tid, tr->name);
		x->depth = x->over = 0;
		for (uint32_t i = 0; i < tr->nr; i++)
			chrome_one(x, &tr->events[i], tr->tid);
		if (tr->nr)
			chrome_close(x, x->depth, tr->events[tr->nr - 1].ts_ns, tr->tid);
		lost += tr->lost;
	}
	canp_json_end(&x->js);
	canp_json_key(&x->js, "otherData");
	canp_json_object(&x->js);
	canp_json_ku64(&x->js, "lost", lost);
	canp_json_ku64(&x->js, "unpaired", res->unpaired);
	canp_json_end(&x->js);
	canp_json_end(&x->js);
	canp_strbuf_putc(sb, '\n');
	free(x);
	return sb->failed ? -ENOMEM : 0;
}

/* ---- OTLP ---- */

static uint64_t mix64(uint64_t v)
{
	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ULL;
	v = (v ^ v >> 27) * 0x94d049bb133111ebULL;
	return v ^ v >> 31;
}

/* Never 0, which means none. mix64 is one to one, so ids of one trace differ from each other. */
static uint64_t span_id_of(const struct exporter *x, unsigned track, uint32_t place)
{
	uint64_t id = mix64(x->seed + ((uint64_t)track << 32 | place));

	return id ? id : 1;
}

static void otlp_attr(struct exporter *x, const char *key, const char *str, uint64_t num)
{
	char text[24];

	canp_json_object(&x->js);
	canp_json_kstr(&x->js, "key", key);
	canp_json_key(&x->js, "value");
	canp_json_object(&x->js);
	if (str) {
		canp_json_kstr(&x->js, "stringValue", str);
	} else {
		snprintf(text, sizeof(text), "%lld", (long long)num);
		canp_json_kstr(&x->js, "intValue", text);
	}
	canp_json_end(&x->js);
	canp_json_end(&x->js);
}

static void otlp_line_begin(struct exporter *x)
{
	canp_json_object(&x->js);
	canp_json_key(&x->js, "resourceSpans");
	canp_json_array(&x->js);
	canp_json_object(&x->js);
	canp_json_key(&x->js, "resource");
	canp_json_object(&x->js);
	canp_json_key(&x->js, "attributes");
	canp_json_array(&x->js);
	otlp_attr(x, "service.name", service_of(x), 0);
	otlp_attr(x, "process.pid", NULL, x->o->pid);
	canp_json_end(&x->js);
	canp_json_end(&x->js);
	canp_json_key(&x->js, "scopeSpans");
	canp_json_array(&x->js);
	canp_json_object(&x->js);
	canp_json_key(&x->js, "scope");
	canp_json_object(&x->js);
	canp_json_kstr(&x->js, "name", "canp");
	canp_json_end(&x->js);
	canp_json_key(&x->js, "spans");
	canp_json_array(&x->js);
}

static void otlp_line_end(struct exporter *x)
{
	if (!x->line_spans)
		return;
	while (x->js.depth)
		canp_json_end(&x->js);
	canp_strbuf_putc(x->sb, '\n');
	x->js = (struct canp_json)CANP_JSON_INIT(x->sb, 0);
	x->line_spans = 0;
}

static void otlp_hex(struct exporter *x, const char *key, uint64_t id)
{
	char text[24];

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)id);
	canp_json_kstr(&x->js, key, text);
}

static void otlp_time(struct exporter *x, const char *key, uint64_t ns)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu",
		 (unsigned long long)(ns + (uint64_t)x->o->wall_offset_ns));
	canp_json_kstr(&x->js, key, text);
}

static uint64_t be64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static void otlp_span(struct exporter *x, const struct canp_ev *e, uint64_t id, uint64_t parent,
		      uint64_t end_ns, const struct canp_trace_track *tr)
{
	const struct canp_trace_ctx *ctx = x->o->ctx;
	char trace[40];

	if (!x->line_spans++)
		otlp_line_begin(x);
	snprintf(trace, sizeof(trace), "%016llx%016llx", (unsigned long long)be64(ctx->trace_id),
		 (unsigned long long)be64(ctx->trace_id + 8));
	canp_json_object(&x->js);
	canp_json_kstr(&x->js, "traceId", trace);
	otlp_hex(x, "spanId", id);
	otlp_hex(x, "parentSpanId", parent ? parent : be64(ctx->span_id));
	canp_json_ku64(&x->js, "flags", ctx->flags);
	canp_json_kstr(&x->js, "name", name_of(x, e->type));
	canp_json_ku64(&x->js, "kind", 1); /* internal */
	otlp_time(x, "startTimeUnixNano", e->ts_ns);
	otlp_time(x, "endTimeUnixNano", canp_max(end_ns, e->ts_ns));
	canp_json_key(&x->js, "attributes");
	canp_json_array(&x->js);
	otlp_attr(x, "canp.id", NULL, e->id);
	if (e->phase == 'X' || e->phase == 'i')
		otlp_attr(x, "canp.arg", NULL, e->b);
	otlp_attr(x, "thread.id", NULL, tr->tid);
	otlp_attr(x, "thread.name", tr->name, 0);
	canp_json_end(&x->js);
	canp_json_end(&x->js);
	x->res->written++;
	if (x->line_spans == LINE_SPANS)
		otlp_line_end(x);
}

static uint64_t top_id(const struct exporter *x)
{
	return x->depth ? x->stack[x->depth - 1].span_id : 0;
}

static void otlp_pop(struct exporter *x, uint64_t end_ns, const struct canp_trace_track *tr)
{
	const struct open_span *s = &x->stack[--x->depth];

	otlp_span(x, s->ev, s->span_id, top_id(x), end_ns, tr);
}

static void otlp_end(struct exporter *x, const struct canp_ev *e, const struct canp_trace_track *tr)
{
	unsigned nr = closes(x, e);

	x->res->unpaired += nr ? nr - 1 : 1;
	for (; nr; nr--)
		otlp_pop(x, e->ts_ns, tr);
}

static void otlp_one(struct exporter *x, unsigned track, uint32_t place,
		     const struct canp_trace_track *tr)
{
	const struct canp_ev *e = &tr->events[place];
	uint64_t id = span_id_of(x, track, place);

	switch (e->phase) {
	case 'B':
		stack_push(x, e, id);
		break;
	case 'E':
		if (!end_skipped(x))
			otlp_end(x, e, tr);
		break;
	case 'X':
		otlp_span(x, e, id, top_id(x), e->ts_ns + e->a, tr);
		break;
	case 'i':
		otlp_span(x, e, id, top_id(x), e->ts_ns, tr);
		break;
	case 'b':
	case 'e':
		break; /* otlp_async */
	default:
		x->res->skipped++;
	}
}

/* One end of an asynchronous span and where it was found. */
struct async_ref {
	const struct canp_ev *ev;
	unsigned track;
	uint32_t place;
};

static int compare_async(const void *pa, const void *pb)
{
	const struct async_ref *ra = pa, *rb = pb;
	const struct canp_ev *a = ra->ev, *b = rb->ev;

	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->a != b->a)
		return a->a < b->a ? -1 : 1;
	if (a->ts_ns != b->ts_ns)
		return a->ts_ns < b->ts_ns ? -1 : 1;
	if (a->phase != b->phase)
		return a->phase == 'b' ? -1 : 1;
	return ra->track != rb->track ? (ra->track > rb->track) - (ra->track < rb->track)
				      : (ra->place > rb->place) - (ra->place < rb->place);
}

static size_t async_collect(struct async_ref *refs, const struct canp_trace_track *tracks,
			    unsigned nr)
{
	size_t n = 0;

	for (unsigned t = 0; t < nr; t++)
		for (uint32_t i = 0; i < tracks[t].nr; i++) {
			const struct canp_ev *e = &tracks[t].events[i];

			if (e->phase != 'b' && e->phase != 'e')
				continue;
			if (refs)
				refs[n] = (struct async_ref){.ev = e, .track = t, .place = i};
			n++;
		}
	return n;
}

/* Begin and end may lie on different tracks: sorted by type, key and time they are neighbours. */
static int otlp_async(struct exporter *x, const struct canp_trace_track *tracks, unsigned nr)
{
	size_t n = async_collect(NULL, tracks, nr);
	struct async_ref *refs = malloc(n * sizeof(*refs) + 1);

	if (!refs)
		return -ENOMEM;
	async_collect(refs, tracks, nr);
	qsort(refs, n, sizeof(*refs), compare_async);
	for (size_t i = 0; i < n; i++) {
		const struct canp_ev *e = refs[i].ev, *end = i + 1 < n ? refs[i + 1].ev : NULL;

		if (e->phase != 'b' || !end || end->phase != 'e' || end->type != e->type ||
		    end->a != e->a) {
			x->res->unpaired++;
			continue;
		}
		otlp_span(x, e, span_id_of(x, refs[i].track, refs[i].place), 0, end->ts_ns,
			  &tracks[refs[i].track]);
		i++;
	}
	free(refs);
	return 0;
}

static void otlp_track(struct exporter *x, unsigned track, const struct canp_trace_track *tr)
{
	x->depth = x->over = 0;
	for (uint32_t i = 0; i < tr->nr; i++)
		otlp_one(x, track, i, tr);
	x->res->unpaired += x->depth;
	while (x->depth)
		otlp_pop(x, tr->events[tr->nr - 1].ts_ns, tr);
}

int canp_trace_otlp(struct canp_strbuf *sb, const struct canp_trace_opts *o,
		    const struct canp_trace_track *tracks, unsigned nr,
		    struct canp_trace_result *res)
{
	struct exporter *x;
	int err;

	if (!o->ctx || !be64(o->ctx->span_id) ||
	    !(be64(o->ctx->trace_id) | be64(o->ctx->trace_id + 8)))
		return -EINVAL;
	x = export_new(sb, o, res);
	if (!x)
		return -ENOMEM;
	x->seed = be64(o->ctx->span_id);
	for (unsigned t = 0; t < nr; t++)
		otlp_track(x, t, &tracks[t]);
	err = otlp_async(x, tracks, nr);
	otlp_line_end(x);
	free(x);
	return sb->failed ? -ENOMEM : err;
}
