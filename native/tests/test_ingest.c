/* Extents to references: zeros, unchanged, known, new, and where room ends. */
#include "sealed.h"

#include <unistd.h>

enum { EXTENT = HF_EXTENT_BYTES, EXTENT_REFS = 257, EXTENTS = 9 };

typedef struct {
    filler filler;
    uint8_t *data;
    hf_extent extents[EXTENTS];
    hf_ref refs[EXTENTS * EXTENT_REFS];
    uint32_t used;
} batch;

/* Each extent is random. */
static batch *batch_new(void) {
    batch *batch = calloc(1, sizeof *batch);
    CHECK(batch != NULL);
    batch->filler = filler_new();
    batch->data = malloc((size_t)EXTENTS * EXTENT);
    CHECK(batch->data != NULL);
    chance chance = {21};
    chance_fill(&chance, batch->data, (size_t)EXTENTS * EXTENT);
    for (uint32_t i = 0; i < EXTENTS; i++)
        batch->extents[i] = (hf_extent){
            .offset = (uint64_t)i * EXTENT, .length = EXTENT, .loaded = UINT64_MAX, .fd = -1};
    return batch;
}

static void batch_free(batch *batch) {
    filler_free(&batch->filler);
    free(batch->data);
    free(batch);
}

/* From the beginning, whatever became of the extents before. */
static int ingest(batch *batch, int first, int count) {
    for (int i = first; i < first + count; i++) {
        batch->extents[i].status = HF_EXTENT_PENDING;
        batch->extents[i].tagged = 0;
    }
    return hf_ingest(batch->filler.ingester, batch->filler.writer, batch->data,
                     batch->extents + first, count, batch->refs, EXTENTS * EXTENT_REFS,
                     &batch->used);
}

static hf_stats stats_of(const batch *batch) {
    hf_stats stats;
    hf_ingester_stats(batch->filler.ingester, &stats);
    return stats;
}

static void extents_become_chunks_that_come_back(void) {
    batch *batch = batch_new();
    memset(batch->data + 100, 0, EXTENT - 200); /* mostly zeros, but not all */
    CHECK(ingest(batch, 0, 3) == 3);
    for (int i = 0; i < 3; i++) {
        const hf_extent *extent = &batch->extents[i];
        uint32_t ends[EXTENT_REFS], end = 0, zeros = 0;
        CHECK(extent->status == HF_EXTENT_DATA);
        CHECK(hf_cut(CUT_KEY, batch->data + extent->offset, EXTENT, ends, EXTENT_REFS) ==
              (int)extent->ref_count);
        for (uint32_t n = 0; n < extent->ref_count; n++) {
            end += batch->refs[extent->first_ref + n].length;
            CHECK(end == ends[n]);
            zeros += batch->refs[extent->first_ref + n].flag == HF_REF_ZERO;
        }
        CHECK(end == EXTENT && (i == 0 ? zeros > 10 : zeros == 0));
    }
    sealed sealed = filler_seal(&batch->filler);
    hf_directory *directory = sealed_directory(&sealed);
    int fd = file_of(sealed.data, sealed.length);
    hf_reader *reader = hf_reader_new();
    uint8_t *out = calloc(1, 3 * EXTENT);
    CHECK(out != NULL);
    uint64_t at = 0;
    for (uint32_t n = 0; n < batch->used; at += batch->refs[n++].length) {
        hf_item item = item_of(directory, fd, &batch->refs[n]);
        item.out_offset = at;
        if (batch->refs[n].flag == HF_REF_DATA)
            CHECK(hf_read(reader, &item, 1, out, 3 * EXTENT) == 0);
    }
    CHECK(memcmp(out, batch->data, 3 * EXTENT) == 0);
    hf_reader_free(reader);
    hf_directory_free(directory);
    batch_free(batch);
    free(sealed.data);
    free(out);
    close(fd);
}

static void zeros_cost_nothing(void) {
    batch *batch = batch_new();
    memset(batch->data, 0, (size_t)EXTENTS * EXTENT);
    batch->extents[1].length = 1;
    batch->extents[2].length = 17;
    CHECK(ingest(batch, 0, 3) == 3 && batch->used == 0);
    for (int i = 0; i < 3; i++) {
        static const uint8_t NO_TAG[16];
        CHECK(batch->extents[i].status == HF_EXTENT_ZERO);
        CHECK(memcmp(batch->extents[i].tag, NO_TAG, 16) == 0);
    }
    batch->data[EXTENT - 1] = 1; /* one byte that is not, at either end */
    batch->data[EXTENT] = 1;
    CHECK(ingest(batch, 0, 2) == 2 && batch->used > 1);
    CHECK(batch->extents[0].status == HF_EXTENT_DATA && batch->extents[1].ref_count == 1);
    batch_free(batch);
}

static void an_equal_tag_means_unchanged(void) {
    batch *batch = batch_new();
    CHECK(ingest(batch, 0, 2) == 2);
    for (int i = 0; i < 2; i++) {
        batch->extents[i].has_base = 1;
        memcpy(batch->extents[i].base_tag, batch->extents[i].tag, 16);
    }
    uint64_t known = stats_of(batch).known_chunks, added = stats_of(batch).new_chunks;
    batch->data[EXTENT + 5]++;
    CHECK(ingest(batch, 0, 2) == 2);
    CHECK(batch->extents[0].status == HF_EXTENT_UNCHANGED && batch->extents[0].ref_count == 0);
    CHECK(batch->extents[1].status == HF_EXTENT_CHANGED && batch->used == 0);
    batch->extents[1].has_base = 0; /* without its pieces all is cut */
    CHECK(ingest(batch, 1, 1) == 1);
    CHECK(batch->extents[1].status == HF_EXTENT_DATA && batch->extents[1].first_ref == 0);
    /* One chunk differs; all others are known. */
    CHECK(stats_of(batch).new_chunks == added + 1);
    CHECK(stats_of(batch).known_chunks == known + batch->extents[1].ref_count - 1);
    batch_free(batch);
}

static void what_is_known_is_not_stored_again(void) {
    batch *batch = batch_new();
    CHECK(ingest(batch, 0, 1) == 1);
    hf_ref refs[EXTENT_REFS];
    memcpy(refs, batch->refs, sizeof refs);
    CHECK(stats_of(batch).new_bytes == EXTENT);
    CHECK(ingest(batch, 0, 1) == 1);
    CHECK(stats_of(batch).new_bytes == EXTENT);
    CHECK(memcmp(refs, batch->refs, batch->extents[0].ref_count * sizeof(hf_ref)) == 0);
    batch_free(batch);
}

static void an_extent_that_does_not_fit_goes_on_in_the_next_container(void) {
    batch *batch = batch_new();
    CHECK(ingest(batch, 0, EXTENTS) == 7); /* 28 MiB of random bytes, and what fits of the next */
    CHECK(batch->extents[7].status == HF_EXTENT_PENDING && batch->extents[7].ref_count == 0);
    uint32_t old = batch->refs[0].slot;
    uint32_t full = hf_writer_chunks(batch->filler.writer);
    CHECK(ingest(batch, 7, 2) == 0 && batch->used == 0);
    CHECK(hf_writer_chunks(batch->filler.writer) == full);
    sealed sealed = filler_seal(&batch->filler);
    CHECK(sealed.length > HF_CONTAINER_BYTES - 2 * HF_FRAME_TARGET - HF_CHUNK_MAX);
    free(sealed.data);
    hf_writer_free(batch->filler.writer);
    uint32_t slot = (uint32_t)hf_index_open_slot(batch->filler.index);
    batch->filler.writer = hf_writer_new(HF_KIND_DATA, CONTAINER_ID, CONTAINER_KEY, slot, 3);
    CHECK(ingest(batch, 7, 2) == 2 &&
          batch->used == batch->extents[7].ref_count + batch->extents[8].ref_count);
    uint32_t before = 0, end = 0;
    while (batch->refs[before].slot == old)
        end += batch->refs[before++].length;
    CHECK(before > 0 && before < batch->extents[7].ref_count);
    for (uint32_t n = before; n < batch->used; n++) {
        CHECK(batch->refs[n].slot == slot && batch->refs[n].ordinal == n - before);
        end += batch->refs[n].length;
    }
    CHECK(end == 2 * EXTENT);
    /* However often it came, each chunk was new once. */
    CHECK(stats_of(batch).new_bytes == (uint64_t)EXTENTS * EXTENT);
    CHECK(stats_of(batch).known_chunks == 0);
    batch_free(batch);
}

static void references_that_do_not_fit_are_left_for_the_next_call(void) {
    batch *batch = batch_new();
    uint32_t used;
    CHECK(hf_ingest(batch->filler.ingester, batch->filler.writer, batch->data, batch->extents, 3,
                    batch->refs, EXTENT_REFS, &used) == 1);
    CHECK(used == batch->extents[0].ref_count);
    CHECK(batch->extents[1].status == HF_EXTENT_PENDING);
    batch->extents[0].status = HF_EXTENT_PENDING;
    CHECK(hf_ingest(batch->filler.ingester, batch->filler.writer, batch->data, batch->extents, 3,
                    batch->refs, EXTENT_REFS - 1, &used) == 0);
    batch_free(batch);
}

static void impossible_extents_are_refused(void) {
    batch *batch = batch_new();
    batch->extents[0].length = 0;
    CHECK(ingest(batch, 0, 1) == HF_E_FORMAT);
    batch->extents[0].length = EXTENT + 1;
    CHECK(ingest(batch, 0, 1) == HF_E_FORMAT);
    batch_free(batch);
}

const test INGEST_TESTS[] = {
    {"extents become chunks that come back", extents_become_chunks_that_come_back},
    {"zeros cost nothing", zeros_cost_nothing},
    {"an equal tag means unchanged", an_equal_tag_means_unchanged},
    {"what is known is not stored again", what_is_known_is_not_stored_again},
    {"an extent that does not fit goes on in the next container",
     an_extent_that_does_not_fit_goes_on_in_the_next_container},
    {"references that do not fit are left for the next call",
     references_that_do_not_fit_are_left_for_the_next_call},
    {"impossible extents are refused", impossible_extents_are_refused},
    {NULL, NULL},
};
