/*
 * smoke.cpp - libcanp from C++17: memory, a task and its future, an event, metrics as text.
 * Compiled against the installed headers with all warnings as errors and linked with the installed
 * library by tests/e2e_lib_install.sh; exits 0 when everything was as it should be.
 */
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <canp.h>

#define EXPECT(x)                                                                                  \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			std::fprintf(stderr, "smoke.cpp:%d: %s\n", __LINE__, #x);                  \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

namespace
{

int fill(const struct canp_task_env *env, void *arg)
{
	auto *runs = static_cast<std::atomic<int> *>(arg);

	std::memset(canp_block_data(env->blocks[0]), 7, canp_block_capacity(env->blocks[0]));
	runs->fetch_add(1);
	return canp_task_cancelled(env) ? -1 : 0;
}

int heard(void *arg, const struct canp_ev *events, std::uint32_t nr)
{
	auto *seen = static_cast<std::vector<std::uint64_t> *>(arg);

	for (std::uint32_t i = 0; i < nr; i++)
		seen->push_back(events[i].a);
	return 0;
}

int memory_and_task()
{
	struct canp_exec *ex = nullptr;
	struct canp_block *block = nullptr;
	struct canp_future *future = nullptr;
	struct canp_task_result result {
	};
	struct canp_task_desc desc {
	};
	struct canp_mem_stats stats {
	};
	std::atomic<int> runs{0};

	EXPECT(canp_exec_create(nullptr, &ex) == 0);
	EXPECT(canp_mem_alloc(canp_exec_mem(ex), CANP_MEM_FRAME, 1000, &block) == 0);
	EXPECT(canp_block_empty(block) && canp_block_capacity(block) == 1024);
	desc.fn = fill;
	desc.arg = &runs;
	desc.type = CANP_TASK_MEM;
	desc.prio = CANP_PRIO_CRITICAL;
	desc.blocks = &block;
	desc.nr_blocks = 1;
	EXPECT(canp_submit(ex, &desc, &future) == 0);
	EXPECT(canp_future_wait(future, UINT32_MAX, &result) == 0);
	EXPECT(result.status == CANP_TASK_COMPLETED && result.error == 0 && runs == 1);
	EXPECT(result.type == CANP_TASK_MEM && result.prio == CANP_PRIO_CRITICAL);
	canp_future_put(future);
	canp_mem_stats(canp_exec_mem(ex), &stats);
	EXPECT(stats.blocks_live == 0 && stats.total_deallocations == 1);
	canp_exec_destroy(ex);
	return 0;
}

int events()
{
	std::vector<std::uint64_t> seen;
	struct canp_listener_opts lo {
	};
	struct canp_event_opts opts;
	struct canp_listener *listener = nullptr;
	struct canp_emitter *emitter = nullptr;
	struct canp_events *ev = nullptr;

	canp_event_opts_init(&opts);
	EXPECT(canp_events_create(&opts, &ev) == 0);
	canp_event_mask_all(&lo.types);
	lo.name = "smoke";
	lo.fn = heard;
	lo.arg = &seen;
	EXPECT(canp_listener_add(ev, &lo, &listener) == 0);
	EXPECT(canp_emitter_get(ev, CANP_EVENT_DROP_NEWEST, &emitter) == 0);
	EXPECT(canp_events_start(ev) == 0);
	EXPECT(canp_event_emit(emitter, canp_clock_ns(), CANP_EVENT_USER + 1, 5, 42, 0));
	canp_events_destroy(ev);
	EXPECT(seen == std::vector<std::uint64_t>{42});
	return 0;
}

int metrics()
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	static struct canp_metrics m;

	canp_metrics_init(&m, &sb, CANP_METRICS_OPENMETRICS);
	canp_metrics_family(&m, CANP_METRIC_COUNTER, "smoke_tests", nullptr, "Tests so far.");
	canp_metrics_u64(&m, nullptr, 0, 1);
	EXPECT(canp_metrics_finish(&m) == 0);
	EXPECT(std::string(sb.buf).find("smoke_tests_total 1\n# EOF\n") != std::string::npos);
	canp_strbuf_fini(&sb);
	return 0;
}

} // namespace

int main()
{
	struct canp_batch batch {
	};

	EXPECT(std::string(canp_version()) == CANP_VERSION);
	batch.nr_rows = 3;
	canp_batch_keep_all(&batch);
	canp_batch_drop(&batch, 1);
	EXPECT(canp_batch_count(&batch) == 2);
	EXPECT(memory_and_task() == 0);
	EXPECT(events() == 0);
	EXPECT(metrics() == 0);
	std::printf("libcanp %s from C++ %ld\n", canp_version(), static_cast<long>(__cplusplus));
	return 0;
}
