/*
 * process_pool.h - the process pool under the names of its source document: pool_create ...
 * pool_future_destroy are exported aliases of canp_process_pool_*, the types are the same types.
 * For programs written from that document; new code includes core/process/process.h, where
 * everything is described. This is the only header whose names have no canp prefix.
 */
#ifndef CANP_PROCESS_PROCESS_POOL_H
#define CANP_PROCESS_PROCESS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/process/process.h"

CANP_BEGIN_DECLS

typedef struct canp_process_pool process_pool_t;
typedef struct canp_process_config pool_config_t;
typedef struct canp_process_task task_desc_t;
typedef struct canp_process_result task_result_t;
typedef struct canp_process_stats pool_stats_t;
typedef struct canp_future task_future_t;
typedef enum canp_task_prio task_priority_t;
typedef enum canp_task_status task_status_t;
typedef canp_process_fn task_func_t;

#define TASK_PRIORITY_LOW      CANP_PRIO_LOW
#define TASK_PRIORITY_NORMAL   CANP_PRIO_NORMAL
#define TASK_PRIORITY_HIGH     CANP_PRIO_HIGH
#define TASK_PRIORITY_CRITICAL CANP_PRIO_CRITICAL

#define LOG_LEVEL_ERROR  CANP_PROCESS_LOG_ERROR
#define LOG_LEVEL_WARN   CANP_PROCESS_LOG_WARN
#define LOG_LEVEL_NOTICE CANP_PROCESS_LOG_NOTICE
#define LOG_LEVEL_INFO   CANP_PROCESS_LOG_INFO
#define LOG_LEVEL_DEBUG  CANP_PROCESS_LOG_DEBUG

/* Life: canp_process_pool_create() and its neighbours in process.h. */
process_pool_t *pool_create(const pool_config_t *config);
int pool_start(process_pool_t *pool);
int pool_stop(process_pool_t *pool, uint32_t timeout_ms);
void pool_destroy(process_pool_t *pool);
int pool_restart(process_pool_t *pool, uint32_t timeout_ms);
int pool_resize(process_pool_t *pool, int workers);

/* Submitting: canp_process_pool_submit_sync() and its neighbours. */
int pool_submit_sync(process_pool_t *pool, task_func_t task_func, void *input_data,
		     size_t input_size, void *user_data, task_priority_t priority,
		     uint32_t timeout_ms, task_result_t *result);
task_future_t *pool_submit_async(process_pool_t *pool, task_func_t task_func, void *input_data,
				 size_t input_size, void *user_data, task_priority_t priority,
				 uint32_t timeout_ms);
task_future_t **pool_submit_batch(process_pool_t *pool, task_desc_t *tasks, int count);
int pool_submit_batch_into(process_pool_t *pool, const task_desc_t *tasks, int count,
			   task_future_t **futures);
void task_result_release(task_result_t *result);

/* Futures: canp_process_future_wait() and its neighbours; core/runtime/future.h has the rest. */
int pool_future_wait(task_future_t *future, task_result_t *result, uint32_t timeout_ms);
int pool_future_wait_any(task_future_t *const *futures, int count, uint32_t timeout_ms);
int pool_future_cancel(task_future_t *future);
void pool_future_destroy(task_future_t *future);
task_status_t pool_task_status(process_pool_t *pool, uint64_t task_id);

/* Payload in shared memory, and what a task may ask: canp_process_pool_alloc() and its neighbours.
 */
void *pool_alloc_payload(process_pool_t *pool, size_t size);
void pool_free_payload(process_pool_t *pool, void *p);
void *pool_task_alloc(size_t size);
bool pool_task_cancelled(void);
int pool_fd(process_pool_t *pool);

/* Statistics and logs: canp_process_pool_stats() and its neighbours. */
int pool_get_stats(process_pool_t *pool, pool_stats_t *stats);
void pool_set_log_level(process_pool_t *pool, int level);
int pool_set_log_file(process_pool_t *pool, const char *path);

CANP_END_DECLS

#endif
