/*
 * t_trace.c - trace points and their switch, W3C contexts, and both exports: every text is read by
 * a JSON parser that is not ours and its structure is checked there.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/compiler.h"
#include "core/observe/event.h"
#include "core/observe/trace.h"

#define NR 1024u

static struct canp_ev slots[2][NR], out[2][NR];
static struct canp_tracer tracer[2];

/* 2020-09-13: what OTLP times become. */
static const int64_t wall_offset = 1600000000000000000LL;

static const char *name_of(unsigned type)
{
	static const char *const names[] = {"read", "in\"flate", "decode", "write", "frames"};

	return type < CANP_ARRAY_SIZE(names) ? names[type] : "other";
}

static void tracers_init(void)
{
	canp_tracer_init(&tracer[0], slots[0], NR, CANP_EVRING_DROP_NEWEST, "shard 0", 0);
	canp_tracer_init(&tracer[1], slots[1], NR, CANP_EVRING_DROP_NEWEST, "shard 1", 1);
}

/* What tracers hold as tracks. */
static void collect(struct canp_trace_track *tracks)
{
	for (unsigned i = 0; i < 2; i++) {
		struct canp_evring_counts c;

		tracks[i] = (struct canp_trace_track){
			.name = tracer[i].name, .tid = tracer[i].tid, .events = out[i]};
		tracks[i].nr = canp_evring_read(&tracer[i].ring, out[i], NR);
		canp_evring_counts(&tracer[i].ring, &c);
		tracks[i].lost = c.lost;
	}
}

/* Two tracks with every kind of record, ends that were lost on both sides among them. */
static void trace_something(void)
{
	struct canp_tracer *a = &tracer[0], *b = &tracer[1];

	tracers_init();
	canp_trace_set(true);
	canp_trace_end(a, 1000, 3, 1); /* begun before tracing was on */
	canp_trace_begin(a, 2000, 0, 7);
	canp_trace_begin(a, 2500, 1, 8);
	canp_trace_complete(a, 2600, 100, 2, 9, 42);
	canp_trace_instant(a, 2800, 4, 10, 43);
	canp_trace_end(a, 3001, 1, 8);
	canp_trace_flow_start(a, 3100, 3, 77);
	canp_trace_begin(a, 3200, 2, 11); /* its end is missing: closes with its parent */
	canp_trace_end(a, 4000, 0, 7);
	canp_trace_counter(a, 4100, 4, 123456789);
	canp_trace_async_begin(a, 5000, 3, 12, 0xabcdef0123ULL);
	canp_trace_begin(b, 5100, 3, 13);
	canp_trace_flow_end(b, 5200, 3, 77);
	canp_trace_async_end(b, 6000, 3, 12, 0xabcdef0123ULL);
	canp_trace_async_begin(b, 6100, 3, 14, 5); /* never ends */
	canp_trace_instant(b, 7000, 4, 15, 0);     /* span 13 closes with the track */
	canp_trace_set(false);
}

static void G21_nothing_is_recorded_while_it_is_off(void **state)
{
	struct canp_evring_counts c;

	(void)state;
	tracers_init();
	assert_false(canp_trace_enabled());
	canp_trace_begin(&tracer[0], 1, 1, 1);
	canp_trace_counter(&tracer[0], 2, 1, 1);
	canp_trace_complete(&tracer[0], 3, 1, 1, 1, 1);
	canp_trace_set(true);
	canp_trace_begin(&tracer[0], 4, 1, 1);
	canp_trace_set(false);
	canp_trace_end(&tracer[0], 5, 1, 1);
	canp_evring_counts(&tracer[0].ring, &c);
	assert_int_equal(c.emitted, 1);
	assert_int_equal(c.pending, 1);
}

/* Runs a python program on a text; it asserts. */
static void check_with(const char *program, const char *text)
{
	char path[] = "/tmp/t_trace.XXXXXX", cmd[128];
	int fd = mkstemp(path);
	FILE *f;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, program, strlen(program)), strlen(program));
	close(fd);
	snprintf(cmd, sizeof(cmd), "/usr/bin/python3 %s", path);
	f = popen(cmd, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(pclose(f), 0);
	unlink(path);
}

static bool no_python(void)
{
	if (!access("/usr/bin/python3", X_OK))
		return false;
	print_message("no /usr/bin/python3 to check the JSON with\n");
	return true;
}

static void chrome_trace_has_paired_and_nested_events(void **state)
{
	static const char program[] =
		"import json, sys\n"
		"d = json.load(sys.stdin)\n"
		"assert d['otherData'] == {'lost': 0, 'unpaired': 3}, d['otherData']\n"
		"ev = d['traceEvents']\n"
		"meta = [e for e in ev if e['ph'] == 'M']\n"
		"names = [(m['name'], m['tid'], m['args']['name']) for m in meta]\n"
		"assert ('process_name', 0, 'test') in names\n"
		"assert ('thread_name', 0, 'shard 0') in names\n"
		"assert ('thread_name', 1, 'shard 1') in names\n"
		"real = [e for e in ev if e['ph'] != 'M']\n"
		"assert all(e['pid'] == 4711 and e['cat'] == 'canp' for e in real)\n"
		"for tid in 0, 1:\n"
		"    stack = []\n"
		"    for e in real:\n"
		"        if e['tid'] != tid: continue\n"
		"        if e['ph'] == 'B': stack.append(e)\n"
		"        if e['ph'] == 'E':\n"
		"            b = stack.pop()\n"
		"            assert b['name'] == e['name'] and b['ts'] <= e['ts']\n"
		"            assert b['args'] == e['args']\n"
		"    assert not stack\n"
		"by = {}\n"
		"for e in real: by.setdefault(e['ph'], []).append(e)\n"
		"assert sorted(by) == sorted('BEXibesfC'), sorted(by)\n"
		"assert [e['name'] for e in by['B']] == ['read', 'in\"flate', 'decode', 'write']\n"
		"assert [e['ts'] for e in by['E']] == [3.001, 4.0, 4.0, 7.0]\n"
		"assert by['X'][0]['dur'] == 0.1 and by['X'][0]['args'] == {'id': 9, 'arg': 42}\n"
		"assert by['C'][0]['args'] == {'value': 123456789}\n"
		"assert by['b'][0]['id'] == by['e'][0]['id'] == '0xabcdef0123'\n"
		"assert by['s'][0]['id'] == by['f'][0]['id'] == '0x4d' and by['f'][0]['bp'] == "
		"'e'\n"
		"assert by['i'][0]['s'] == 't'\n";
	struct canp_trace_opts o = {.service = "test", .name = name_of, .pid = 4711};
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_trace_track tracks[2];
	struct canp_trace_result res;

	(void)state;
	if (no_python())
		skip();
	trace_something();
	collect(tracks);
	assert_int_equal(canp_trace_chrome(&sb, &o, tracks, 2, &res), 0);
	assert_int_equal(res.unpaired, 3);
	assert_int_equal(res.skipped, 0);
	assert_int_equal(res.written, 17);
	check_with(program, sb.buf);
	canp_strbuf_fini(&sb);
}

static struct canp_trace_ctx ctx(void)
{
	struct canp_trace_ctx c;

	assert_int_equal(canp_traceparent_parse(
				 "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &c),
			 0);
	return c;
}

static void otlp_lines_hold_whole_spans_with_their_parents(void **state)
{
	static const char program[] =
		"import json, sys\n"
		"spans = []\n"
		"for line in sys.stdin:\n"
		"    d = json.loads(line)\n"
		"    (rs,) = d['resourceSpans']\n"
		"    attrs = {a['key']: a['value'] for a in rs['resource']['attributes']}\n"
		"    assert attrs['service.name'] == {'stringValue': 'test'}\n"
		"    assert attrs['process.pid'] == {'intValue': '4711'}\n"
		"    (ss,) = rs['scopeSpans']\n"
		"    assert ss['scope']['name'] == 'canp'\n"
		"    spans += ss['spans']\n"
		"W = 1600000000000000000\n"
		"by = {}\n"
		"for s in spans:\n"
		"    assert s['traceId'] == '4bf92f3577b34da6a3ce929d0e0e4736'\n"
		"    assert len(s['spanId']) == 16 and int(s['spanId'], 16)\n"
		"    a = {a['key']: a['value'] for a in s['attributes']}\n"
		"    assert s['kind'] == 1 and s['flags'] == 1\n"
		"    by[int(a['canp.id']['intValue'])] = (s, int(s['startTimeUnixNano']) - W,\n"
		"        int(s['endTimeUnixNano']) - W)\n"
		"assert len({s['spanId'] for s in spans}) == len(spans) == 8\n"
		"root = '00f067aa0ba902b7'\n"
		"want = {7: (2000, 4000, 'read', None), 8: (2500, 3001, 'in\"flate', 7),\n"
		"        9: (2600, 2700, 'decode', 8), 10: (2800, 2800, 'frames', 8),\n"
		"        11: (3200, 4000, 'decode', 7), 12: (5000, 6000, 'write', None),\n"
		"        13: (5100, 7000, 'write', None), 15: (7000, 7000, 'frames', 13)}\n"
		"assert sorted(by) == sorted(want)\n"
		"for i, (start, end, name, parent) in want.items():\n"
		"    s, a, b = by[i]\n"
		"    assert (a, b, s['name']) == (start, end, name), (i, a, b)\n"
		"    assert s['parentSpanId'] == (by[parent][0]['spanId'] if parent else root)\n";
	struct canp_trace_ctx c = ctx();
	struct canp_trace_opts o = {.service = "test",
				    .name = name_of,
				    .pid = 4711,
				    .wall_offset_ns = wall_offset,
				    .ctx = &c};
	struct canp_strbuf sb = CANP_STRBUF_INIT, again = CANP_STRBUF_INIT;
	struct canp_trace_track tracks[2];
	struct canp_trace_result res;

	(void)state;
	if (no_python())
		skip();
	trace_something();
	collect(tracks);
	assert_int_equal(canp_trace_otlp(&sb, &o, tracks, 2, &res), 0);
	assert_int_equal(res.written, 8);
	assert_int_equal(res.unpaired, 4);
	assert_int_equal(res.skipped, 3); /* counter and flow */
	check_with(program, sb.buf);
	assert_int_equal(canp_trace_otlp(&again, &o, tracks, 2, &res), 0);
	assert_string_equal(again.buf, sb.buf);
	canp_strbuf_fini(&sb);
	canp_strbuf_fini(&again);
	memset(c.span_id, 0, sizeof(c.span_id));
	assert_int_equal(canp_trace_otlp(&sb, &o, tracks, 2, &res), -EINVAL);
	o.ctx = NULL;
	assert_int_equal(canp_trace_otlp(&sb, &o, tracks, 2, &res), -EINVAL);
}

static void otlp_lines_stay_short_and_lose_no_span(void **state)
{
	static const char program[] =
		"import json, sys\n"
		"n = 0\n"
		"for line in sys.stdin:\n"
		"    assert len(line) < 131072\n"
		"    n += len(json.loads(line)['resourceSpans'][0]['scopeSpans'][0]['spans'])\n"
		"assert n == 1000, n\n";
	struct canp_trace_ctx c = ctx();
	struct canp_trace_opts o = {.ctx = &c};
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_trace_track tracks[2];
	struct canp_trace_result res;
	unsigned lines = 0;

	(void)state;
	if (no_python())
		skip();
	tracers_init();
	canp_trace_set(true);
	for (unsigned i = 0; i < 1000; i++)
		canp_trace_complete(&tracer[0], i * 10, 5, CANP_EVENT_TASK_BEGIN, i, 0);
	canp_trace_set(false);
	collect(tracks);
	assert_int_equal(canp_trace_otlp(&sb, &o, tracks, 2, &res), 0);
	for (const char *p = sb.buf; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, 4);
	check_with(program, sb.buf);
	canp_strbuf_fini(&sb);
}

/* Deeper than the exporters follow: what is cut is counted, the rest pairs as before. */
static void spans_nested_too_deep_are_counted_and_harmless(void **state)
{
	static const char program[] = "import json, sys\n"
				      "depth = top = 0\n"
				      "for e in json.load(sys.stdin)['traceEvents']:\n"
				      "    depth += {'B': 1, 'E': -1}.get(e['ph'], 0)\n"
				      "    top = max(top, depth)\n"
				      "    assert depth >= 0\n"
				      "assert depth == 0 and top == 64, (depth, top)\n";
	struct canp_trace_opts o = {.name = name_of};
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_trace_track tracks[2];
	struct canp_trace_result res;

	(void)state;
	if (no_python())
		skip();
	tracers_init();
	canp_trace_set(true);
	for (unsigned i = 0; i < 70; i++)
		canp_trace_begin(&tracer[0], i, 1, i);
	for (unsigned i = 70; i-- > 0;)
		canp_trace_end(&tracer[0], 200 - i, 1, i);
	canp_trace_set(false);
	collect(tracks);
	assert_int_equal(canp_trace_chrome(&sb, &o, tracks, 2, &res), 0);
	assert_int_equal(res.skipped, 6);
	assert_int_equal(res.unpaired, 0);
	assert_int_equal(res.written, 128);
	check_with(program, sb.buf);
	canp_strbuf_fini(&sb);
}

static void G21_lost_records_show_in_the_export(void **state)
{
	struct canp_trace_opts o = {.name = name_of};
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_trace_track tracks[2];
	struct canp_trace_result res;

	(void)state;
	tracers_init();
	canp_trace_set(true);
	for (unsigned i = 0; i < NR + 5; i++)
		canp_trace_counter(&tracer[1], i, 4, i);
	canp_trace_set(false);
	collect(tracks);
	assert_int_equal(tracks[1].lost, 5);
	assert_int_equal(canp_trace_chrome(&sb, &o, tracks, 2, &res), 0);
	assert_int_equal(res.written, NR);
	assert_non_null(strstr(sb.buf, "\"otherData\":{\"lost\":5,\"unpaired\":0}"));
	canp_strbuf_fini(&sb);
}

static void traceparent_is_read_and_written_as_w3c_says(void **state)
{
	static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
	static const char *const bad[] = {
		"",
		"00",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
		"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"};
	struct canp_trace_ctx c, child, fresh;
	char text[CANP_TRACEPARENT_LEN + 1];

	(void)state;
	assert_int_equal(canp_traceparent_parse(good, &c), 0);
	assert_int_equal(c.trace_id[0], 0x4b);
	assert_int_equal(c.span_id[7], 0xb7);
	assert_int_equal(c.flags, 1);
	canp_traceparent_format(&c, text);
	assert_string_equal(text, good);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(bad); i++) {
		struct canp_trace_ctx same = c;

		assert_int_equal(canp_traceparent_parse(bad[i], &same), -EINVAL);
		assert_memory_equal(&same, &c, sizeof(c));
	}
	assert_int_equal(
		canp_traceparent_parse(
			"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", &c),
		0);
	canp_trace_ctx_new(&c, &child);
	assert_memory_equal(child.trace_id, c.trace_id, 16);
	assert_memory_not_equal(child.span_id, c.span_id, 8);
	canp_trace_ctx_new(NULL, &fresh);
	assert_memory_not_equal(fresh.trace_id, c.trace_id, 16);
	canp_traceparent_format(&fresh, text);
	assert_int_equal(canp_traceparent_parse(text, &c), 0);
	assert_memory_equal(&c, &fresh, sizeof(c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(G21_nothing_is_recorded_while_it_is_off),
		cmocka_unit_test(chrome_trace_has_paired_and_nested_events),
		cmocka_unit_test(otlp_lines_hold_whole_spans_with_their_parents),
		cmocka_unit_test(otlp_lines_stay_short_and_lose_no_span),
		cmocka_unit_test(spans_nested_too_deep_are_counted_and_harmless),
		cmocka_unit_test(G21_lost_records_show_in_the_export),
		cmocka_unit_test(traceparent_is_read_and_written_as_w3c_says),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
