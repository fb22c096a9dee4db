/*
 * runtime_signal.c - SIGINT and SIGTERM. The first one asks for a drain: it is noted, and every
 * shard is kicked so that it looks. The second one, of either kind, means that the user does not
 * want to wait: the default is restored and the signal raised again, so the parent sees the true
 * cause of death.
 *
 * Signals reach the control thread only: shards block them all. The handler touches nothing but
 * atomics and an eventfd.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>

#include "core/base/compiler.h"
#include "core/runtime/runtime_priv.h"

static const int signal_nrs[] = {SIGINT, SIGTERM};
static struct sigaction signal_old[CANP_ARRAY_SIZE(signal_nrs)];
static struct canp_runtime *signal_rt; /* atomic */
static int signal_running;             /* handlers at work; atomic */

static void signal_handler(int sig)
{
	struct canp_runtime *rt;
	int saved = errno, none = 0;

	__atomic_add_fetch(&signal_running, 1, __ATOMIC_SEQ_CST);
	rt = __atomic_load_n(&signal_rt, __ATOMIC_SEQ_CST);
	if (rt && __atomic_compare_exchange_n(&rt->interrupted, &none, sig, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST)) {
		canp_runtime_kick_all(rt);
	} else if (rt) {
		signal(sig, SIG_DFL);
		raise(sig); /* delivered when this handler returns */
	}
	__atomic_sub_fetch(&signal_running, 1, __ATOMIC_SEQ_CST);
	errno = saved;
}

int canp_runtime_signals(struct canp_runtime *rt)
{
	struct sigaction sa = {.sa_handler = signal_handler, .sa_flags = SA_RESTART};
	struct canp_runtime *none = NULL;

	if (!__atomic_compare_exchange_n(&signal_rt, &none, rt, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return -EBUSY;
	sigemptyset(&sa.sa_mask);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(signal_nrs); i++)
		sigaddset(&sa.sa_mask, signal_nrs[i]);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(signal_nrs); i++)
		sigaction(signal_nrs[i], &sa, &signal_old[i]);
	return 0;
}

void canp_runtime_signals_remove(struct canp_runtime *rt)
{
	if (__atomic_load_n(&signal_rt, __ATOMIC_SEQ_CST) != rt)
		return;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(signal_nrs); i++)
		sigaction(signal_nrs[i], &signal_old[i], NULL);
	__atomic_store_n(&signal_rt, NULL, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&signal_running, __ATOMIC_SEQ_CST))
		sched_yield();
}

int canp_runtime_interrupted(const struct canp_runtime *rt)
{
	return __atomic_load_n(&rt->interrupted, __ATOMIC_SEQ_CST);
}
