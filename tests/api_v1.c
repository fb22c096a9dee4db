/*
 * api_v1.c - a program of version 1 of the interface, frozen: it includes no header of ours but
 * declares what it uses as the headers of 0.1 declared it. tests/e2e_lib_install.sh links it with
 * the library of today and runs it; when it fails to link or run, programs out there do, too.
 *
 * Never change the declarations below; a later version of the interface gets a file of its own.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- as of 0.1 ---- */
struct canp_exec;
struct canp_future;
struct canp_mem;
struct canp_mem_port;
struct canp_block;
struct canp_cache;
struct canp_cache_entry;
struct canp_events;
struct canp_listener;
struct canp_mem_opts;

enum { V1_MEM_BLOCK, V1_MEM_DECOMPRESS, V1_MEM_FRAME };
enum { V1_TASK_IO, V1_TASK_CPU, V1_TASK_MEM };
enum { V1_PRIO_LOW, V1_PRIO_NORMAL, V1_PRIO_HIGH, V1_PRIO_CRITICAL };
enum { V1_COMPLETED = 3, V1_FAILED = 4 };

struct canp_trace_ctx {
	uint8_t trace_id[16], span_id[8];
	uint8_t flags;
};

struct canp_task_env {
	struct canp_exec *exec;
	uint64_t id;
	unsigned shard;
	uint64_t now_ns;
	struct canp_block *const *blocks;
	unsigned nr_blocks;
	char *message;
};

struct canp_task_desc {
	int (*fn)(const struct canp_task_env *env, void *arg);
	void *arg;
	int type, prio;
	struct canp_block *const *blocks;
	unsigned nr_blocks;
	uint32_t timeout_ms;
	int shard;
	uint64_t start_at_ns;
	struct canp_trace_ctx trace;
	void (*done)(struct canp_future *f, void *done_arg);
	void *done_arg;
};

struct canp_task_result {
	int status, error;
	uint64_t id;
	int type, prio;
	unsigned shard;
	uint64_t created_ns, queue_ns, run_ns;
	struct canp_trace_ctx trace;
	char message[64];
};

struct canp_cache_opts {
	uint32_t capacity, key_max, hot_percent;
	uint64_t ttl_ns, max_bytes;
	void (*release)(void *arg, void *value, uint64_t bytes);
	void *arg;
};

int canp_exec_create(const void *opts, struct canp_exec **out);
void canp_exec_destroy(struct canp_exec *ex);
struct canp_mem *canp_exec_mem(struct canp_exec *ex);
int canp_exec_wait_idle(struct canp_exec *ex, uint32_t timeout_ms);
int canp_submit(struct canp_exec *ex, const struct canp_task_desc *d, struct canp_future **f);
int canp_future_wait(struct canp_future *f, uint32_t timeout_ms, struct canp_task_result *r);
void canp_future_put(struct canp_future *f);
int canp_parallel_process(struct canp_exec *ex, const void *in, size_t n, size_t in_size, void *out,
			  size_t out_size, int (*fn)(const void *in, void *out, void *arg),
			  void *arg);
int canp_mem_alloc(struct canp_mem *m, int tier, size_t bytes, struct canp_block **out);
int canp_mem_release(struct canp_mem *m, struct canp_block *b);
struct canp_block *canp_block_ref(struct canp_block *b);
int canp_cache_create(const struct canp_cache_opts *opts, struct canp_cache **out);
void canp_cache_destroy(struct canp_cache *c);
struct canp_cache_entry *canp_cache_get(struct canp_cache *c, const void *key, size_t len,
					uint64_t now_ns);
int canp_cache_put(struct canp_cache *c, const void *key, size_t len, void *value, uint64_t bytes,
		   uint64_t now_ns, struct canp_cache_entry **out);
void *canp_cache_value(const struct canp_cache_entry *e);
void canp_cache_unpin(struct canp_cache *c, struct canp_cache_entry *e);
const char *canp_strerror(int err);
const char *canp_version(void);
/* ---- */

#define EXPECT(x)                                                                                  \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "api_v1.c:%d: %s\n", __LINE__, #x);                        \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static int refuse(const struct canp_task_env *env, void *arg)
{
	*(int *)arg += (int)env->nr_blocks;
	snprintf(env->message, 64, "refused");
	return -EIO;
}

static int twice(const void *in, void *out, void *arg)
{
	(void)arg;
	*(int *)out = *(const int *)in * 2;
	return 0;
}

static int tasks(void)
{
	int in[10], out[10], seen = 0;
	struct canp_task_result r;
	struct canp_task_desc d;
	struct canp_future *f;
	struct canp_block *b;
	struct canp_exec *ex;

	EXPECT(canp_exec_create(NULL, &ex) == 0);
	EXPECT(canp_mem_alloc(canp_exec_mem(ex), V1_MEM_DECOMPRESS, 5000, &b) == 0);
	EXPECT(canp_block_ref(b) == b);
	memset(&d, 0, sizeof(d));
	d.fn = refuse;
	d.arg = &seen;
	d.type = V1_TASK_IO;
	d.prio = V1_PRIO_HIGH;
	d.blocks = &b;
	d.nr_blocks = 1;
	EXPECT(canp_submit(ex, &d, &f) == 0);
	EXPECT(canp_future_wait(f, UINT32_MAX, &r) == 0);
	EXPECT(r.status == V1_FAILED && r.error == -EIO && seen == 1);
	EXPECT(r.type == V1_TASK_IO && r.prio == V1_PRIO_HIGH);
	EXPECT(!strcmp(r.message, "refused"));
	canp_future_put(f);
	EXPECT(canp_mem_release(canp_exec_mem(ex), b) == 0);
	EXPECT(canp_mem_release(canp_exec_mem(ex), b) == -EINVAL);
	for (int i = 0; i < 10; i++)
		in[i] = i + 1;
	EXPECT(canp_parallel_process(ex, in, 10, sizeof(in[0]), out, sizeof(out[0]), twice, NULL) ==
	       0);
	for (int i = 0; i < 10; i++)
		EXPECT(out[i] == 2 * (i + 1));
	EXPECT(canp_exec_wait_idle(ex, UINT32_MAX) == 0);
	canp_exec_destroy(ex);
	return 0;
}

static void gone(void *arg, void *value, uint64_t bytes)
{
	(void)value;
	*(uint64_t *)arg += bytes;
}

static int caches(void)
{
	struct canp_cache_opts o;
	struct canp_cache_entry *e;
	struct canp_cache *c;
	uint64_t released = 0;
	int value = 5;

	memset(&o, 0, sizeof(o));
	o.capacity = 2;
	o.key_max = 16;
	o.ttl_ns = 100;
	o.release = gone;
	o.arg = &released;
	EXPECT(canp_cache_create(&o, &c) == 0);
	EXPECT(canp_cache_put(c, "a", 1, &value, 4, 1000, NULL) == 0);
	e = canp_cache_get(c, "a", 1, 1050);
	EXPECT(e && canp_cache_value(e) == &value);
	canp_cache_unpin(c, e);
	EXPECT(canp_cache_get(c, "a", 1, 1200) == NULL);
	EXPECT(released == 4);
	canp_cache_destroy(c);
	return 0;
}

int main(void)
{
	EXPECT(tasks() == 0);
	EXPECT(caches() == 0);
	EXPECT(canp_strerror(-ENOMEM)[0] != '\0');
	printf("a program of version 1 runs with libcanp %s\n", canp_version());
	return 0;
}
