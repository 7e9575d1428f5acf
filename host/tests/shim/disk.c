/* A disk under test, for LD_PRELOAD: writes down what a process does to the
 * files below one folder, in order, and fails as it is told to.
 *
 *   DISK_DIR        the folder; all other files are left alone
 *   DISK_LOG        where it is written down
 *   DISK_FAIL_SYNC  which fsync of a file fails with EIO, counted from 1 (SQLite
 *                   does not look at those of the folder)
 *   DISK_FULL       a file: while it exists, writes fail with ENOSPC
 *
 * A record of the log is a line "OP NAME OFFSET LENGTH", and after a write its
 * bytes. NAME is relative to the folder, "." for the folder itself. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int log_fd = -1;
static char dir[PATH_MAX];
static const char *full;
static long fail_sync, syncs;

__attribute__((constructor)) static void start(void)
{
	const char *wanted = getenv("DISK_DIR"), *log = getenv("DISK_LOG");
	const char *fail = getenv("DISK_FAIL_SYNC");

	full = getenv("DISK_FULL");
	fail_sync = fail ? atol(fail) : 0;
	if (wanted && realpath(wanted, dir) && log)
		log_fd = syscall(SYS_openat, AT_FDCWD, log,
				 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The name below the folder; NULL for other files and for the index in shared
 * memory, which is made anew after a crash. */
static const char *below(const char *path)
{
	size_t length = strlen(dir), all = strlen(path);

	if (!length || strncmp(path, dir, length))
		return NULL;
	if (all > 4 && !strcmp(path + all - 4, "-shm"))
		return NULL;
	if (!path[length])
		return ".";
	return path[length] == '/' ? path + length + 1 : NULL;
}

static const char *name_of(int fd, char *path)
{
	char link[64];
	ssize_t length;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
	if (length < 0)
		return NULL;
	path[length] = 0;
	return below(path);
}

static const char *name_at(const char *relative, char *path)
{
	if (relative[0] == '/')
		snprintf(path, PATH_MAX, "%s", relative);
	else if (!getcwd(path, PATH_MAX - strlen(relative) - 1))
		return NULL;
	else
		strcat(strcat(path, "/"), relative);
	return below(path);
}

static void note(const char *op, const char *name, long long at, const void *bytes, size_t length)
{
	char line[PATH_MAX + 128];
	int size = snprintf(line, sizeof line, "%s %s %lld %zu\n", op, name, at, length);

	if (log_fd < 0)
		return;
	if (syscall(SYS_write, log_fd, line, size) != size ||
	    (bytes && syscall(SYS_write, log_fd, bytes, length) != (long)length))
		abort();
}

static int is_full(void)
{
	return full && !syscall(SYS_faccessat, AT_FDCWD, full, F_OK);
}

static ssize_t put(int fd, const void *bytes, size_t length, off_t at, int moves)
{
	char path[PATH_MAX];
	int kept = errno;
	const char *name = name_of(fd, path);
	ssize_t done;

	errno = kept;
	if (name && is_full()) {
		errno = ENOSPC;
		return -1;
	}
	if (name && moves)
		at = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
	done = moves ? syscall(SYS_write, fd, bytes, length)
		     : syscall(SYS_pwrite64, fd, bytes, length, at);
	if (name && done > 0)
		note("write", name, at, bytes, done);
	return done;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	return put(fd, bytes, length, 0, 1);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
	return put(fd, bytes, length, at, 0);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
	return put(fd, bytes, length, at, 0);
}

static int cut(int fd, off_t length)
{
	char path[PATH_MAX];
	const char *name = name_of(fd, path);
	int done = syscall(SYS_ftruncate, fd, length);

	if (name && !done)
		note("truncate", name, length, NULL, 0);
	return done;
}

int ftruncate(int fd, off_t length)
{
	return cut(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
	return cut(fd, length);
}

static int sync_one(int fd, long call)
{
	char path[PATH_MAX];
	const char *name = name_of(fd, path);
	int done;

	if (name && strcmp(name, ".") && ++syncs == fail_sync) {
		errno = EIO;
		return -1;
	}
	done = syscall(call, fd);
	if (name && !done)
		note("sync", name, 0, NULL, 0);
	return done;
}

int fsync(int fd)
{
	return sync_one(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return sync_one(fd, SYS_fdatasync);
}

static int open_at(int base, const char *relative, int flags, mode_t mode)
{
	char path[PATH_MAX];
	const char *name = base == AT_FDCWD ? name_at(relative, path) : NULL;
	int is_new = name && (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, relative, F_OK);
	int fd;

	if (is_new && is_full()) {
		errno = ENOSPC;
		return -1;
	}
	fd = syscall(SYS_openat, base, relative, flags, mode);
	if (fd >= 0 && is_new)
		note("create", name, 0, NULL, 0);
	else if (fd >= 0 && name && (flags & O_TRUNC))
		note("truncate", name, 0, NULL, 0);
	return fd;
}

#define MODE(flags, mode) \
	mode_t mode = 0; \
	if ((flags) & (O_CREAT | __O_TMPFILE)) { \
		va_list rest; \
		va_start(rest, flags); \
		mode = va_arg(rest, mode_t); \
		va_end(rest); \
	}

int open(const char *path, int flags, ...)
{
	MODE(flags, mode)
	return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	MODE(flags, mode)
	return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int unlink(const char *relative)
{
	char path[PATH_MAX];
	const char *name = name_at(relative, path);
	int done = syscall(SYS_unlinkat, AT_FDCWD, relative, 0);

	if (name && !done)
		note("unlink", name, 0, NULL, 0);
	return done;
}

int rename(const char *from, const char *to)
{
	char old[PATH_MAX], new[PATH_MAX], both[2 * PATH_MAX];
	const char *a = name_at(from, old), *b = name_at(to, new);
	int done = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);

	if (a && b && !done) {
		snprintf(both, sizeof both, "%s>%s", a, b);
		note("rename", both, 0, NULL, 0);
	}
	return done;
}
