/* Runs of the index: sorted files, mapped read-only, never changed; docs/format/index.md.
 *
 * Ids are uniformly distributed keyed hashes, so a lookup in a run interpolates: one or two probes.
 * A run may come from anybody: its numbers are checked where they are used, and entries out of
 * order cost hits, never more.
 */
#include "index.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRY_BYTES = 24, RUN_HEAD_BYTES = 32 };
_Static_assert(sizeof(entry) == ENTRY_BYTES, "entries are written as they lie in memory");

void run_drop(run *run) {
    munmap(run->map, run->map_bytes);
    free(run->slots);
}

static int map_run(run *run, int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return HF_E_IO;
    if (status.st_size < RUN_HEAD_BYTES)
        return HF_E_SHORT;
    size_t size = (size_t)status.st_size;
    uint8_t *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return HF_E_IO;
    uint64_t entry_count = get_u64(map + 8), name_count = get_u64(map + 16);
    if (memcmp(map, "HFINDEX1", 8) != 0 || name_count > UINT32_MAX ||
        entry_count > size / ENTRY_BYTES ||
        RUN_HEAD_BYTES + name_count * 32 + entry_count * ENTRY_BYTES != size) {
        munmap(map, size);
        return HF_E_FORMAT;
    }
    run->map = map;
    run->map_bytes = size;
    run->names = map + RUN_HEAD_BYTES;
    run->entries = (const entry *)(const void *)(run->names + name_count * 32);
    run->entry_count = entry_count;
    run->name_count = (uint32_t)name_count;
    return HF_OK;
}

/* Maps the run and gives its containers slots. The caller holds the lock. */
static int load_run(hf_index *index, run *run, int fd) {
    int result = map_run(run, fd);
    if (result < 0)
        return result;
    run->slots = malloc(((size_t)run->name_count + 1) * sizeof *run->slots);
    for (uint32_t i = 0; run->slots != NULL && i < run->name_count; i++) {
        int64_t slot = index_slot_of(index, run->names + (size_t)i * 32);
        if (slot < 0) {
            run_drop(run);
            return HF_E_MEMORY;
        }
        run->slots[i] = (uint32_t)slot;
    }
    if (run->slots == NULL) {
        run_drop(run);
        return HF_E_MEMORY;
    }
    return HF_OK;
}

int hf_index_add_run(hf_index *index, int fd) {
    pthread_mutex_lock(&index->lock);
    int result = HF_E_FULL;
    if (index->run_count < RUNS_MAX)
        result = load_run(index, &index->runs[index->run_count], fd);
    if (result == HF_OK)
        result = index->run_count++;
    pthread_mutex_unlock(&index->lock);
    return result;
}

uint64_t hf_index_run_entries(const hf_index *index, int number) {
    return number >= 0 && number < index->run_count ? index->runs[number].entry_count : 0;
}

static uint64_t id_number(const uint8_t *id) { return __builtin_bswap64(get_u64(id)); }

/* Interpolation search: ids are uniform, so the guess is off by about sqrt(n) at worst. It falls
 * back to halving every second step, so that a forged file costs log(n), not n. */
const entry *run_find(const run *run, const uint8_t *id) {
    uint64_t low = 0, high = run->entry_count;
    uint64_t wanted = id_number(id);
    uint64_t low_number = 0, high_number = UINT64_MAX;
    for (bool halve = false; low < high; halve = !halve) {
        uint64_t span = high - low, guess = low + span / 2;
        if (!halve && high_number > low_number && wanted >= low_number && wanted <= high_number) {
            double part = (double)(wanted - low_number) / (double)(high_number - low_number);
            uint64_t step = (uint64_t)(part * (double)span);
            guess = low + (step >= span ? span - 1 : step);
        }
        const entry *found = &run->entries[guess];
        int order = memcmp(found->id, id, ID_PREFIX);
        if (order == 0)
            return found;
        if (order < 0) {
            low = guess + 1;
            low_number = id_number(found->id);
        } else {
            high = guess;
            high_number = id_number(found->id);
        }
    }
    return NULL;
}

/* Keeps what the new run does not hold: entries of containers without a name, and of those that
 * got theirs after the run was written. */
static int keep_unwritten(hf_index *index, const run *fresh) {
    uint64_t capacity = index->table_capacity, kept = 0;
    entry *old = index->table;
    index->table = NULL;
    index->table_capacity = 0;
    if (index_grow_table(index) < 0) {
        index->table = old;
        index->table_capacity = capacity;
        return HF_E_MEMORY;
    }
    for (uint64_t i = 0; i < capacity; i++) {
        if (old[i].slot == UINT32_MAX || index->states[old[i].slot] == SLOT_DEAD ||
            (index->states[old[i].slot] == SLOT_NAMED && run_find(fresh, old[i].id) != NULL))
            continue;
        kept++;
        while (kept * 3 >= index->table_capacity * 2)
            if (index_grow_table(index) < 0) {
                free(old);
                return HF_E_MEMORY;
            }
        *index_cell(index->table, index->table_capacity, old[i].id) = old[i];
    }
    index->table_used = kept;
    free(old);
    return HF_OK;
}

int hf_index_replace(hf_index *index, int first_run, int fd) {
    if (first_run < 0 || first_run > index->run_count || first_run == RUNS_MAX)
        return HF_E_FORMAT;
    pthread_mutex_lock(&index->lock);
    run fresh = {0};
    int result = load_run(index, &fresh, fd);
    if (result == HF_OK) {
        for (int i = first_run; i < index->run_count; i++)
            run_drop(&index->runs[i]);
        index->runs[first_run] = fresh;
        index->run_count = first_run + 1;
        result = keep_unwritten(index, &index->runs[first_run]);
    }
    pthread_mutex_unlock(&index->lock);
    return result;
}

/* ---- writing a run: merge the memory table and runs, drop the dead and the double ---- */

typedef struct {
    const entry *at, *end;
    const uint32_t *slots; /* NULL: entries carry slots themselves */
    uint32_t name_count;
} cursor;

typedef struct {
    int fd;
    size_t used;
    uint8_t bytes[1 << 20];
} sink;

static int sink_flush(sink *sink) {
    for (size_t done = 0; done < sink->used;) {
        ssize_t wrote = write(sink->fd, sink->bytes + done, sink->used - done);
        if (wrote < 0 && errno != EINTR)
            return HF_E_IO;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    sink->used = 0;
    return HF_OK;
}

static int sink_put(sink *sink, const void *bytes, size_t length) {
    if (sink->used + length > sizeof sink->bytes && sink_flush(sink) < 0)
        return HF_E_IO;
    memcpy(sink->bytes + sink->used, bytes, length);
    sink->used += length;
    return HF_OK;
}

static int by_id(const void *a, const void *b) {
    return memcmp(((const entry *)a)->id, ((const entry *)b)->id, ID_PREFIX);
}

static bool cursor_slot(const hf_index *index, const cursor *cursor, uint32_t *slot) {
    uint32_t number = cursor->at->slot;
    if (cursor->slots != NULL) {
        if (number >= cursor->name_count)
            return false;
        number = cursor->slots[number];
    }
    *slot = number;
    return index->states[number] == SLOT_NAMED;
}

/* Calls `visit` for every entry that stays, in order. */
typedef int (*visitor)(void *context, const entry *entry, uint32_t slot);
static int merge(const hf_index *index, cursor *cursors, int count, visitor visit, void *context) {
    const uint8_t *last = NULL;
    for (;;) {
        cursor *least = NULL;
        for (int i = 0; i < count; i++)
            if (cursors[i].at < cursors[i].end &&
                (least == NULL || by_id(cursors[i].at, least->at) < 0))
                least = &cursors[i];
        if (least == NULL)
            return HF_OK;
        uint32_t slot;
        if (cursor_slot(index, least, &slot) &&
            (last == NULL || memcmp(last, least->at->id, ID_PREFIX) != 0)) {
            int result = visit(context, least->at, slot);
            if (result < 0)
                return result;
            last = least->at->id;
        }
        least->at++;
    }
}

typedef struct {
    uint64_t entries;
    uint32_t names;
    uint32_t *numbers; /* slot -> number in the new run, UINT32_MAX = unused */
    uint32_t *slots;   /* number -> slot */
    sink *sink;
} plan;

static int plan_entry(void *context, const entry *entry, uint32_t slot) {
    plan *plan = context;
    (void)entry;
    plan->entries++;
    if (plan->numbers[slot] == UINT32_MAX) {
        plan->slots[plan->names] = slot;
        plan->numbers[slot] = plan->names++;
    }
    return HF_OK;
}

static int write_entry(void *context, const entry *from, uint32_t slot) {
    plan *plan = context;
    entry out = *from;
    out.slot = plan->numbers[slot];
    return sink_put(plan->sink, &out, sizeof out);
}

static int write_head(const hf_index *index, plan *plan) {
    uint8_t head[RUN_HEAD_BYTES] = "HFINDEX1";
    put_u64(head + 8, plan->entries);
    put_u64(head + 16, plan->names);
    int result = sink_put(plan->sink, head, sizeof head);
    for (uint32_t i = 0; result == HF_OK && i < plan->names; i++)
        result = sink_put(plan->sink, index->names + (size_t)plan->slots[i] * 32, 32);
    return result;
}

static int make_cursors(const hf_index *index, int first_run, cursor *cursors, entry *sorted) {
    uint64_t used = 0;
    for (uint64_t i = 0; i < index->table_capacity; i++)
        if (index->table[i].slot != UINT32_MAX)
            sorted[used++] = index->table[i];
    qsort(sorted, used, sizeof *sorted, by_id);
    cursors[0] = (cursor){.at = sorted, .end = sorted + used};
    int count = 1;
    /* Newest first: of two entries for one id, merge() keeps the first. */
    for (int i = index->run_count - 1; i >= first_run; i--) {
        const run *run = &index->runs[i];
        cursors[count++] =
            (cursor){run->entries, run->entries + run->entry_count, run->slots, run->name_count};
    }
    return count;
}

static int write_run(const hf_index *index, int first_run, plan *plan, entry *sorted) {
    cursor cursors[RUNS_MAX + 1], again[RUNS_MAX + 1];
    int count = make_cursors(index, first_run, cursors, sorted);
    memcpy(again, cursors, sizeof cursors);
    int result = merge(index, cursors, count, plan_entry, plan);
    if (result == HF_OK)
        result = write_head(index, plan);
    if (result == HF_OK)
        result = merge(index, again, count, write_entry, plan);
    return result == HF_OK ? sink_flush(plan->sink) : result;
}

int hf_index_write(hf_index *index, int first_run, int fd) {
    if (first_run < 0)
        return HF_E_FORMAT;
    pthread_mutex_lock(&index->lock);
    plan plan = {.numbers = malloc(((size_t)index->slot_count + 1) * 4),
                 .slots = malloc(((size_t)index->slot_count + 1) * 4),
                 .sink = malloc(sizeof(sink))};
    entry *sorted = malloc((index->table_used + 1) * sizeof *sorted);
    int result = HF_E_MEMORY;
    if (plan.numbers != NULL && plan.slots != NULL && plan.sink != NULL && sorted != NULL) {
        memset(plan.numbers, 0xFF, ((size_t)index->slot_count + 1) * 4);
        plan.sink->fd = fd;
        plan.sink->used = 0;
        result = write_run(index, first_run, &plan, sorted);
    }
    free(plan.numbers);
    free(plan.slots);
    free(plan.sink);
    free(sorted);
    pthread_mutex_unlock(&index->lock);
    return result;
}
