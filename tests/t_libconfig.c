/*
 * t_libconfig.c - the configuration of a program that uses libcanp: what it is without any, that
 * each field can be set from the environment and from a file, which of the two wins, and that what
 * is wrong is told by name.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/units.h"
#include "io/lib_cfg.h"
#include "io/libconfig.h"

static char path[] = "/tmp/t_libconfig.XXXXXX";

static int setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	unsetenv("CANP_CONFIG");
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

static void write_conf(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static struct canp_lib_config load(const char *file)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_lib_config c;
	int rc = canp_lib_config(file, &c, NULL, &err);

	if (rc)
		fail_msg("%d: %s", rc, err.buf);
	canp_strbuf_fini(&err);
	return c;
}

static void A27_without_any_configuration_all_fields_are_the_defaults(void **state)
{
	struct canp_lib_config c = load(NULL);
	struct canp_mem_opts mem = {.node = -1};
	struct canp_event_opts ev;
	struct canp_mon_opts mon;

	(void)state;
	canp_mem_opts_default(&mem);
	assert_memory_equal(c.mem.classes, mem.classes, sizeof(mem.classes));
	assert_memory_equal(c.mem.nr_classes, mem.nr_classes, sizeof(mem.nr_classes));
	assert_memory_equal(c.mem.depot_shards, mem.depot_shards, sizeof(mem.depot_shards));
	assert_memory_equal(c.mem.depot_capacity, mem.depot_capacity, sizeof(mem.depot_capacity));
	assert_int_equal(c.mem.max_total_memory, mem.max_total_memory);
	assert_true(c.mem.memory_warning_threshold == mem.memory_warning_threshold);
	assert_int_equal(c.mem.mmap_cache_entries, mem.mmap_cache_entries);
	assert_int_equal(c.mem.block_cache_entries, mem.block_cache_entries);
	assert_int_equal(c.mem.cache_ttl_ns, mem.cache_ttl_ns);
	assert_int_equal(c.mem.hugepages, mem.hugepages);
	assert_int_equal(c.mem.node, -1);
	canp_event_opts_init(&ev);
	assert_memory_equal(&c.event, &ev, sizeof(ev));
	canp_mon_opts_init(&mon);
	assert_memory_equal(&c.mon, &mon, sizeof(mon));
}

/* Zero is the default of an executor's caps: half the cores, the cores, half the cores. */
static void B14_B15_B16_B17_B18_task_options_have_the_defaults_of_the_source(void **state)
{
	struct canp_lib_config c = load(NULL);

	(void)state;
	assert_int_equal(c.exec.cores, 0);
	assert_int_equal(c.exec.io_bound_threads, 0);
	assert_int_equal(c.exec.cpu_bound_threads, 0);
	assert_int_equal(c.exec.memory_bound_threads, 0);
	assert_false(c.exec.no_stats);
	assert_false(c.exec.no_memory_management);
	assert_false(c.exec.pin);
	assert_null(c.exec.mem);
}

static void F01_F21_pipe_options_have_the_defaults_of_the_source(void **state)
{
	struct canp_lib_config c = load(NULL);

	(void)state;
	assert_int_equal(c.pipe.mode, CANP_PIPE_THROUGHPUT);
	assert_int_equal(c.pipe.executor, CANP_PIPE_AUTO);
	assert_int_equal(c.pipe.max_workers, 4);
	assert_int_equal(c.pipe.max_memory_items, 10000);
	assert_int_equal(c.pipe.max_memory_bytes, 64 * CANP_MIB);
	assert_false(c.pipe.no_adaptive_batching);
	assert_false(c.pipe.no_async_execution || c.pipe.no_shared_monitoring ||
		     c.pipe.no_async_events);
}

/* A value that each row accepts and that is not its default. */
static const char *other_value(const struct canp_opt *row)
{
	static char text[48];
	struct canp_opt_choice c;
	unsigned long def;

	switch (row->kind) {
	case CANP_OPT_STR:
		return "64,128";
	case CANP_OPT_SIZE:
		return "3m";
	case CANP_OPT_DOUBLE:
		return "0.5";
	case CANP_OPT_DURATION:
		return "77s";
	case CANP_OPT_BOOL:
		return row->def[0] == 'y' ? "no" : "yes";
	case CANP_OPT_ENUM:
		assert_true(canp_opt_choice(row, 1, &c));
		snprintf(text, sizeof(text), "%s", c.name);
		return text;
	default:
		def = strtoul(row->def, NULL, 10);
		/* Twice a power of two is one, which some of them must be. */
		snprintf(text, sizeof(text), "%lu", def ? def * 2 : 1);
		return text;
	}
}

static void env_name(const struct canp_opt *row, char *out, size_t cap)
{
	size_t n = (size_t)snprintf(out, cap, "CANP_%s", row->name);

	for (size_t i = 0; i < n; i++)
		out[i] = out[i] == '-'                    ? '_'
			 : out[i] >= 'a' && out[i] <= 'z' ? (char)(out[i] - 'a' + 'A')
							  : out[i];
}

/* Every row changes something in the structs, whether it is set here or there. */
static void H01_each_option_has_an_effect_from_environment_and_file(void **state)
{
	struct canp_lib_config plain = load(NULL), c;

	(void)state;
	assert_true(canp_lib_opt_table.nr >= 70);
	for (unsigned i = 0; i < canp_lib_opt_table.nr; i++) {
		const struct canp_opt *row = &canp_lib_opt_table.rows[i];
		const char *value = other_value(row);
		char name[64], line[128];

		env_name(row, name, sizeof(name));
		assert_int_equal(setenv(name, value, 1), 0);
		c = load(NULL);
		if (!memcmp(&c, &plain, sizeof(c)))
			fail_msg("%s=%s changes nothing", name, value);
		assert_int_equal(unsetenv(name), 0);
		snprintf(line, sizeof(line), "[global]\n%s = %s\n", row->name, value);
		write_conf(line);
		c = load(path);
		if (!memcmp(&c, &plain, sizeof(c)))
			fail_msg("%s changes nothing", line);
	}
}

static void H01_environment_beats_file_beats_default(void **state)
{
	struct canp_strbuf dump = CANP_STRBUF_INIT;
	struct canp_lib_config c;

	(void)state;
	write_conf("pool-max-memory = 512m\npool-block-cache = 7\n");
	setenv("CANP_POOL_MAX_MEMORY", "256m", 1);
	setenv("CANP_CONFIG", path, 1);
	assert_int_equal(canp_lib_config(NULL, &c, &dump, NULL), 0);
	assert_int_equal(c.mem.max_total_memory, 256 * CANP_MIB);
	assert_int_equal(c.mem.block_cache_entries, 7);
	assert_int_equal(c.mem.mmap_cache_entries, 1000);
	assert_non_null(strstr(dump.buf, "pool-max-memory = 256m"));
	assert_non_null(strstr(dump.buf, "# env"));
	/* What is dumped is a file that says the same. */
	unsetenv("CANP_POOL_MAX_MEMORY");
	write_conf(dump.buf);
	c = load(path);
	assert_int_equal(c.mem.max_total_memory, 256 * CANP_MIB);
	assert_int_equal(c.mem.block_cache_entries, 7);
	unsetenv("CANP_CONFIG");
	canp_strbuf_fini(&dump);
}

static void options_make_objects(void **state)
{
	struct canp_process_pool *processes;
	struct canp_cmd_pool *commands;
	struct canp_events *events;
	struct canp_lib_config c;
	struct canp_exec *ex;
	struct canp_pipe *pipe;

	(void)state;
	/* First, for it forks. Its 0.25 GiB of payload are address space only. */
	c = load(NULL);
	processes = canp_process_pool_create(&c.process);
	assert_non_null(processes);
	canp_process_pool_destroy(processes);
	assert_int_equal(canp_cmd_pool_create(&c.command, &commands), 0);
	canp_cmd_pool_destroy(commands);
	assert_int_equal(canp_events_create(&c.event, &events), 0);
	canp_events_destroy(events);
	assert_int_equal(canp_pipe_create("configured", NULL, &c.pipe, &pipe), 0);
	canp_pipe_destroy(pipe);
	write_conf("task-cores = 2\ntask-io-bound-threads = 1\npool-max-memory = 64m\n"
		   "pool-frame-classes = 64,128\n");
	c = load(path);
	assert_int_equal(canp_mem_create(&c.mem, &c.exec.mem), 0);
	assert_int_equal(canp_mem_opts_of(c.exec.mem)->nr_classes[CANP_MEM_FRAME], 2);
	assert_int_equal(canp_mem_opts_of(c.exec.mem)->max_total_memory, 64 * CANP_MIB);
	assert_int_equal(canp_exec_create(&c.exec, &ex), 0);
	assert_int_equal(canp_exec_nr_shards(ex), 2);
	canp_exec_destroy(ex);
	canp_mem_destroy(c.exec.mem);
	assert_int_equal(canp_monitor_config(&c.mon), 0);
}

static void keys_of_others_are_passed_over_ours_are_not(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_lib_config c;

	(void)state;
	write_conf("depth = 8\ncores = 3\npool-mmap-cache = 9\n");
	c = load(path);
	assert_int_equal(c.mem.mmap_cache_entries, 9);
	assert_int_equal(c.exec.cores, 0);
	write_conf("pool-mmap-cash = 9\n");
	assert_int_equal(canp_lib_config(path, &c, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.buf, "pool-mmap-cash"));
	canp_strbuf_fini(&err);
}

static void wrong_values_are_told_and_change_nothing(void **state)
{
	static const struct {
		const char *conf, *says;
	} bad[] = {
		{"pool-max-memory = lots\n", "pool-max-memory"},
		{"pool-warning-threshold = 1.5\n", "pool-warning-threshold"},
		{"pool-frame-classes = 128,64\n", "pool-frame-classes"},
		{"pool-block-classes = 100\n", "pool-block-classes"},
		{"pool-block-classes = 64,\n", "pool-block-classes"},
		{"pool-block-classes = 64,128,192,256,320,384,448,512,576\n", "pool-block-classes"},
		{"pool-decompress-classes = -64\n", "pool-decompress-classes"},
		{"pool-decompress-classes = 2097152\n", "pool-decompress-classes"},
		{"task-stats = perhaps\n", "task-stats"},
	};
	struct canp_lib_config c, was;

	(void)state;
	memset(&was, 0x5a, sizeof(was));
	for (size_t i = 0; i < CANP_ARRAY_SIZE(bad); i++) {
		struct canp_strbuf err = CANP_STRBUF_INIT;

		c = was;
		write_conf(bad[i].conf);
		assert_int_equal(canp_lib_config(path, &c, NULL, &err), -EINVAL);
		assert_non_null(strstr(err.buf, bad[i].says));
		assert_memory_equal(&c, &was, sizeof(c));
		canp_strbuf_fini(&err);
	}
	assert_int_equal(canp_lib_config("/nonexistent/canp.conf", &c, NULL, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(A27_without_any_configuration_all_fields_are_the_defaults),
		cmocka_unit_test(B14_B15_B16_B17_B18_task_options_have_the_defaults_of_the_source),
		cmocka_unit_test(F01_F21_pipe_options_have_the_defaults_of_the_source),
		cmocka_unit_test(H01_each_option_has_an_effect_from_environment_and_file),
		cmocka_unit_test(H01_environment_beats_file_beats_default),
		cmocka_unit_test(options_make_objects),
		cmocka_unit_test(keys_of_others_are_passed_over_ours_are_not),
		cmocka_unit_test(wrong_values_are_told_and_change_nothing),
	};

	return cmocka_run_group_tests_name("libconfig", tests, setup, teardown);
}
