/* What the index's files share; not for others.
 *
 * index.c: slots, memory table, look-ups. index_run.c: runs as they are read. index_build.c: a run
 * as it is written. index_merge.c: memory and runs become one run. index_filter.c: filters.
 * Runs are only added and replaced by one thread at a time, under the write lock.
 */
#ifndef HF_INDEX_H
#define HF_INDEX_H

#include "internal.h"

#include <pthread.h>

enum { ID_PREFIX = 16, RUNS_MAX = 64 };
enum { SLOT_OPEN = 0, SLOT_NAMED = 1, SLOT_DEAD = 2 };

typedef struct entry {
    uint8_t id[ID_PREFIX];
    uint32_t slot; /* in a run: number of the container in the run's own names */
    uint32_t ordinal;
} entry;

/* The layout of a run, docs/format/index.md. A page ends with its checksum and eight zero bytes;
 * a group of pages has one mark in memory, a block of pages one filter. A block's number of
 * entries decides what building its filter takes (about 20 bytes each). */
enum {
    ENTRY_BYTES = 24,
    RUN_HEAD_BYTES = 64,
    PAGE_BYTES = 4096,
    PAGE_ENTRIES = 170,
    PAGE_HASHED_BYTES = PAGE_ENTRIES * ENTRY_BYTES,
    GROUP_PAGES = 16,
    BLOCK_PAGES = 194 * GROUP_PAGES,
    BLOCK_ENTRIES = BLOCK_PAGES * PAGE_ENTRIES,
    BLOCK_HEAD_BYTES = 32,
    MARK_BYTES = ID_PREFIX,
    NAME_BYTES = 32,
};
#define RUN_MAGIC "HFINDEX2"
_Static_assert(sizeof(entry) == ENTRY_BYTES, "entries are written as they lie in memory");

typedef struct block {
    uint64_t offset; /* of its first page; the filter follows the last page */
    uint64_t seed;
    uint32_t segment_length;
    uint32_t start_segments;
    uint64_t zero;
} block;
_Static_assert(sizeof(block) == BLOCK_HEAD_BYTES, "blocks are written as they lie in memory");

typedef struct {
    int fd;
    uint8_t *map; /* for the filters; pages are read, so that they do not count as our memory */
    size_t map_bytes;
    uint64_t entry_count, page_count, group_count, block_count;
    uint8_t *marks; /* the first id of each group */
    block *blocks;
    uint32_t name_count;
    uint32_t *slots; /* run's name number -> slot */
    bool damaged;    /* a page could not be read or did not match its checksum */
} run;

struct hf_index {
    pthread_rwlock_t lock;
    run *runs[RUNS_MAX];
    int run_count;
    uint64_t generation; /* of `runs` and of what they took over from memory */
    entry *table;        /* open addressing; empty entries have slot UINT32_MAX */
    uint64_t table_capacity, table_used;
    entry *written; /* what hf_index_write put into a run, until that is in use; sorted */
    uint64_t written_count;
    uint8_t *names; /* 32 bytes per slot */
    uint8_t *states;
    uint32_t slot_count, slot_capacity;
    uint32_t *by_name; /* open addressing of slot + 1; 0 = empty */
    uint32_t by_name_capacity;
};

/* index.c. The caller holds the write lock. */
/* The slot of the container `name`, a new one if it has none. -1 = no memory. */
int64_t index_slot_of(hf_index *index, const uint8_t name[32]);
/* Where `id` is in the memory table, or the empty entry where it belongs. */
entry *index_cell(entry *table, uint64_t capacity, const uint8_t *id);
int index_grow_table(hf_index *index);

/* index_run.c. A run stays as it is, so no lock is needed but for run_open. */
run *run_open(hf_index *index, int fd, int *error);
void run_free(run *run);
/* Whether the run has `id`; its entry with the run's number of the container. A page that cannot
 * be read counts as empty and marks the run as damaged. */
bool run_find(run *run, const uint8_t *id, entry *found);
/* Reads `page` into `bytes`; gives its number of entries or an error. */
int run_read_page(run *run, uint64_t page, uint8_t bytes[PAGE_BYTES]);
uint64_t page_hash(const uint8_t *page);

/* index_filter.c: which ids a block certainly does not have. */
void filter_shape(uint32_t count, block *block);
size_t filter_bytes(const block *block);
bool filter_has(const uint8_t *filter, const block *block, const uint8_t *id);
/* Fills `filter` (filter_bytes) and block->seed for the `count` different ids in `pages`. */
int filter_build(uint8_t *filter, block *block, const uint8_t *pages, uint32_t count);

/* index_build.c: entries in, a run file out. */
typedef struct builder builder;
builder *builder_new(int fd, uint64_t entries_at_most);
void builder_free(builder *builder);
/* Ids must rise from call to call. */
int builder_add(builder *builder, const entry *entry);
/* `slots`: the containers by the numbers that the entries carry. */
int builder_finish(builder *builder, hf_index *index, const uint32_t *slots, uint32_t count);

#endif
