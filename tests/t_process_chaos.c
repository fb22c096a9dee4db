/*
 * t_process_chaos.c - a pool under load whose workers are killed, stopped, starved of memory and
 * slowed down at random. Nothing may be lost: every future ends, exactly once, every count adds up,
 * nobody and nothing is left behind. 10 s; CANP_SOAK_S gives the seconds of a longer run.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "core/base/compiler.h"
#include "tests/lib/pool_tasks.h"

bool pool_sync_ring;

enum { CLIENTS = 3, WINDOW = 64 };

struct client {
	process_pool_t *p;
	bool *quit;
	unsigned seed;
	uint64_t got[8], wrong, refused;
	void *limited; /* not NULL: there is a memory limit, so tasks may run into it */
};

static void hog(void)
{
	for (int i = 0; i < 1000; i++) {
		char *v = malloc(1 << 20);

		if (!v)
			return;
		memset(v, 1, 1 << 20);
		__asm__ volatile("" ::"r"(v) : "memory");
	}
}

static int task_mixed(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	unsigned what = *(unsigned *)in;
	unsigned *o;

	(void)n;
	if (what % 997 == 0)
		raise(SIGSEGV);
	if (user && what % 2003 == 0)
		hog();
	if (what % 499 == 0) {
		for (int i = 0; i < 200 && !pool_task_cancelled(); i++)
			usleep(1000);
	} else if (what % 101 == 0) {
		o = canp_process_alloc(1 << 20); /* not handed on */
		if (o)
			memset(o, 1, 1 << 20);
	} else if (what % 53 == 0) {
		usleep(500);
	}
	o = what % 2 ? canp_process_alloc(what % 3000 + 4) : malloc(what % 3000 + 4);
	if (!o)
		return -ENOMEM;
	*o = what + 1;
	*out = o;
	*out_n = what % 3000 + 4;
	return 0;
}

static void client_take(struct client *c, task_future_t **f, unsigned what)
{
	task_result_t r;

	if (!*f)
		return;
	if (pool_future_wait(*f, &r, 120000)) {
		c->wrong++; /* lost */
		return;
	}
	c->got[r.outcome]++;
	if (r.outcome == CANP_PROCESS_OK &&
	    (r.output_size != what % 3000 + 4 || *(unsigned *)r.output_data != what + 1))
		c->wrong++;
	pool_future_destroy(*f);
	*f = NULL;
}

static void *client_main(void *arg)
{
	task_future_t *f[WINDOW] = {NULL};
	unsigned what[WINDOW] = {0};
	struct client *c = arg;

	for (unsigned i = 0; !__atomic_load_n(c->quit, __ATOMIC_RELAXED); i = (i + 1) % WINDOW) {
		client_take(c, &f[i], what[i]);
		what[i] = (unsigned)rand_r(&c->seed);
		f[i] = pool_submit_async(c->p, task_mixed, &what[i], sizeof(what[i]), c->limited,
					 (task_priority_t)(what[i] % 4), what[i] % 37 ? 60000 : 20);
		if (!f[i]) {
			c->refused++;
			usleep(200);
		} else if (what[i] % 61 == 0) {
			pool_future_cancel(f[i]);
		}
	}
	for (unsigned i = 0; i < WINDOW; i++)
		client_take(c, &f[i], what[i]);
	return NULL;
}

static void torment(process_pool_t *p, unsigned seconds)
{
	uint64_t end = canp_clock_ns() + seconds * 1000000000ull;
	unsigned seed = 11;

	for (unsigned i = 0; canp_clock_ns() < end; i++) {
		struct canp_process_worker w[16];
		int n = canp_process_pool_workers(p, w, 16);
		pid_t pid = n ? w[(unsigned)rand_r(&seed) % (unsigned)n].pid : 0;

		usleep(5000 + (unsigned)rand_r(&seed) % 20000);
		if (!pid)
			continue;
		switch (rand_r(&seed) % 6) {
		case 0:
			kill(pid, SIGSTOP);
			break;
		case 1:
			kill(pid, SIGSTOP);
			usleep(2000);
			kill(pid, SIGCONT);
			break;
		case 2:
			kill(pid, SIGTERM);
			break;
		default:
			kill(pid, SIGKILL);
			break;
		}
		if (i % 50 == 49)
			pool_restart(p, 5000);
	}
}

static void H04_chaos_loses_nothing(void **state)
{
	unsigned seconds = getenv("CANP_SOAK_S") ? (unsigned)atoi(getenv("CANP_SOAK_S")) : 10;
	unsigned fds = count_open_fds();
	struct canp_process_limits l = {.mem_max_bytes = 512 << 20};
	struct canp_process_limits_state ls;
	struct client c[CLIENTS];
	uint64_t got[8] = {0}, total = 0, wrong = 0, refused = 0;
	pthread_t t[CLIENTS];
	process_pool_t *p;
	bool quit = false;
	pool_stats_t st;

	(void)state;
	p = pool_of((pool_config_t){.worker_count = 3,
				    .min_workers = 2,
				    .max_workers = 4,
				    .queue_size = 128,
				    .enable_dynamic_scaling = true,
				    .worker_idle_timeout = 100,
				    .heartbeat_ms = 50,
				    .cancel_grace_ms = 50,
				    .limits = &l,
				    .restart_max = 64,
				    .restart_window_ms = 1});
	canp_process_pool_limits(p, &ls);
	for (unsigned i = 0; i < CLIENTS; i++) {
		c[i] = (struct client){.p = p, .quit = &quit, .seed = i};
		c[i].limited = ls.memory ? p : NULL;
		pthread_create(&t[i], NULL, client_main, &c[i]);
	}
	torment(p, seconds);
	__atomic_store_n(&quit, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < CLIENTS; i++) {
		pthread_join(t[i], NULL);
		for (unsigned k = 0; k < 8; k++) {
			got[k] += c[i].got[k];
			total += c[i].got[k];
		}
		wrong += c[i].wrong;
		refused += c[i].refused;
	}
	pool_get_stats(p, &st);
	print_message("%llu tasks: %llu ok, %llu cancelled, %llu late, %llu crashed, "
		      "%llu out of memory, %llu broken; "
		      "%llu refused, %llu workers replaced\n",
		      (unsigned long long)total, (unsigned long long)got[CANP_PROCESS_OK],
		      (unsigned long long)got[CANP_PROCESS_CANCELLED],
		      (unsigned long long)got[CANP_PROCESS_TIMEOUT],
		      (unsigned long long)got[CANP_PROCESS_CRASHED],
		      (unsigned long long)got[CANP_PROCESS_RESOURCE],
		      (unsigned long long)got[CANP_PROCESS_BROKEN], (unsigned long long)refused,
		      (unsigned long long)st.worker_restarts);
	assert_int_equal(wrong, 0);
	assert_true(got[CANP_PROCESS_OK] > 0 && got[CANP_PROCESS_CRASHED] > 0);
	assert_int_equal(st.tasks_submitted, total);
	assert_int_equal(st.tasks_completed, got[CANP_PROCESS_OK]);
	assert_int_equal(st.tasks_completed + st.tasks_failed, total);
	assert_int_equal(st.queue_depth, 0);
	assert_int_equal(st.payload_bytes, 0);
	pool_destroy(p);
	assert_int_equal(count_open_fds(), fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody left, no zombie */
	assert_int_equal(errno, ECHILD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(H04_chaos_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
