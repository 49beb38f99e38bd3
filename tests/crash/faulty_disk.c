/* A disk that fails on command: preloaded, it stands between the program (Python, SQLite and the C
 * library alike) and the system for files below one folder.
 *
 * Calls are counted by kind. The n-th call of a kind, and with `for_ever` all later ones, fail as
 * told; everything else goes through.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OPEN, READ, WRITE, SYNC, NAME, LIST, STAT, MAP, KINDS };
enum { FAIL, SHORT, TORN, FLIP, MISDIRECT, STALE, WAIT };
enum { FDS = 4096, SECTOR = 512 };

static char top[PATH_MAX];
static size_t top_length;
/* SQLite may sync again: the catalog can be lost. */
static bool is_ours[FDS], is_catalog[FDS], has_failed_sync[FDS];
static struct {
    int kind, how, error, wait_ms;
    long at;
    bool for_ever;
} plan = {.kind = -1};
static long counts[KINDS];
static long struck, repeated_syncs;

void fault_watch(const char *folder) {
    snprintf(top, sizeof top, "%s", folder);
    top_length = strlen(top);
}

void fault_plan(int kind, long at, int how, int error, int for_ever, int wait_ms) {
    plan.kind = kind;
    plan.at = at;
    plan.how = how;
    plan.error = error;
    plan.for_ever = for_ever;
    plan.wait_ms = wait_ms;
    memset(counts, 0, sizeof counts);
    struck = repeated_syncs = 0;
}

long fault_count(int kind) { return counts[kind]; }
long fault_struck(void) { return struck; }
long fault_repeated_syncs(void) { return repeated_syncs; }

#define REAL(name)                                                                                 \
    static __typeof__(name) *real;                                                                 \
    if (real == NULL)                                                                              \
    real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static bool below_top(const char *path) {
    return top_length != 0 && path != NULL && strncmp(path, top, top_length) == 0;
}

static bool ours(int fd) { return fd >= 0 && fd < FDS && is_ours[fd]; }

/* Whether this call is one that is to fail. */
static bool strikes(int kind) {
    long number = __atomic_fetch_add(&counts[kind], 1, __ATOMIC_SEQ_CST);
    if (plan.kind != kind || number < plan.at || (number > plan.at && !plan.for_ever))
        return false;
    __atomic_fetch_add(&struck, 1, __ATOMIC_SEQ_CST);
    return true;
}

/* A disk that hangs is not interrupted by signals. */
static void wait_uninterrupted(void) {
    struct timespec left = {plan.wait_ms / 1000, plan.wait_ms % 1000 * 1000000L};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* True if the call must give back -1 now. */
static bool fails(int kind) {
    if (!strikes(kind))
        return false;
    if (plan.how == WAIT) {
        wait_uninterrupted();
        return false;
    }
    errno = plan.error;
    return true;
}

static bool is_for_writing(int flags) {
    return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0;
}

/* A read-only or full disk still opens files for reading. */
static bool open_fails(const char *path, int flags) {
    if (!below_top(path))
        return false;
    if (plan.how == FAIL && (plan.error == EROFS || plan.error == ENOSPC) && !is_for_writing(flags))
        return false;
    return fails(OPEN);
}

static int opened(int fd, const char *path) {
    if (fd >= 0 && fd < FDS) {
        is_ours[fd] = below_top(path);
        is_catalog[fd] = strstr(path, "/catalog.db") != NULL;
        has_failed_sync[fd] = false;
    }
    return fd;
}

#define OPEN_LIKE(name)                                                                            \
    int name(const char *path, int flags, ...) {                                                   \
        REAL(name);                                                                                \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = va_arg(rest, mode_t);                                                        \
        va_end(rest);                                                                              \
        return open_fails(path, flags) ? -1 : opened(real(path, flags, mode), path);               \
    }
OPEN_LIKE(open)
OPEN_LIKE(open64)

int close(int fd) {
    REAL(close);
    if (fd >= 0 && fd < FDS)
        is_ours[fd] = false;
    return real(fd);
}

/* ---- reading ---- */

static void spoil(int fd, uint8_t *bytes, ssize_t got, off_t offset) {
    REAL(pread);
    if (got <= 0)
        return;
    if (plan.how == FLIP)
        bytes[got / 2] ^= 0x10;
    else if (plan.how == STALE)
        memset(bytes, 0, got < SECTOR ? (size_t)got : SECTOR);
    else if (plan.how == MISDIRECT)
        (void)!real(fd, bytes, (size_t)got, offset >= SECTOR ? offset - SECTOR : offset + SECTOR);
}

#define READ_LIKE(name, declared, passed, offset)                                                  \
    ssize_t name declared {                                                                        \
        REAL(name);                                                                                \
        if (!ours(fd))                                                                             \
            return real passed;                                                                    \
        bool is_struck = strikes(READ);                                                            \
        if (is_struck && plan.how == FAIL) {                                                       \
            errno = plan.error;                                                                    \
            return -1;                                                                             \
        }                                                                                          \
        if (is_struck && plan.how == WAIT)                                                         \
            wait_uninterrupted();                                                                  \
        if (is_struck && plan.how == SHORT && length > 1)                                          \
            length /= 2;                                                                           \
        off_t at = offset;                                                                         \
        ssize_t got = real passed;                                                                 \
        if (is_struck)                                                                             \
            spoil(fd, bytes, got, at);                                                             \
        return got;                                                                                \
    }
READ_LIKE(read, (int fd, void *bytes, size_t length), (fd, bytes, length), lseek(fd, 0, SEEK_CUR))
READ_LIKE(pread, (int fd, void *bytes, size_t length, off_t start), (fd, bytes, length, start),
          start)
READ_LIKE(pread64, (int fd, void *bytes, size_t length, off_t start), (fd, bytes, length, start),
          start)

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    REAL(mmap);
    return ours(fd) && fails(MAP) ? MAP_FAILED
                                  : real(address, length, protection, flags, fd, offset);
}

/* ---- writing ---- */

#define WRITE_LIKE(name, declared, passed)                                                         \
    ssize_t name declared {                                                                        \
        REAL(name);                                                                                \
        if (!ours(fd) || !strikes(WRITE))                                                          \
            return real passed;                                                                    \
        if (plan.how == WAIT)                                                                      \
            wait_uninterrupted();                                                                  \
        else if (plan.how == SHORT)                                                                \
            length = length > 1 ? length / 2 : length;                                             \
        else if (plan.how == TORN)                                                                 \
            length = length / 2 / SECTOR * SECTOR;                                                 \
        if (plan.how == WAIT || plan.how == SHORT)                                                 \
            return real passed;                                                                    \
        if (plan.how == TORN && length > 0)                                                        \
            (void)!real passed;                                                                    \
        errno = plan.error;                                                                        \
        return -1;                                                                                 \
    }
WRITE_LIKE(write, (int fd, const void *bytes, size_t length), (fd, bytes, length))
WRITE_LIKE(pwrite, (int fd, const void *bytes, size_t length, off_t start),
           (fd, bytes, length, start))
WRITE_LIKE(pwrite64, (int fd, const void *bytes, size_t length, off_t start),
           (fd, bytes, length, start))

/* The kernel drops the pages of a failed fsync: what was written is not there, and the next fsync
 * of the same descriptor says that all is well. */
static int sync_fails(int fd) {
    if (!ours(fd))
        return false;
    repeated_syncs += has_failed_sync[fd] && !is_catalog[fd];
    if (!fails(SYNC))
        return false;
    int error = errno;
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        has_failed_sync[fd] = true;
        int flags = fcntl(fd, F_GETFL);
        static const char lost[SECTOR];
        if ((flags & O_ACCMODE) != O_RDONLY)
            (void)!pwrite(fd, lost, status.st_size < SECTOR ? (size_t)status.st_size : SECTOR, 0);
    }
    errno = error;
    return true;
}

#define ON_DESCRIPTOR(name)                                                                        \
    int name(int fd) {                                                                             \
        REAL(name);                                                                                \
        return sync_fails(fd) ? -1 : real(fd);                                                     \
    }
ON_DESCRIPTOR(fsync)
ON_DESCRIPTOR(fdatasync)

#define RESIZE_LIKE(name)                                                                          \
    int name(int fd, off_t length) {                                                               \
        REAL(name);                                                                                \
        return ours(fd) && fails(WRITE) ? -1 : real(fd, length);                                   \
    }
RESIZE_LIKE(ftruncate)
RESIZE_LIKE(ftruncate64)

/* ---- names ---- */

#define NAME_LIKE(name, declared, passed, path, kind)                                              \
    int name declared {                                                                            \
        REAL(name);                                                                                \
        return below_top(path) && fails(kind) ? -1 : real passed;                                  \
    }
NAME_LIKE(rename, (const char *from, const char *to), (from, to), from, NAME)
NAME_LIKE(link, (const char *from, const char *to), (from, to), from, NAME)
NAME_LIKE(unlink, (const char *path), (path), path, NAME)
NAME_LIKE(mkdir, (const char *path, mode_t mode), (path, mode), path, NAME)
NAME_LIKE(rmdir, (const char *path), (path), path, NAME)
NAME_LIKE(truncate, (const char *path, off_t length), (path, length), path, WRITE)
NAME_LIKE(truncate64, (const char *path, off_t length), (path, length), path, WRITE)
NAME_LIKE(utimensat, (int folder, const char *path, const struct timespec times[2], int flags),
          (folder, path, times, flags), path, NAME)
NAME_LIKE(stat, (const char *restrict path, struct stat *restrict out), (path, out), path, STAT)
NAME_LIKE(stat64, (const char *restrict path, struct stat64 *restrict out), (path, out), path, STAT)
NAME_LIKE(lstat, (const char *restrict path, struct stat *restrict out), (path, out), path, STAT)
NAME_LIKE(lstat64, (const char *restrict path, struct stat64 *restrict out), (path, out), path,
          STAT)

DIR *opendir(const char *path) {
    REAL(opendir);
    return below_top(path) && fails(LIST) ? NULL : real(path);
}

/* For programs that cannot be told otherwise: the first write below a folder hangs. */
__attribute__((constructor)) static void plan_from_environment(void) {
    const char *folder = getenv("HOLDFAST_FAULT_TOP"), *hang_ms = getenv("HOLDFAST_FAULT_HANG_MS");
    if (folder == NULL || hang_ms == NULL)
        return;
    fault_watch(folder);
    fault_plan(WRITE, 0, WAIT, 0, false, atoi(hang_ms));
}
