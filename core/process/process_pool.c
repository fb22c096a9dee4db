/*
 * process_pool.c - the names of the source document. They are in a file of their own so that a
 * program that does not use them does not get them either.
 */
#include "core/process/process_pool.h"

process_pool_t *pool_create(const pool_config_t *config)
{
	return canp_process_pool_create(config);
}

int pool_start(process_pool_t *pool)
{
	return canp_process_pool_start(pool);
}

int pool_stop(process_pool_t *pool, uint32_t timeout_ms)
{
	return canp_process_pool_stop(pool, timeout_ms);
}

void pool_destroy(process_pool_t *pool)
{
	canp_process_pool_destroy(pool);
}

int pool_restart(process_pool_t *pool, uint32_t timeout_ms)
{
	return canp_process_pool_restart(pool, timeout_ms);
}

int pool_resize(process_pool_t *pool, int workers)
{
	return canp_process_pool_resize(pool, workers);
}

int pool_submit_sync(process_pool_t *pool, task_func_t task_func, void *input_data,
		     size_t input_size, void *user_data, task_priority_t priority,
		     uint32_t timeout_ms, task_result_t *result)
{
	return canp_process_pool_submit_sync(pool, task_func, input_data, input_size, user_data,
					     priority, timeout_ms, result);
}

task_future_t *pool_submit_async(process_pool_t *pool, task_func_t task_func, void *input_data,
				 size_t input_size, void *user_data, task_priority_t priority,
				 uint32_t timeout_ms)
{
	return canp_process_pool_submit_async(pool, task_func, input_data, input_size, user_data,
					      priority, timeout_ms);
}

task_future_t **pool_submit_batch(process_pool_t *pool, task_desc_t *tasks, int count)
{
	return canp_process_pool_submit_batch(pool, tasks, count);
}

int pool_submit_batch_into(process_pool_t *pool, const task_desc_t *tasks, int count,
			   task_future_t **futures)
{
	return canp_process_pool_submit_batch_into(pool, tasks, count, futures);
}

void task_result_release(task_result_t *result)
{
	canp_process_result_release(result);
}

int pool_future_wait(task_future_t *future, task_result_t *result, uint32_t timeout_ms)
{
	return canp_process_future_wait(future, result, timeout_ms);
}

int pool_future_wait_any(task_future_t *const *futures, int count, uint32_t timeout_ms)
{
	return canp_process_future_wait_any(futures, count, timeout_ms);
}

int pool_future_cancel(task_future_t *future)
{
	return canp_process_future_cancel(future);
}

void pool_future_destroy(task_future_t *future)
{
	canp_process_future_put(future);
}

task_status_t pool_task_status(process_pool_t *pool, uint64_t task_id)
{
	return canp_process_task_status(pool, task_id);
}

void *pool_alloc_payload(process_pool_t *pool, size_t size)
{
	return canp_process_pool_alloc(pool, size);
}

void pool_free_payload(process_pool_t *pool, void *p)
{
	canp_process_pool_free(pool, p);
}

void *pool_task_alloc(size_t size)
{
	return canp_process_alloc(size);
}

bool pool_task_cancelled(void)
{
	return canp_process_cancelled();
}

int pool_fd(process_pool_t *pool)
{
	return canp_process_pool_fd(pool);
}

int pool_get_stats(process_pool_t *pool, pool_stats_t *stats)
{
	return canp_process_pool_stats(pool, stats);
}

void pool_set_log_level(process_pool_t *pool, int level)
{
	canp_process_pool_set_log_level(pool, level);
}

int pool_set_log_file(process_pool_t *pool, const char *path)
{
	return canp_process_pool_set_log_file(pool, path);
}
