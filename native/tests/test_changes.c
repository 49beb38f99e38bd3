/* Cutting only around changes gives exactly what cutting the whole extent gives. */
#include "sealed.h"

#include <unistd.h>

enum { EXTENT = HF_EXTENT_BYTES, REFS = 257, ROUNDS = 60 };

/* An extent as the base point knows it. */
typedef struct {
    uint8_t *data;
    uint32_t length;
    uint32_t ends[REFS];
    uint32_t count;
    uint8_t tag[16];
    uint8_t block_tags[HF_EXTENT_BLOCKS * 16];
} known;

typedef struct {
    filler filler;
    known base;
    uint8_t *data;   /* the extent as it is now */
    uint8_t *buffer; /* what the ingester sees */
    hf_ref refs[REFS];
    uint32_t used;
} shop;

static void ingest(shop *shop, hf_extent *extent, uint8_t *data) {
    while (hf_ingest(shop->filler.ingester, shop->filler.writer, data, extent, 1, shop->refs, REFS,
                     &shop->used) == 0) {
        hf_writer_free(shop->filler.writer);
        shop->filler.writer = hf_writer_new(HF_KIND_DATA, CONTAINER_ID, CONTAINER_KEY,
                                            (uint32_t)hf_index_open_slot(shop->filler.index), 1);
    }
}

static void learn_base(shop *shop) {
    hf_extent extent = {.length = shop->base.length, .loaded = UINT64_MAX, .fd = -1};
    ingest(shop, &extent, shop->base.data);
    shop->base.count = extent.ref_count;
    uint32_t end = 0;
    for (uint32_t i = 0; i < extent.ref_count; i++)
        shop->base.ends[i] = end += shop->refs[i].length;
    memcpy(shop->base.tag, extent.tag, 16);
    memcpy(shop->base.block_tags, extent.block_tags, sizeof shop->base.block_tags);
}

static hf_extent compared(const shop *shop) {
    hf_extent extent = {.length = shop->base.length,
                        .loaded = UINT64_MAX,
                        .fd = -1,
                        .has_base = 1,
                        .base_ends = shop->base.ends,
                        .base_count = shop->base.count,
                        .base_block_tags = shop->base.block_tags};
    memcpy(extent.base_tag, shop->base.tag, 16);
    return extent;
}

/* The pieces found are those of a whole cut; the base's pieces hold what the extent holds. */
static void check_pieces(const shop *shop, const hf_extent *extent) {
    uint32_t ends[REFS], at = 0;
    int count = hf_cut(CUT_KEY, shop->data, shop->base.length, ends, REFS);
    CHECK(extent->status == HF_EXTENT_DATA && (int)extent->ref_count == count);
    for (int i = 0; i < count; i++) {
        const hf_ref *ref = &shop->refs[i];
        CHECK(at + ref->length == ends[i]);
        if (ref->flag == HF_REF_BASE) {
            uint32_t start = ref->ordinal == 0 ? 0 : shop->base.ends[ref->ordinal - 1];
            CHECK(start == at && shop->base.ends[ref->ordinal] == ends[i]);
            CHECK(memcmp(shop->base.data + at, shop->data + at, ref->length) == 0);
        } else if (ref->flag == HF_REF_DATA) {
            uint8_t id[32];
            CHECK(hf_chunk_id(ID_KEY, shop->data + at, ref->length, id) == HF_OK);
            CHECK(memcmp(id, ref->id, 32) == 0);
        }
        at = ends[i];
    }
}

static shop *shop_new(chance *chance, uint32_t length, bool is_patterned) {
    shop *shop = calloc(1, sizeof *shop);
    CHECK(shop != NULL);
    shop->filler = filler_new();
    shop->base.length = length;
    shop->base.data = malloc(EXTENT);
    shop->data = malloc(EXTENT);
    shop->buffer = malloc(EXTENT);
    CHECK(shop->base.data != NULL && shop->data != NULL && shop->buffer != NULL);
    chance_fill(chance, shop->base.data, EXTENT);
    if (is_patterned) { /* long runs without any cut, so that the maximum decides */
        memset(shop->base.data + length / 4, 0, length / 4);
        memset(shop->base.data + length / 2, 'x', length / 4);
    }
    learn_base(shop);
    memcpy(shop->data, shop->base.data, EXTENT);
    return shop;
}

static void shop_free(shop *shop) {
    filler_free(&shop->filler);
    free(shop->base.data);
    free(shop->data);
    free(shop->buffer);
    free(shop);
}

/* Changes some runs of bytes; gives the mask of the blocks that were touched. */
static uint64_t edit(shop *shop, chance *chance, uint32_t edits) {
    uint64_t touched = 0;
    for (uint32_t i = 0; i < edits; i++) {
        uint32_t at = (uint32_t)(chance_next(chance) % shop->base.length);
        uint32_t length = 1 + (uint32_t)(chance_next(chance) % (i % 3 == 0 ? 200000 : 600));
        if (length > shop->base.length - at)
            length = shop->base.length - at;
        chance_fill(chance, shop->data + at, length);
        if (chance_next(chance) % 4 == 0)
            memset(shop->data + at, 0, length);
        for (uint32_t block = at / HF_BLOCK_BYTES; block <= (at + length - 1) / HF_BLOCK_BYTES;
             block++)
            touched |= (uint64_t)1 << block;
    }
    return touched;
}

static void only_what_changed_is_cut_again(void) {
    chance chance = {77};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t length = round % 5 == 0 ? 1 + (uint32_t)(chance_next(&chance) % EXTENT) : EXTENT;
        shop *shop = shop_new(&chance, length, round % 3 == 0);
        edit(shop, &chance, 1 + round % 7);
        hf_extent extent = compared(shop);
        memcpy(shop->buffer, shop->data, EXTENT);
        ingest(shop, &extent, shop->buffer);
        if (memcmp(shop->data, shop->base.data, length) == 0)
            CHECK(extent.status == HF_EXTENT_UNCHANGED);
        else if (extent.status != HF_EXTENT_ZERO)
            check_pieces(shop, &extent);
        shop_free(shop);
    }
}

static void a_list_of_changes_reads_only_what_it_needs(void) {
    chance chance = {78};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        shop *shop = shop_new(&chance, EXTENT, round % 3 == 0);
        uint64_t touched = edit(shop, &chance, 1 + round % 3);
        int fd = file_of(shop->data, EXTENT);
        hf_extent extent = compared(shop);
        extent.loaded = 0;
        extent.fd = fd;
        extent.tagged = ~touched;
        memcpy(extent.block_tags, shop->base.block_tags, sizeof extent.block_tags);
        chance_fill(&chance, shop->buffer, EXTENT); /* what is not read must not matter */
        ingest(shop, &extent, shop->buffer);
        if (extent.status != HF_EXTENT_UNCHANGED)
            check_pieces(shop, &extent);
        if (round % 3 == 1) /* one edit of a few bytes or one long one */
            CHECK(extent.read_bytes <= 200000 + 5 * HF_CHUNK_MAX);
        CHECK(extent.read_bytes <= EXTENT);
        close(fd);
        shop_free(shop);
    }
}

static void the_tag_does_not_depend_on_how_it_came_about(void) {
    chance chance = {79};
    shop *shop = shop_new(&chance, EXTENT, false);
    uint64_t touched = edit(shop, &chance, 3);
    hf_extent whole = {.length = EXTENT, .loaded = UINT64_MAX, .fd = -1};
    memcpy(shop->buffer, shop->data, EXTENT);
    ingest(shop, &whole, shop->buffer);
    int fd = file_of(shop->data, EXTENT);
    hf_extent part = compared(shop);
    part.loaded = 0;
    part.fd = fd;
    part.tagged = ~touched;
    memcpy(part.block_tags, shop->base.block_tags, sizeof part.block_tags);
    ingest(shop, &part, shop->buffer);
    CHECK(memcmp(whole.tag, part.tag, 16) == 0);
    CHECK(memcmp(whole.block_tags, part.block_tags, sizeof whole.block_tags) == 0);
    close(fd);
    shop_free(shop);
}

static void what_cannot_be_read_is_said(void) {
    chance chance = {80};
    shop *shop = shop_new(&chance, EXTENT, false);
    hf_extent extent = compared(shop);
    extent.loaded = 0;
    extent.tagged = ~(uint64_t)1;
    ingest(shop, &extent, shop->buffer); /* fd is -1 */
    CHECK(extent.status == HF_EXTENT_UNREAD && extent.ref_count == 0);
    shop_free(shop);
}

static void a_base_that_does_not_fit_is_refused(void) {
    chance chance = {81};
    shop *shop = shop_new(&chance, EXTENT, false);
    memcpy(shop->buffer, shop->data, EXTENT);
    shop->buffer[5]++;
    hf_extent extent = compared(shop);
    extent.base_count--;
    CHECK(hf_ingest(shop->filler.ingester, shop->filler.writer, shop->buffer, &extent, 1,
                    shop->refs, REFS, &shop->used) == HF_E_FORMAT);
    extent = compared(shop);
    extent.base_ends = NULL; /* not known yet: it asks */
    ingest(shop, &extent, shop->buffer);
    CHECK(extent.status == HF_EXTENT_CHANGED);
    shop_free(shop);
}

const test CHANGES_TESTS[] = {
    {"only what changed is cut again", only_what_changed_is_cut_again},
    {"a list of changes reads only what it needs", a_list_of_changes_reads_only_what_it_needs},
    {"the tag does not depend on how it came about", the_tag_does_not_depend_on_how_it_came_about},
    {"what cannot be read is said", what_cannot_be_read_is_said},
    {"a base that does not fit is refused", a_base_that_does_not_fit_is_refused},
    {NULL, NULL},
};
