/* A run of the index as it is written: entries arrive in order, a block at a time is completed by
 * its checksums and its filter and goes to the file; marks, blocks and names follow, the head last.
 * Memory: one block and what building its filter takes, however long the run.
 */
#include "index.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

struct builder {
    int fd;
    uint64_t offset;           /* where the next bytes go */
    uint64_t entries;          /* in all */
    uint32_t used, block_room; /* entries of the block that is being filled */
    uint8_t *pages;
    uint8_t *marks;
    uint64_t mark_count, mark_room;
    block *blocks;
    uint64_t block_count, block_capacity;
};

builder *builder_new(int fd, uint64_t entries_at_most) {
    builder *builder = calloc(1, sizeof *builder);
    if (builder == NULL)
        return NULL;
    uint64_t pages = entries_at_most / PAGE_ENTRIES + 1;
    uint64_t room = pages < BLOCK_PAGES ? pages : BLOCK_PAGES;
    builder->fd = fd;
    builder->offset = PAGE_BYTES; /* the head's place */
    builder->block_room = (uint32_t)room * PAGE_ENTRIES;
    builder->mark_room = pages / GROUP_PAGES + 1;
    builder->block_capacity = pages / BLOCK_PAGES + 1;
    builder->pages = calloc(room, PAGE_BYTES);
    builder->marks = malloc(builder->mark_room * MARK_BYTES);
    builder->blocks = malloc(builder->block_capacity * sizeof *builder->blocks);
    if (builder->pages != NULL && builder->marks != NULL && builder->blocks != NULL)
        return builder;
    builder_free(builder);
    return NULL;
}

void builder_free(builder *builder) {
    if (builder == NULL)
        return;
    free(builder->pages);
    free(builder->marks);
    free(builder->blocks);
    free(builder);
}

static int write_at(int fd, const uint8_t *bytes, size_t length, uint64_t offset) {
    for (size_t done = 0; done < length;) {
        ssize_t wrote = pwrite(fd, bytes + done, length - done, (off_t)(offset + done));
        if (wrote < 0 && errno != EINTR)
            return HF_E_IO;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return HF_OK;
}

static int append(builder *builder, const uint8_t *bytes, size_t length) {
    int result = write_at(builder->fd, bytes, length, builder->offset);
    builder->offset += length;
    return result;
}

static size_t padded(size_t length) { return (length + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES; }

static int flush_block(builder *builder) {
    size_t page_count = (builder->used + PAGE_ENTRIES - 1) / PAGE_ENTRIES;
    block *block = &builder->blocks[builder->block_count++];
    *block = (struct block){.offset = builder->offset};
    filter_shape(builder->used, block);
    size_t filter_room = padded(filter_bytes(block));
    uint8_t *filter = calloc(1, filter_room);
    int result =
        filter == NULL ? HF_E_MEMORY : filter_build(filter, block, builder->pages, builder->used);
    for (size_t page = 0; page < page_count; page++) {
        uint8_t *bytes = builder->pages + page * PAGE_BYTES;
        if (page % GROUP_PAGES == 0)
            memcpy(builder->marks + builder->mark_count++ * MARK_BYTES, bytes, MARK_BYTES);
        put_u64(bytes + PAGE_HASHED_BYTES, page_hash(bytes));
    }
    if (result == HF_OK)
        result = append(builder, builder->pages, page_count * PAGE_BYTES);
    if (result == HF_OK)
        result = append(builder, filter, filter_room);
    free(filter);
    memset(builder->pages, 0, page_count * PAGE_BYTES);
    builder->used = 0;
    return result;
}

int builder_add(builder *builder, const entry *entry) {
    if (builder->used == builder->block_room) {
        int result = flush_block(builder);
        if (result < 0)
            return result;
    }
    uint32_t at = builder->used++;
    memcpy(builder->pages + (size_t)(at / PAGE_ENTRIES) * PAGE_BYTES +
               (size_t)(at % PAGE_ENTRIES) * ENTRY_BYTES,
           entry, sizeof *entry);
    builder->entries++;
    return HF_OK;
}

/* ---- tail and head ---- */

static void copy_name(hf_index *index, uint32_t slot, uint8_t *name) {
    pthread_rwlock_rdlock(&index->lock);
    memcpy(name, index->names + (size_t)slot * NAME_BYTES, NAME_BYTES);
    pthread_rwlock_unlock(&index->lock);
}

static int append_hashed(builder *builder, XXH3_state_t *state, const void *bytes, size_t length) {
    XXH3_64bits_update(state, bytes, length);
    return append(builder, bytes, length);
}

static int append_tail(builder *builder, XXH3_state_t *state, hf_index *index,
                       const uint32_t *slots, uint32_t count) {
    enum { BATCH = 256 };
    uint8_t names[BATCH * NAME_BYTES];
    int result = append_hashed(builder, state, builder->marks, builder->mark_count * MARK_BYTES);
    if (result == HF_OK)
        result =
            append_hashed(builder, state, builder->blocks, builder->block_count * BLOCK_HEAD_BYTES);
    for (uint32_t from = 0; result == HF_OK && from < count; from += BATCH) {
        uint32_t batch = count - from < BATCH ? count - from : BATCH;
        for (uint32_t i = 0; i < batch; i++)
            copy_name(index, slots[from + i], names + (size_t)i * NAME_BYTES);
        result = append_hashed(builder, state, names, (size_t)batch * NAME_BYTES);
    }
    return result;
}

int builder_finish(builder *builder, hf_index *index, const uint32_t *slots, uint32_t count) {
    int result = builder->used > 0 ? flush_block(builder) : HF_OK;
    XXH3_state_t *state = XXH3_createState();
    uint64_t tail = builder->offset;
    if (state == NULL)
        return HF_E_MEMORY;
    XXH3_64bits_reset(state);
    if (result == HF_OK)
        result = append_tail(builder, state, index, slots, count);
    uint8_t head[PAGE_BYTES] = RUN_MAGIC;
    put_u64(head + 8, builder->entries);
    put_u64(head + 16, count);
    put_u64(head + 24, tail);
    put_u64(head + 32, XXH3_64bits_digest(state));
    put_u64(head + 56, XXH3_64bits(head, 56));
    XXH3_freeState(state);
    return result == HF_OK ? write_at(builder->fd, head, sizeof head, 0) : result;
}
