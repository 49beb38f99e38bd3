/* Extents in, references out: zero test, tag, cut, fingerprint, look up, and what is new goes to
 * the caller's writer. One ingester and one writer per thread; the index is shared.
 */
#include "internal.h"

#include <stdlib.h>

enum { EXTENT_CHUNKS_MAX = HF_EXTENT_BYTES / HF_CHUNK_MIN + 1 };

struct hf_ingester {
    hf_index *index;
    gear_table gear;
    fingerprinter *printer;
    tagger *tagger;
    hf_stats stats;
    uint32_t ends[EXTENT_CHUNKS_MAX];
};

hf_ingester *hf_ingester_new(hf_index *index, const uint8_t id_key[32], const uint8_t cut_key[32],
                             const uint8_t tag_key[32]) {
    hf_ingester *ingester = calloc(1, sizeof *ingester);
    if (ingester == NULL)
        return NULL;
    ingester->index = index;
    ingester->printer = fingerprinter_new(id_key);
    ingester->tagger = tagger_new(tag_key);
    if (ingester->printer != NULL && ingester->tagger != NULL &&
        gear_table_make(&ingester->gear, cut_key) == HF_OK)
        return ingester;
    hf_ingester_free(ingester);
    return NULL;
}

void hf_ingester_free(hf_ingester *ingester) {
    if (ingester == NULL)
        return;
    fingerprinter_free(ingester->printer);
    tagger_free(ingester->tagger);
    free(ingester);
}

void hf_ingester_stats(const hf_ingester *ingester, hf_stats *stats) { *stats = ingester->stats; }

/* Fingerprints one chunk and stores it unless it is known. */
static int ingest_known_or_new(hf_ingester *ingester, hf_writer *writer, const uint8_t *data,
                               uint32_t length, hf_ref *ref) {
    hf_stats *stats = &ingester->stats;
    uint64_t began = now_ns();
    int result = fingerprint(ingester->printer, data, length, ref->id);
    if (result < 0)
        return result;
    uint64_t printed = now_ns();
    ref->length = length;
    ref->flag = HF_REF_DATA;
    ref->slot = writer_slot(writer);
    ref->ordinal = hf_writer_chunks(writer);
    result = hf_index_claim(ingester->index, ref->id, &ref->slot, &ref->ordinal);
    stats->fingerprint_ns += printed - began;
    stats->lookup_ns += now_ns() - printed;
    if (result < 0)
        return result;
    if (result == 1) {
        stats->known_chunks++;
        return HF_OK;
    }
    stats->new_chunks++;
    stats->new_bytes += length;
    return writer_add(writer, ref->id, data, length, stats);
}

int hf_ingest_chunk(hf_ingester *ingester, hf_writer *writer, const uint8_t *data, uint32_t length,
                    hf_ref *ref) {
    if (length == 0 || length > HF_FRAME_MAX) /* before the index learns of it */
        return HF_E_FORMAT;
    if (!hf_writer_has_room(writer, length))
        return HF_E_FULL;
    return ingest_known_or_new(ingester, writer, data, length, ref);
}

static int ingest_chunks(hf_ingester *ingester, hf_writer *writer, const uint8_t *data,
                         const hf_extent *extent, hf_ref *refs) {
    uint64_t began = now_ns();
    int count = gear_cut(&ingester->gear, data, extent->length, ingester->ends, EXTENT_CHUNKS_MAX);
    ingester->stats.cut_ns += now_ns() - began;
    uint32_t start = 0;
    for (int i = 0; i < count; i++) {
        uint32_t end = ingester->ends[i];
        if (is_zero(data + start, end - start)) {
            refs[i] = (hf_ref){.length = end - start, .flag = HF_REF_ZERO};
        } else {
            int result = ingest_known_or_new(ingester, writer, data + start, end - start, &refs[i]);
            if (result < 0)
                return result;
        }
        start = end;
    }
    return count;
}

int hf_ingest(hf_ingester *ingester, hf_writer *writer, const uint8_t *data, hf_extent *extents,
              int extent_count, hf_ref *refs, uint32_t ref_capacity, uint32_t *refs_used) {
    *refs_used = 0;
    for (int i = 0; i < extent_count; i++) {
        hf_extent *extent = &extents[i];
        const uint8_t *bytes = data + extent->offset;
        if (extent->length == 0 || extent->length > HF_EXTENT_BYTES)
            return HF_E_FORMAT;
        memset(extent->tag, 0, sizeof extent->tag);
        extent->first_ref = *refs_used;
        extent->ref_count = 0;
        extent->status = HF_EXTENT_ZERO;
        if (is_zero(bytes, extent->length))
            continue;
        uint64_t began = now_ns();
        int result = extent_tag(ingester->tagger, bytes, extent->length, extent->tag);
        ingester->stats.tag_ns += now_ns() - began;
        if (result < 0)
            return result;
        extent->status = HF_EXTENT_UNCHANGED;
        if (extent->has_base && memcmp(extent->tag, extent->base_tag, HF_TAG_BYTES) == 0)
            continue;
        extent->status = HF_EXTENT_DATA;
        if (!hf_writer_has_room(writer, extent->length) ||
            ref_capacity - *refs_used < EXTENT_CHUNKS_MAX)
            return i;
        result = ingest_chunks(ingester, writer, bytes, extent, refs + *refs_used);
        if (result < 0)
            return result;
        extent->ref_count = (uint32_t)result;
        *refs_used += extent->ref_count;
    }
    return extent_count;
}
