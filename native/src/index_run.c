/* Runs of the index as they are read: sorted files that never change; docs/format/index.md.
 *
 * A look-up finds the group of pages by interpolation among the marks in memory, asks the block's
 * filter, and only then reads a page, nearly always the right one: ids are uniformly distributed
 * keyed hashes. Whatever a file says is checked before it is used; a page that does not match its
 * checksum counts as empty, so that damage costs hits and never gives a false one.
 */
#define _GNU_SOURCE
#include "index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

uint64_t page_hash(const uint8_t *page) { return XXH3_64bits(page, PAGE_HASHED_BYTES); }

static int read_at(int fd, void *to, size_t length, uint64_t offset) {
    for (size_t done = 0; done < length;) {
        ssize_t got = pread(fd, (uint8_t *)to + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? HF_E_IO : HF_E_SHORT;
        done += (size_t)got;
    }
    return HF_OK;
}

/* ---- opening ---- */

void run_free(run *run) {
    if (run == NULL)
        return;
    if (run->map != NULL)
        munmap(run->map, run->map_bytes);
    if (run->fd >= 0)
        close(run->fd);
    free(run->marks);
    free(run->blocks);
    free(run->slots);
    free(run);
}

static uint64_t ratio_up(uint64_t amount, uint64_t unit) { return (amount + unit - 1) / unit; }

/* Reads the head; gives where the tail begins and its hash. */
static int read_head(run *run, uint64_t size, uint64_t *tail, uint64_t *tail_hash) {
    uint8_t head[RUN_HEAD_BYTES];
    int result = read_at(run->fd, head, sizeof head, 0);
    if (result < 0)
        return result;
    uint64_t names = get_u64(head + 16);
    run->entry_count = get_u64(head + 8);
    *tail = get_u64(head + 24);
    *tail_hash = get_u64(head + 32);
    if (memcmp(head, RUN_MAGIC, 8) != 0 || get_u64(head + 56) != XXH3_64bits(head, 56) ||
        run->entry_count > size / ENTRY_BYTES || names > size / NAME_BYTES || names > UINT32_MAX ||
        *tail < PAGE_BYTES || *tail > size || *tail % PAGE_BYTES != 0)
        return HF_E_FORMAT;
    run->name_count = (uint32_t)names;
    run->page_count = ratio_up(run->entry_count, PAGE_ENTRIES);
    run->group_count = ratio_up(run->page_count, GROUP_PAGES);
    run->block_count = ratio_up(run->page_count, BLOCK_PAGES);
    uint64_t tail_bytes =
        names * NAME_BYTES + run->group_count * MARK_BYTES + run->block_count * BLOCK_HEAD_BYTES;
    return size - *tail == tail_bytes ? HF_OK : HF_E_FORMAT;
}

static uint64_t pages_of_block(const run *run, uint64_t number) {
    return number + 1 < run->block_count ? BLOCK_PAGES : run->page_count - number * BLOCK_PAGES;
}

/* Whether the block follows the one before it and has a filter that can be asked. */
static bool is_sound(const run *run, uint64_t number, uint64_t offset, uint64_t tail) {
    const block *block = &run->blocks[number];
    uint64_t pages_bytes = pages_of_block(run, number) * PAGE_BYTES;
    uint32_t length = block->segment_length;
    return block->offset == offset && pages_bytes <= tail - offset && length != 0 &&
           (length & (length - 1)) == 0 && length <= 1 << 12 && block->start_segments != 0 &&
           block->start_segments <= 1 << 18 && filter_bytes(block) <= tail - offset - pages_bytes;
}

static uint64_t filter_offset(const run *run, uint64_t number) {
    return run->blocks[number].offset + pages_of_block(run, number) * PAGE_BYTES;
}

static size_t padded_bytes(const block *block) {
    return ratio_up(filter_bytes(block), PAGE_BYTES) * PAGE_BYTES;
}

/* Brings the filters into memory now, in order: later, each would be a seek in the middle of a
 * look-up, and a sector that cannot be read would end the process. */
static int load_filters(run *run) {
    for (int advice = MADV_WILLNEED;; advice = MADV_POPULATE_READ) {
        for (uint64_t i = 0; i < run->block_count; i++) {
            size_t length = padded_bytes(&run->blocks[i]);
            if (madvise(run->map + filter_offset(run, i), length, advice) != 0 && errno == EFAULT)
                return HF_E_IO;
        }
        if (advice == MADV_POPULATE_READ)
            return HF_OK;
    }
}

static int load_tail(hf_index *index, run *run, const uint8_t *tail, uint64_t tail_offset) {
    size_t marks_bytes = run->group_count * MARK_BYTES;
    size_t blocks_bytes = run->block_count * BLOCK_HEAD_BYTES;
    run->marks = malloc(marks_bytes + 1);
    run->blocks = malloc(blocks_bytes + 1);
    run->slots = malloc(((size_t)run->name_count + 1) * sizeof *run->slots);
    if (run->marks == NULL || run->blocks == NULL || run->slots == NULL)
        return HF_E_MEMORY;
    memcpy(run->marks, tail, marks_bytes);
    memcpy(run->blocks, tail + marks_bytes, blocks_bytes);
    uint64_t offset = PAGE_BYTES;
    for (uint64_t i = 0; i < run->block_count; i++) {
        if (!is_sound(run, i, offset, tail_offset))
            return HF_E_FORMAT;
        offset = filter_offset(run, i) + padded_bytes(&run->blocks[i]);
    }
    if (offset != tail_offset)
        return HF_E_FORMAT;
    for (uint32_t i = 0; i < run->name_count; i++) {
        int64_t slot = index_slot_of(index, tail + marks_bytes + blocks_bytes + i * 32ull);
        if (slot < 0)
            return HF_E_MEMORY;
        run->slots[i] = (uint32_t)slot;
    }
    return HF_OK;
}

static int load_run(hf_index *index, run *run, int fd) {
    struct stat status;
    run->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (run->fd < 0 || fstat(run->fd, &status) != 0)
        return HF_E_IO;
    uint64_t size = (uint64_t)status.st_size, tail_offset, tail_hash;
    int result = read_head(run, size, &tail_offset, &tail_hash);
    if (result < 0)
        return result;
    size_t tail_bytes = size - tail_offset;
    uint8_t *tail = malloc(tail_bytes + 1);
    result = tail == NULL ? HF_E_MEMORY : read_at(run->fd, tail, tail_bytes, tail_offset);
    if (result == HF_OK && XXH3_64bits(tail, tail_bytes) != tail_hash)
        result = HF_E_FORMAT;
    if (result == HF_OK)
        result = load_tail(index, run, tail, tail_offset);
    free(tail);
    if (result < 0)
        return result;
    uint8_t *map = mmap(NULL, tail_offset, PROT_READ, MAP_SHARED, run->fd, 0);
    if (map == MAP_FAILED)
        return HF_E_IO;
    run->map = map;
    run->map_bytes = tail_offset;
    return load_filters(run);
}

run *run_open(hf_index *index, int fd, int *error) {
    run *run = calloc(1, sizeof *run);
    *error = HF_E_MEMORY;
    if (run == NULL)
        return NULL;
    run->fd = -1;
    *error = load_run(index, run, fd);
    if (*error == HF_OK)
        return run;
    run_free(run);
    return NULL;
}

int hf_index_add_run(hf_index *index, int fd) {
    pthread_rwlock_wrlock(&index->lock);
    int result = HF_E_FULL;
    if (index->run_count < RUNS_MAX) {
        run *run = run_open(index, fd, &result);
        if (run != NULL) {
            result = index->run_count;
            index->runs[index->run_count++] = run;
            index->generation++;
        }
    }
    pthread_rwlock_unlock(&index->lock);
    return result;
}

uint64_t hf_index_run_entries(const hf_index *index, int number) {
    return number >= 0 && number < index->run_count ? index->runs[number]->entry_count : 0;
}

/* ---- look-ups ---- */

int run_read_page(run *run, uint64_t page, uint8_t bytes[PAGE_BYTES]) {
    uint64_t offset =
        run->blocks[page / BLOCK_PAGES].offset + page % BLOCK_PAGES * (uint64_t)PAGE_BYTES;
    int result = read_at(run->fd, bytes, PAGE_BYTES, offset);
    if (result == HF_OK && get_u64(bytes + PAGE_HASHED_BYTES) != page_hash(bytes))
        result = HF_E_FORMAT;
    if (result < 0) {
        __atomic_store_n(&run->damaged, true, __ATOMIC_RELAXED);
        return result;
    }
    uint64_t rest = run->entry_count - page * PAGE_ENTRIES;
    return rest < PAGE_ENTRIES ? (int)rest : PAGE_ENTRIES;
}

static uint64_t number_of(const uint8_t *id) { return __builtin_bswap64(get_u64(id)); }

/* Where `wanted` lies among `span` ids spread evenly from `low` to `high`. */
static uint64_t interpolate(uint64_t low, uint64_t high, uint64_t wanted, uint64_t span) {
    if (wanted <= low || high <= low)
        return 0;
    double part = (double)(wanted - low) / (double)(high - low);
    uint64_t step = (uint64_t)(part * (double)span);
    return step < span ? step : span - 1;
}

/* The group that has `id` if any has; false if all begin behind it. Gallops from the place where
 * uniform ids lie, so that no file costs more than twice the logarithm. */
static bool find_group(const run *run, const uint8_t *id, uint64_t *group) {
    const uint8_t *marks = run->marks;
    uint64_t count = run->group_count, step = 1;
    if (count == 0 || memcmp(marks, id, ID_PREFIX) > 0)
        return false;
    uint64_t low = interpolate(number_of(marks), UINT64_MAX, number_of(id), count);
    uint64_t high = low + 1; /* wanted: mark[low] <= id < mark[high] */
    for (; memcmp(marks + low * MARK_BYTES, id, ID_PREFIX) > 0; step *= 2) {
        high = low;
        low = low > step ? low - step : 0;
    }
    for (; high < count && memcmp(marks + high * MARK_BYTES, id, ID_PREFIX) <= 0; step *= 2) {
        low = high;
        high = count - high > step ? high + step : count;
    }
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (memcmp(marks + middle * MARK_BYTES, id, ID_PREFIX) <= 0)
            low = middle;
        else
            high = middle;
    }
    *group = low;
    return true;
}

static bool find_in_page(const uint8_t *page, int count, const uint8_t *id, entry *found) {
    int low = 0, high = count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = memcmp(page + middle * ENTRY_BYTES, id, ID_PREFIX);
        if (order == 0) {
            memcpy(found, page + middle * ENTRY_BYTES, sizeof *found);
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool find_in_group(run *run, uint64_t group, const uint8_t *id, entry *found) {
    uint8_t page[PAGE_BYTES];
    const uint8_t *mark = run->marks + group * MARK_BYTES;
    bool is_last = group + 1 == run->group_count;
    uint64_t low = group * GROUP_PAGES;
    uint64_t high = is_last ? run->page_count : low + GROUP_PAGES;
    uint64_t end = is_last ? UINT64_MAX : number_of(mark + MARK_BYTES);
    uint64_t guess = low + interpolate(number_of(mark), end, number_of(id), high - low);
    while (low < high) {
        int count = run_read_page(run, guess, page);
        if (count < 0)
            return false;
        if (memcmp(id, page, ID_PREFIX) < 0) {
            high = guess;
            guess = high - 1;
        } else if (memcmp(id, page + (count - 1) * ENTRY_BYTES, ID_PREFIX) > 0) {
            low = guess + 1;
            guess = low;
        } else {
            return find_in_page(page, count, id, found);
        }
    }
    return false;
}

bool run_find(run *run, const uint8_t *id, entry *found) {
    uint64_t group;
    if (!find_group(run, id, &group))
        return false;
    uint64_t number = group * GROUP_PAGES / BLOCK_PAGES;
    return filter_has(run->map + filter_offset(run, number), &run->blocks[number], id) &&
           find_in_group(run, group, id, found);
}
