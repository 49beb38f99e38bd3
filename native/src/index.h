/* What index.c (slots, memory table, look-ups) and index_run.c (runs) share; not for others.
 * The caller of every function here holds the index's lock, or is alone with it.
 */
#ifndef HF_INDEX_H
#define HF_INDEX_H

#include "internal.h"

#include <pthread.h>

enum { ID_PREFIX = 16, RUNS_MAX = 64 };
enum { SLOT_OPEN = 0, SLOT_NAMED = 1, SLOT_DEAD = 2 };

typedef struct {
    uint8_t id[ID_PREFIX];
    uint32_t slot;
    uint32_t ordinal;
} entry;

typedef struct {
    uint8_t *map;
    size_t map_bytes;
    const uint8_t *names;
    const entry *entries; /* .slot counts the run's own names here */
    uint64_t entry_count;
    uint32_t name_count;
    uint32_t *slots; /* run's name number -> slot */
} run;

struct hf_index {
    pthread_mutex_t lock;
    run runs[RUNS_MAX];
    int run_count;
    entry *table; /* open addressing; empty entries have slot UINT32_MAX */
    uint64_t table_capacity, table_used;
    uint8_t *names; /* 32 bytes per slot */
    uint8_t *states;
    uint32_t slot_count, slot_capacity;
    uint32_t *by_name; /* open addressing of slot + 1; 0 = empty */
    uint32_t by_name_capacity;
};

/* The slot of the container `name`, a new one if it has none. -1 = no memory. */
int64_t index_slot_of(hf_index *index, const uint8_t name[32]);
/* Where `id` is in the memory table, or the empty entry where it belongs. */
entry *index_cell(entry *table, uint64_t capacity, const uint8_t *id);
int index_grow_table(hf_index *index);

void run_drop(run *run);
/* The entry of `id`, or NULL. Its .slot may be out of the run's range. */
const entry *run_find(const run *run, const uint8_t *id);

#endif
