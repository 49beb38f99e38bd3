/* See runs.h. */
#include "runs.h"

#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

int written(hf_index *index, int first_run) {
    int fd = file_of("", 0);
    CHECK(hf_index_write(index, first_run, fd) == HF_OK);
    return fd;
}

uint8_t *bytes_of(int fd, size_t *length) {
    struct stat status;
    CHECK(fstat(fd, &status) == 0);
    *length = (size_t)status.st_size;
    uint8_t *bytes = malloc(*length + 1);
    CHECK(bytes != NULL && pread(fd, bytes, *length, 0) == status.st_size);
    return bytes;
}

void sign_run(uint8_t *bytes, size_t length) {
    if (length < RUN_HEAD_BYTES)
        return;
    uint64_t tail = get_u64(bytes + 24);
    if (tail <= length) {
        for (size_t at = PAGE_BYTES; at + PAGE_BYTES <= tail; at += PAGE_BYTES)
            put_u64(bytes + at + PAGE_HASHED_BYTES, page_hash(bytes + at));
        put_u64(bytes + 32, XXH3_64bits(bytes + tail, length - tail));
    }
    put_u64(bytes + 56, XXH3_64bits(bytes, 56));
}
