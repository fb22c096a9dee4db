/*
 * mapfile.c - mapped input files and the guard against those that are cut while they are read.
 *
 * The guard's table is fixed and searched by the signal handler without locks: a slot is taken by a
 * CAS on its owner, filled, and only then given its range; it is given back in the other order. A
 * handler runs on the thread that touched the page, so the mapping it finds cannot go away
 * meanwhile (its owner reads, or waits for those who do).
 */
#include "io/source/mapfile.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/units.h"

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ 22
#endif

#define PAGE     4096ul
#define NEED_MAX (4ul << 20) /* of one call, so that a signal or a stop is not kept waiting */

static struct {
	struct canp_mapfile *owner; /* NULL: free */
	uintptr_t from, to;         /* to is 0 while the slot is not valid */
} guards[CANP_MAPFILES_MAX];
static uint32_t guards_used; /* slots ever taken: as far as the handler looks */
static struct sigaction guard_before;
static pthread_mutex_t guard_lock = PTHREAD_MUTEX_INITIALIZER; /* of the installation */

static void guard_pass_on(int sig, siginfo_t *info, void *ctx)
{
	if (guard_before.sa_flags & SA_SIGINFO)
		guard_before.sa_sigaction(sig, info, ctx);
	else if (guard_before.sa_handler == SIG_DFL || guard_before.sa_handler == SIG_IGN)
		signal(sig, SIG_DFL); /* the access comes again and ends the process */
	else
		guard_before.sa_handler(sig);
}

static void guard_on_sigbus(int sig, siginfo_t *info, void *ctx)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	uint32_t used = __atomic_load_n(&guards_used, __ATOMIC_ACQUIRE);
	int saved = errno;

	for (uint32_t i = 0; i < used; i++) {
		uintptr_t to = __atomic_load_n(&guards[i].to, __ATOMIC_ACQUIRE);

		if (at >= to || at < guards[i].from)
			continue;
		__atomic_store_n(&guards[i].owner->torn, true, __ATOMIC_RELAXED);
		if (mmap((void *)canp_align_down(at, PAGE), PAGE, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			break;
		errno = saved;
		return;
	}
	guard_pass_on(sig, info, ctx);
}

/* Looks each time: libraries put handlers of their own in front. */
static void guard_install(void)
{
	struct sigaction sa = {.sa_sigaction = guard_on_sigbus,
			       .sa_flags = SA_SIGINFO | SA_NODEFER};
	struct sigaction now;

	sigemptyset(&sa.sa_mask);
	pthread_mutex_lock(&guard_lock);
	if (sigaction(SIGBUS, NULL, &now) == 0 &&
	    (!(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != guard_on_sigbus)) {
		guard_before = now;
		sigaction(SIGBUS, &sa, NULL);
	}
	pthread_mutex_unlock(&guard_lock);
}

static int guard_take(struct canp_mapfile *m)
{
	sigset_t bus;

	guard_install();
	/* A blocked SIGBUS would end the process without asking the handler. */
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
	for (uint32_t i = 0; i < CANP_MAPFILES_MAX; i++) {
		struct canp_mapfile *none = NULL;
		uint32_t used = __atomic_load_n(&guards_used, __ATOMIC_RELAXED);

		if (!__atomic_compare_exchange_n(&guards[i].owner, &none, m, false,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		while (used <= i &&
		       !__atomic_compare_exchange_n(&guards_used, &used, i + 1, false,
						    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			;
		m->slot = i;
		guards[i].from = (uintptr_t)m->base;
		__atomic_store_n(&guards[i].to, (uintptr_t)m->base + m->bytes, __ATOMIC_RELEASE);
		return 0;
	}
	return -EMFILE;
}

int canp_mapfile_open(struct canp_mapfile *m, int fd, uint64_t size, size_t pad, bool populate)
{
	int flags = MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0), rc;
	uint8_t *base;

	*m = (struct canp_mapfile){.size = size, .bytes = canp_align_up(size + pad, PAGE)};
	if (!size)
		return -EINVAL;
	/* A page of nothing behind the file, when the pad does not fit its last page. */
	base = mmap(NULL, m->bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	if (mmap(base, size, PROT_READ, flags, fd, 0) == MAP_FAILED) {
		rc = -errno;
		munmap(base, m->bytes);
		return rc;
	}
	madvise(base, size, MADV_SEQUENTIAL);
	m->base = base;
	m->ahead = populate ? size : 0;
	rc = guard_take(m);
	if (rc) {
		munmap(base, m->bytes);
		m->base = NULL;
	}
	return rc;
}

void canp_mapfile_ahead(struct canp_mapfile *m, uint64_t to)
{
	uint64_t from = canp_align_down(m->ahead, PAGE);

	to = canp_min(to, m->size);
	if (to <= m->ahead)
		return;
	madvise(m->base + from, to - from, MADV_WILLNEED);
	m->ahead = to;
}

int canp_mapfile_need(struct canp_mapfile *m, uint64_t from, uint64_t to)
{
	from = canp_align_down(from, PAGE);
	to = canp_min(to, m->size);
	while (from < to) {
		uint64_t n = canp_min(to - from, NEED_MAX);

		if (madvise(m->base + from, n, MADV_POPULATE_READ) != 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			if (errno == EINVAL)
				return 0; /* an older kernel: pages come as they are touched */
			__atomic_store_n(&m->torn, true, __ATOMIC_RELAXED);
			return errno == EFAULT ? -EFAULT : -EIO;
		}
		from += n;
	}
	return 0;
}

void canp_mapfile_behind(struct canp_mapfile *m, uint64_t to)
{
	to = canp_align_down(to, PAGE);
	if (to <= m->behind)
		return;
	madvise(m->base + m->behind, to - m->behind, MADV_DONTNEED);
	m->behind = to;
}

bool canp_mapfile_torn(const struct canp_mapfile *m)
{
	return __atomic_load_n(&m->torn, __ATOMIC_RELAXED);
}

void canp_mapfile_close(struct canp_mapfile *m)
{
	if (!m->base)
		return;
	__atomic_store_n(&guards[m->slot].to, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&guards[m->slot].owner, NULL, __ATOMIC_RELEASE);
	munmap(m->base, m->bytes);
	m->base = NULL;
}
