/* Memory and runs become one run, without what is dead or double, and then take its place.
 *
 * The merge works on copies of the memory table and of the containers' states, so look-ups and
 * claims go on meanwhile; runs do not change by themselves.
 */
#include "index.h"

#include <malloc.h>
#include <stdlib.h>

enum { CURSOR_PAGES = 32, CURSOR_ENTRIES = CURSOR_PAGES * PAGE_ENTRIES };

typedef struct {
    run *run;      /* NULL: memory */
    uint64_t page; /* to read next */
    entry *buffer;
    const entry *at, *end;
} cursor;

typedef struct {
    hf_index *index;
    builder *builder;
    cursor cursors[RUNS_MAX + 1]; /* newest first: of two entries for one id, the first is kept */
    int cursor_count;
    uint8_t *states;
    uint32_t slot_count;
    uint32_t *numbers; /* slot -> number in the new run, UINT32_MAX = unused */
    uint32_t *slots;   /* number -> slot */
    uint32_t number_count;
    entry *memory; /* the named part of the memory table, sorted */
    uint64_t memory_count;
} merger;

static int by_id(const void *a, const void *b) {
    return memcmp(((const entry *)a)->id, ((const entry *)b)->id, ID_PREFIX);
}

/* ---- what is merged ---- */

static int snapshot(merger *merger) {
    hf_index *index = merger->index;
    pthread_rwlock_rdlock(&index->lock);
    merger->slot_count = index->slot_count;
    merger->states = malloc((size_t)index->slot_count + 1);
    merger->numbers = malloc(((size_t)index->slot_count + 1) * sizeof *merger->numbers);
    merger->slots = malloc(((size_t)index->slot_count + 1) * sizeof *merger->slots);
    merger->memory = malloc((index->table_used + 1) * sizeof *merger->memory);
    int result = HF_E_MEMORY;
    if (merger->states != NULL && merger->numbers != NULL && merger->slots != NULL &&
        merger->memory != NULL) {
        memcpy(merger->states, index->states, index->slot_count);
        memset(merger->numbers, 0xFF, (size_t)index->slot_count * sizeof *merger->numbers);
        for (uint64_t i = 0; i < index->table_capacity; i++)
            if (index->table[i].slot != UINT32_MAX &&
                merger->states[index->table[i].slot] == SLOT_NAMED)
                merger->memory[merger->memory_count++] = index->table[i];
        result = HF_OK;
    }
    pthread_rwlock_unlock(&index->lock);
    if (result == HF_OK)
        qsort(merger->memory, merger->memory_count, sizeof *merger->memory, by_id);
    return result;
}

static int refill(cursor *cursor) {
    uint8_t page[PAGE_BYTES];
    entry *end = cursor->buffer;
    for (int i = 0; i < CURSOR_PAGES && cursor->page < cursor->run->page_count; i++) {
        int count = run_read_page(cursor->run, cursor->page++, page);
        if (count < 0)
            return count;
        memcpy(end, page, (size_t)count * sizeof *end);
        end += count;
    }
    cursor->at = cursor->buffer;
    cursor->end = end;
    return HF_OK;
}

static int make_cursors(merger *merger, int first_run) {
    const hf_index *index = merger->index;
    merger->cursors[0] =
        (cursor){.at = merger->memory, .end = merger->memory + merger->memory_count};
    merger->cursor_count = 1;
    for (int i = index->run_count - 1; i >= first_run; i--) {
        cursor *cursor = &merger->cursors[merger->cursor_count++];
        cursor->run = index->runs[i];
        cursor->buffer = malloc(CURSOR_ENTRIES * sizeof *cursor->buffer);
        int result = cursor->buffer == NULL ? HF_E_MEMORY : refill(cursor);
        if (result < 0)
            return result;
    }
    return HF_OK;
}

static void merger_free(merger *merger) {
    for (int i = 1; i < merger->cursor_count; i++)
        free(merger->cursors[i].buffer);
    builder_free(merger->builder);
    free(merger->states);
    free(merger->numbers);
    free(merger->slots);
    free(merger->memory);
    free(merger);
}

/* ---- merging ---- */

static bool is_kept(const merger *merger, const cursor *cursor, uint32_t *slot) {
    *slot = cursor->at->slot;
    if (cursor->run != NULL) {
        if (*slot >= cursor->run->name_count)
            return false;
        *slot = cursor->run->slots[*slot];
    }
    return merger->states[*slot] == SLOT_NAMED;
}

static int put(merger *merger, const entry *from, uint32_t slot) {
    if (merger->numbers[slot] == UINT32_MAX) {
        merger->slots[merger->number_count] = slot;
        merger->numbers[slot] = merger->number_count++;
    }
    entry out = *from;
    out.slot = merger->numbers[slot];
    return builder_add(merger->builder, &out);
}

static int merge(merger *merger) {
    uint8_t last[ID_PREFIX];
    bool is_first = true;
    for (;;) {
        cursor *least = NULL;
        for (int i = 0; i < merger->cursor_count; i++) {
            cursor *cursor = &merger->cursors[i];
            if (cursor->at < cursor->end && (least == NULL || by_id(cursor->at, least->at) < 0))
                least = cursor;
        }
        if (least == NULL)
            return HF_OK;
        uint32_t slot;
        /* What does not rise is double, or comes from a file out of order. */
        if (is_kept(merger, least, &slot) &&
            (is_first || memcmp(last, least->at->id, ID_PREFIX) < 0)) {
            int result = put(merger, least->at, slot);
            if (result < 0)
                return result;
            memcpy(last, least->at->id, ID_PREFIX);
            is_first = false;
        }
        if (++least->at == least->end && least->run != NULL) {
            int result = refill(least);
            if (result < 0)
                return result;
        }
    }
}

static int write_run(merger *merger, int first_run, int fd) {
    int result = snapshot(merger);
    if (result == HF_OK)
        result = make_cursors(merger, first_run);
    if (result < 0)
        return result;
    uint64_t entries_at_most = merger->memory_count;
    for (int i = 1; i < merger->cursor_count; i++)
        entries_at_most += merger->cursors[i].run->entry_count;
    merger->builder = builder_new(fd, entries_at_most);
    if (merger->builder == NULL)
        return HF_E_MEMORY;
    result = merge(merger);
    if (result < 0)
        return result;
    return builder_finish(merger->builder, merger->index, merger->slots, merger->number_count);
}

int hf_index_write(hf_index *index, int first_run, int fd) {
    if (first_run < 0)
        return HF_E_FORMAT;
    merger *merger = calloc(1, sizeof *merger);
    if (merger == NULL)
        return HF_E_MEMORY;
    merger->index = index;
    int result = write_run(merger, first_run, fd);
    if (result == HF_OK) {
        pthread_rwlock_wrlock(&index->lock);
        free(index->written);
        index->written = merger->memory;
        index->written_count = merger->memory_count;
        merger->memory = NULL;
        pthread_rwlock_unlock(&index->lock);
    }
    merger_free(merger);
    return result;
}

/* ---- taking the place of what was merged ---- */

static bool is_written(const hf_index *index, const entry *entry) {
    if (index->written == NULL)
        return false;
    const struct entry *found =
        bsearch(entry, index->written, index->written_count, sizeof *entry, by_id);
    return found != NULL && found->slot == entry->slot;
}

/* Keeps what the new run does not hold: entries of containers that had no name, or that were
 * claimed since it was written. */
static int keep_unwritten(hf_index *index) {
    uint64_t capacity = index->table_capacity, kept = 0;
    entry *old = index->table;
    index->table = NULL;
    index->table_capacity = 0;
    int result = index_grow_table(index);
    for (uint64_t i = 0; result == HF_OK && i < capacity; i++) {
        if (old[i].slot == UINT32_MAX || index->states[old[i].slot] == SLOT_DEAD ||
            is_written(index, &old[i]))
            continue;
        kept++;
        while (result == HF_OK && kept * 3 >= index->table_capacity * 2)
            result = index_grow_table(index);
        if (result == HF_OK)
            *index_cell(index->table, index->table_capacity, old[i].id) = old[i];
    }
    if (result < 0) { /* everything stays in memory too: correct, only larger */
        free(index->table);
        index->table = old;
        index->table_capacity = capacity;
        return result;
    }
    free(old);
    index->table_used = kept;
    return HF_OK;
}

int hf_index_replace(hf_index *index, int first_run, int fd) {
    if (first_run < 0 || first_run > index->run_count || first_run == RUNS_MAX)
        return HF_E_FORMAT;
    pthread_rwlock_wrlock(&index->lock);
    int result;
    run *fresh = run_open(index, fd, &result);
    if (fresh != NULL) {
        for (int i = first_run; i < index->run_count; i++)
            run_free(index->runs[i]);
        index->runs[first_run] = fresh;
        index->run_count = first_run + 1;
        index->generation++;
        result = keep_unwritten(index);
        free(index->written);
        index->written = NULL;
        index->written_count = 0;
    }
    pthread_rwlock_unlock(&index->lock);
    malloc_trim(0); /* a merge took tens of MiB, which the allocator would keep */
    return result;
}
