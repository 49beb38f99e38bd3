/* The index: chunk id -> (container, ordinal). Derived data; docs/format/index.md.
 *
 * A memory table takes what this process adds; sorted runs (index_run.c) hold the rest. Containers
 * are "slots": small numbers shared by all runs of the process. Look-ups share the lock, so one
 * that waits for the disk holds up no other; what changes something takes it alone.
 */
#define _GNU_SOURCE
#include "index.h"

#include <stdlib.h>

static int grow_names(hf_index *index);

hf_index *hf_index_new(void) {
    hf_index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return NULL;
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    /* Or many readers could keep a writer waiting for ever. */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&index->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    if (index_grow_table(index) == HF_OK && grow_names(index) == HF_OK)
        return index;
    hf_index_free(index);
    return NULL;
}

void hf_index_free(hf_index *index) {
    if (index == NULL)
        return;
    for (int i = 0; i < index->run_count; i++)
        run_free(index->runs[i]);
    pthread_rwlock_destroy(&index->lock);
    free(index->table);
    free(index->written);
    free(index->names);
    free(index->states);
    free(index->by_name);
    free(index);
}

/* ---- slots ---- */

static int grow_names(hf_index *index) {
    uint32_t capacity = index->by_name_capacity == 0 ? 1024 : index->by_name_capacity * 2;
    uint8_t *names = realloc(index->names, (size_t)capacity / 2 * 32);
    if (names != NULL)
        index->names = names;
    uint8_t *states = realloc(index->states, capacity / 2);
    if (states != NULL)
        index->states = states;
    uint32_t *by_name = calloc(capacity, sizeof *by_name);
    if (names == NULL || states == NULL || by_name == NULL) {
        free(by_name);
        return HF_E_MEMORY;
    }
    for (uint32_t slot = 0; slot < index->slot_count; slot++) {
        if (states[slot] == SLOT_OPEN)
            continue;
        uint32_t at = get_u32(names + (size_t)slot * 32) & (capacity - 1);
        while (by_name[at] != 0)
            at = (at + 1) & (capacity - 1);
        by_name[at] = slot + 1;
    }
    free(index->by_name);
    index->by_name = by_name;
    index->by_name_capacity = capacity;
    index->slot_capacity = capacity / 2;
    return HF_OK;
}

static int64_t add_slot(hf_index *index, uint8_t state) {
    if (index->slot_count == index->slot_capacity && grow_names(index) < 0)
        return HF_E_MEMORY;
    memset(index->names + (size_t)index->slot_count * 32, 0, 32);
    index->states[index->slot_count] = state;
    return index->slot_count++;
}

static uint32_t *name_cell(hf_index *index, const uint8_t name[32]) {
    uint32_t at = get_u32(name) & (index->by_name_capacity - 1);
    while (index->by_name[at] != 0 &&
           memcmp(index->names + (size_t)(index->by_name[at] - 1) * 32, name, 32) != 0)
        at = (at + 1) & (index->by_name_capacity - 1);
    return &index->by_name[at];
}

int64_t index_slot_of(hf_index *index, const uint8_t name[32]) {
    uint32_t *cell = name_cell(index, name);
    if (*cell != 0)
        return *cell - 1;
    int64_t slot = add_slot(index, SLOT_OPEN);
    if (slot < 0)
        return slot;
    memcpy(index->names + (size_t)slot * 32, name, 32);
    index->states[slot] = SLOT_NAMED;
    *name_cell(index, name) = (uint32_t)slot + 1;
    return slot;
}

int64_t hf_index_slot_of(hf_index *index, const uint8_t name[32]) {
    pthread_rwlock_wrlock(&index->lock);
    int64_t slot = index_slot_of(index, name);
    pthread_rwlock_unlock(&index->lock);
    return slot;
}

int hf_index_knows(hf_index *index, const uint8_t name[32]) {
    pthread_rwlock_rdlock(&index->lock);
    uint32_t cell = *name_cell(index, name);
    pthread_rwlock_unlock(&index->lock);
    return cell != 0;
}

void hf_index_mark_known(hf_index *index, const uint8_t *names, uint32_t count, uint8_t *known,
                         uint8_t *seen, uint32_t seen_count) {
    pthread_rwlock_rdlock(&index->lock);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t cell = *name_cell(index, names + (size_t)i * NAME_BYTES);
        known[i] = cell != 0;
        if (cell != 0 && cell <= seen_count)
            seen[cell - 1] = 1;
    }
    pthread_rwlock_unlock(&index->lock);
}

int64_t hf_index_open_slot(hf_index *index) {
    pthread_rwlock_wrlock(&index->lock);
    int64_t slot = add_slot(index, SLOT_OPEN);
    pthread_rwlock_unlock(&index->lock);
    return slot;
}

int hf_index_name_slot(hf_index *index, uint32_t slot, const uint8_t name[32]) {
    pthread_rwlock_wrlock(&index->lock);
    int result = HF_E_FORMAT;
    if (slot < index->slot_count && index->states[slot] == SLOT_OPEN &&
        *name_cell(index, name) == 0) {
        memcpy(index->names + (size_t)slot * 32, name, 32);
        index->states[slot] = SLOT_NAMED;
        *name_cell(index, name) = slot + 1;
        result = HF_OK;
    }
    pthread_rwlock_unlock(&index->lock);
    return result;
}

void hf_index_kill_slot(hf_index *index, uint32_t slot) {
    pthread_rwlock_wrlock(&index->lock);
    if (slot < index->slot_count)
        index->states[slot] = SLOT_DEAD;
    pthread_rwlock_unlock(&index->lock);
}

int hf_index_slot_name(hf_index *index, uint32_t slot, uint8_t name[32]) {
    pthread_rwlock_rdlock(&index->lock);
    int result = slot < index->slot_count && index->states[slot] == SLOT_NAMED ? HF_OK : HF_E_ID;
    if (result == HF_OK)
        memcpy(name, index->names + (size_t)slot * 32, 32);
    pthread_rwlock_unlock(&index->lock);
    return result;
}

uint32_t hf_index_slot_count(const hf_index *index) { return index->slot_count; }

/* ---- the memory table ---- */

entry *index_cell(entry *table, uint64_t capacity, const uint8_t *id) {
    /* Folded, so that ids that differ in a few bits only are spread too. */
    unsigned __int128 product =
        (unsigned __int128)(get_u64(id) ^ get_u64(id + 8)) * 0x9E3779B97F4A7C15u;
    uint64_t at = (uint64_t)(product ^ (product >> 64)) & (capacity - 1);
    while (table[at].slot != UINT32_MAX && memcmp(table[at].id, id, ID_PREFIX) != 0)
        at = (at + 1) & (capacity - 1);
    return &table[at];
}

int index_grow_table(hf_index *index) {
    uint64_t capacity = index->table_capacity == 0 ? 4096 : index->table_capacity * 2;
    entry *table = malloc(capacity * sizeof *table);
    if (table == NULL)
        return HF_E_MEMORY;
    memset(table, 0xFF, capacity * sizeof *table);
    for (uint64_t i = 0; i < index->table_capacity; i++)
        if (index->table[i].slot != UINT32_MAX)
            *index_cell(table, capacity, index->table[i].id) = index->table[i];
    free(index->table);
    index->table = table;
    index->table_capacity = capacity;
    return HF_OK;
}

/* ---- look-ups; the caller holds the lock ---- */

static bool find_in_memory(const hf_index *index, const uint8_t *id, uint32_t *slot,
                           uint32_t *ordinal) {
    const entry *cell = index_cell(index->table, index->table_capacity, id);
    if (cell->slot == UINT32_MAX || index->states[cell->slot] == SLOT_DEAD)
        return false;
    *slot = cell->slot;
    *ordinal = cell->ordinal;
    return true;
}

static bool find(const hf_index *index, const uint8_t *id, uint32_t *slot, uint32_t *ordinal) {
    if (find_in_memory(index, id, slot, ordinal))
        return true;
    for (int i = index->run_count - 1; i >= 0; i--) {
        run *run = index->runs[i];
        entry found;
        if (!run_find(run, id, &found) || found.slot >= run->name_count ||
            index->states[run->slots[found.slot]] == SLOT_DEAD)
            continue;
        *slot = run->slots[found.slot];
        *ordinal = found.ordinal;
        return true;
    }
    return false;
}

int hf_index_find(hf_index *index, const uint8_t id[32], uint32_t *slot, uint32_t *ordinal) {
    pthread_rwlock_rdlock(&index->lock);
    bool found = find(index, id, slot, ordinal);
    pthread_rwlock_unlock(&index->lock);
    return found ? 1 : 0;
}

static int add(hf_index *index, const uint8_t *id, uint32_t slot, uint32_t ordinal) {
    if (index->table_used * 3 >= index->table_capacity * 2 && index_grow_table(index) < 0)
        return HF_E_MEMORY;
    entry *cell = index_cell(index->table, index->table_capacity, id);
    index->table_used += cell->slot == UINT32_MAX;
    memcpy(cell->id, id, ID_PREFIX);
    cell->slot = slot;
    cell->ordinal = ordinal;
    return 0;
}

int hf_index_claim(hf_index *index, const uint8_t id[32], uint32_t *slot, uint32_t *ordinal) {
    pthread_rwlock_rdlock(&index->lock);
    uint64_t generation = index->generation;
    int result = HF_E_FORMAT;
    if (*slot < index->slot_count)
        result = find(index, id, slot, ordinal) ? 1 : 0;
    pthread_rwlock_unlock(&index->lock);
    if (result != 0)
        return result;
    pthread_rwlock_wrlock(&index->lock);
    /* Another thread may have claimed it in between: then it is in memory, or in a new run. */
    bool is_known = generation == index->generation ? find_in_memory(index, id, slot, ordinal)
                                                    : find(index, id, slot, ordinal);
    result = is_known ? 1 : add(index, id, *slot, *ordinal);
    pthread_rwlock_unlock(&index->lock);
    return result;
}

int hf_index_learn(hf_index *index, uint32_t slot, const uint8_t *ids, uint32_t count) {
    pthread_rwlock_wrlock(&index->lock);
    int result = slot < index->slot_count ? HF_OK : HF_E_FORMAT;
    for (uint32_t i = 0; result == HF_OK && i < count; i++) {
        const uint8_t *id = ids + (size_t)i * HF_ID_BYTES;
        uint32_t known_slot, known_ordinal;
        if (!find(index, id, &known_slot, &known_ordinal))
            result = add(index, id, slot, i);
    }
    pthread_rwlock_unlock(&index->lock);
    return result;
}

uint64_t hf_index_pending(const hf_index *index) { return index->table_used; }

int hf_index_damaged(const hf_index *index, int run) {
    return run >= 0 && run < index->run_count &&
           __atomic_load_n(&index->runs[run]->damaged, __ATOMIC_RELAXED);
}

void hf_index_memory(const hf_index *index, hf_memory *memory) {
    *memory = (hf_memory){
        .table = (index->table_capacity + index->written_count) * sizeof *index->table,
        .containers = index->slot_count * (NAME_BYTES + 1ull) +
                      index->by_name_capacity * sizeof *index->by_name,
    };
    for (int i = 0; i < index->run_count; i++) {
        const run *run = index->runs[i];
        memory->containers += run->name_count * sizeof *run->slots;
        memory->marks += run->group_count * MARK_BYTES + run->block_count * sizeof *run->blocks;
        for (uint64_t number = 0; number < run->block_count; number++)
            memory->filters += filter_bytes(&run->blocks[number]);
    }
}
