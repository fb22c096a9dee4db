/*
 * fsinfo.c - facts of files and file systems, see fsinfo.h.
 *
 * statx tells the direct I/O alignment since Linux 6.1 (STATX_DIOALIGN). Where it does not, the
 * three file systems known to do direct I/O are trusted with 4 KiB. DONTCACHE has no fact to ask
 * for, so it is tried: a one byte read behind the end of an unnamed file fails with EOPNOTSUPP
 * where it is not offered, and reads nothing where it is.
 */
#include "io/source/fsinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/units.h"

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x00002000U
#endif
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#ifndef ZFS_SUPER_MAGIC
#define ZFS_SUPER_MAGIC 0x2fc12fc1
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif
/* Same number on every architecture; younger than the headers we build with. */
#define SYS_CACHESTAT 451

static const struct {
	uint64_t magic;
	const char *name;
	bool direct; /* does direct I/O though statx may not say so */
} fs_table[] = {
	{EXT4_SUPER_MAGIC, "ext4", true},    {XFS_SUPER_MAGIC, "xfs", true},
	{BTRFS_SUPER_MAGIC, "btrfs", true},  {F2FS_SUPER_MAGIC, "f2fs", false},
	{TMPFS_MAGIC, "tmpfs", false},       {OVERLAYFS_SUPER_MAGIC, "overlay", false},
	{NFS_SUPER_MAGIC, "nfs", false},     {ZFS_SUPER_MAGIC, "zfs", false},
	{FUSE_SUPER_MAGIC, "fuse", false},   {RAMFS_MAGIC, "ramfs", false},
	{SQUASHFS_MAGIC, "squashfs", false}, {0xfe534d42, "smb2", false},
};

const char *canp_fsinfo_fs_name(uint64_t fs_magic)
{
	for (size_t i = 0; i < CANP_ARRAY_SIZE(fs_table); i++) {
		if (fs_table[i].magic == fs_magic)
			return fs_table[i].name;
	}
	return "other";
}

static bool fs_known_direct(uint64_t fs_magic)
{
	for (size_t i = 0; i < CANP_ARRAY_SIZE(fs_table); i++) {
		if (fs_table[i].magic == fs_magic)
			return fs_table[i].direct;
	}
	return false;
}

static int fs_fill_statfs(int fd, struct canp_fsinfo *fi)
{
	struct statfs sf;

	if (fstatfs(fd, &sf) != 0)
		return -errno;
	fi->fs_magic = (uint64_t)sf.f_type & 0xffffffffu;
	fi->free_bytes = (uint64_t)sf.f_bavail * (uint64_t)sf.f_bsize;
	/* Zero inodes in total: the file system (btrfs, vfat) makes them as needed. */
	fi->free_inodes = sf.f_files ? (uint64_t)sf.f_ffree : UINT64_MAX;
	return 0;
}

/* *told: statx knew the alignment (which may be "none"). */
static int fs_fill_statx(int fd, struct canp_fsinfo *fi, bool *told)
{
	struct statx sx;

	memset(&sx, 0, sizeof(sx));
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &sx) != 0)
		return -errno;
	fi->size = S_ISREG(sx.stx_mode) ? sx.stx_size : 0;
	fi->dev = makedev(sx.stx_dev_major, sx.stx_dev_minor); /* = st_dev */
	fi->ino = sx.stx_ino;
	fi->mtime_ns = sx.stx_mtime.tv_sec * CANP_NS_PER_S + (int64_t)sx.stx_mtime.tv_nsec;
	fi->mode = sx.stx_mode;
	*told = (sx.stx_mask & STATX_DIOALIGN) != 0;
	if (*told) {
		fi->dio_mem_align = sx.stx_dio_mem_align;
		fi->dio_offset_align = sx.stx_dio_offset_align;
	}
	return 0;
}

int canp_fsinfo_file(int fd, struct canp_fsinfo *fi)
{
	bool told = false;
	int rc;

	memset(fi, 0, sizeof(*fi));
	fi->free_bytes = UINT64_MAX;
	fi->free_inodes = UINT64_MAX;
	rc = fs_fill_statx(fd, fi, &told);
	if (rc < 0 || told)
		return rc;
	rc = fs_fill_statfs(fd, fi);
	if (rc == 0 && S_ISREG(fi->mode) && fs_known_direct(fi->fs_magic)) {
		fi->dio_mem_align = CANP_IO_ALIGN;
		fi->dio_offset_align = CANP_IO_ALIGN;
	}
	return rc;
}

int canp_fsinfo_dir(int dirfd, struct canp_fsinfo *fi)
{
	struct canp_fsinfo file;
	struct iovec iov;
	bool told = false;
	char byte;
	int fd, rc;

	memset(fi, 0, sizeof(*fi));
	rc = fs_fill_statx(dirfd, fi, &told);
	if (rc == 0)
		rc = fs_fill_statfs(dirfd, fi);
	if (rc < 0)
		return rc;
	fi->dio_mem_align = 0;
	fi->dio_offset_align = 0;
	fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		/* No unnamed files here (NFS, some FUSE) or no permission, which the first
		 * real file will report. What the magic says is all there is. */
		if (fs_known_direct(fi->fs_magic)) {
			fi->dio_mem_align = CANP_IO_ALIGN;
			fi->dio_offset_align = CANP_IO_ALIGN;
		}
		return 0;
	}
	rc = canp_fsinfo_file(fd, &file);
	if (rc == 0) {
		fi->dio_mem_align = file.dio_mem_align;
		fi->dio_offset_align = file.dio_offset_align;
	}
	iov.iov_base = &byte;
	iov.iov_len = 1;
	fi->dontcache = preadv2(fd, &iov, 1, 0, RWF_DONTCACHE) >= 0;
	close(fd);
	return rc;
}

int canp_fsinfo_resident_pct(int fd, uint64_t size)
{
	struct {
		uint64_t off, len;
	} range = {0, 0}; /* length 0: to the end of the file */
	struct {
		uint64_t nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted;
	} cs = {0};
	uint64_t pages = (size + 4095) / 4096, pct;

	if (pages == 0)
		return 0;
	if (syscall(SYS_CACHESTAT, fd, &range, &cs, 0u) != 0)
		return -errno;
	/* The file may have grown since size was taken. */
	pct = cs.nr_cache >= pages ? 100 : cs.nr_cache * 100 / pages;
	return (int)pct;
}

bool canp_fsinfo_can_direct(const struct canp_fsinfo *fi)
{
	return fi->dio_offset_align > 0 && fi->dio_offset_align <= CANP_IO_ALIGN &&
	       fi->dio_mem_align <= CANP_IO_ALIGN;
}

enum canp_io_policy canp_fsinfo_read_policy(const struct canp_fsinfo *fi, int resident_pct,
					    enum canp_io_policy wish)
{
	bool direct = canp_fsinfo_can_direct(fi);

	if (wish == CANP_IO_BUFFERED || wish == CANP_IO_DONTCACHE || wish == CANP_IO_MMAP)
		return wish;
	/* A direct read of cached data throws the cache's work away and goes to the disk again. But
	 * a buffered read that meets a missing page is handed to a kernel worker, which waits and
	 * copies on another thread: a file with holes is cheaper to read past the cache. */
	if (wish == CANP_IO_AUTO && resident_pct >= CANP_IO_RESIDENT_PCT)
		return CANP_IO_BUFFERED;
	return direct ? CANP_IO_DIRECT : CANP_IO_DONTCACHE;
}

enum canp_io_policy canp_fsinfo_write_policy(const struct canp_fsinfo *fi, enum canp_io_policy wish)
{
	if (wish == CANP_IO_BUFFERED || wish == CANP_IO_MMAP)
		return CANP_IO_BUFFERED;
	if (wish != CANP_IO_DONTCACHE && canp_fsinfo_can_direct(fi))
		return CANP_IO_DIRECT;
	return fi->dontcache ? CANP_IO_DONTCACHE : CANP_IO_BUFFERED;
}

static const char *const policy_names[] = {
	[CANP_IO_AUTO] = "auto",           [CANP_IO_DIRECT] = "direct",
	[CANP_IO_DONTCACHE] = "dontcache", [CANP_IO_BUFFERED] = "buffered",
	[CANP_IO_MMAP] = "mmap",
};

int canp_io_policy_parse(const char *text, enum canp_io_policy *out)
{
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(policy_names); i++) {
		if (strcmp(text, policy_names[i]) == 0) {
			*out = (enum canp_io_policy)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *canp_io_policy_name(enum canp_io_policy policy)
{
	return policy <= CANP_IO_MMAP ? policy_names[policy] : "unknown";
}
