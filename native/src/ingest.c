/* Extents in, references out: zero test, tags, cut, fingerprint, look up, and what is new goes to
 * the caller's writer. One ingester and one writer per thread; the index is shared.
 *
 * Where the base's pieces are known, only what lies around changed blocks is cut again: cuts depend
 * on nothing before the chunk's start, so cutting that begins at an old boundary and meets an old
 * boundary again goes on exactly as it did then. The result is the one of cutting the whole extent.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXTENT_CHUNKS_MAX = HF_EXTENT_BYTES / HF_CHUNK_MIN + 1 };

struct hf_ingester {
    hf_index *index;
    gear_table gear;
    fingerprinter *printer;
    tagger *tagger;
    hf_stats stats;
    int counted; /* chunks of the extent that did not fit: stored and counted, but not done */
    uint32_t ends[EXTENT_CHUNKS_MAX];
    /* The chunks of one extent that need an id. */
    int span_count;
    const uint8_t *spans[EXTENT_CHUNKS_MAX];
    uint32_t span_lengths[EXTENT_CHUNKS_MAX];
    uint8_t span_ids[EXTENT_CHUNKS_MAX][HF_ID_BYTES];
    hf_ref *span_refs[EXTENT_CHUNKS_MAX];
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

/* ---- chunks ---- */

/* Stores a chunk whose id is in `ref` unless it is known. HF_E_FULL before the index learns of it.
 */
static int store_chunk(hf_ingester *ingester, hf_writer *writer, const uint8_t *data,
                       uint32_t length, hf_ref *ref) {
    if (!hf_writer_has_room(writer, length))
        return HF_E_FULL;
    hf_stats *stats = &ingester->stats;
    uint64_t began = now_ns();
    ref->length = length;
    ref->flag = HF_REF_DATA;
    ref->slot = writer_slot(writer);
    ref->ordinal = hf_writer_chunks(writer);
    int result = hf_index_claim(ingester->index, ref->id, &ref->slot, &ref->ordinal);
    stats->lookup_ns += now_ns() - began;
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
    if (!hf_writer_has_room(writer, length)) /* before it costs anything */
        return HF_E_FULL;
    int result = fingerprint(ingester->printer, data, length, ref->id);
    return result < 0 ? result : store_chunk(ingester, writer, data, length, ref);
}

static void add_span(hf_ingester *ingester, const uint8_t *data, uint32_t length, hf_ref *ref) {
    if (is_zero(data, length)) {
        *ref = (hf_ref){.length = length, .flag = HF_REF_ZERO};
        return;
    }
    ingester->spans[ingester->span_count] = data;
    ingester->span_lengths[ingester->span_count] = length;
    ingester->span_refs[ingester->span_count++] = ref;
}

/* HF_E_FULL where room ends in the middle: what is stored by then is known when the extent comes
 * again, and not counted twice. */
static int store_spans(hf_ingester *ingester, hf_writer *writer) {
    uint64_t began = now_ns();
    int result = fingerprint_many(ingester->printer, ingester->spans, ingester->span_lengths,
                                  ingester->span_ids, ingester->span_count);
    ingester->stats.fingerprint_ns += now_ns() - began;
    int stored = 0;
    for (; stored < ingester->span_count && result >= 0; stored += result >= 0) {
        hf_ref *ref = ingester->span_refs[stored];
        memcpy(ref->id, ingester->span_ids[stored], HF_ID_BYTES);
        result = store_chunk(ingester, writer, ingester->spans[stored],
                             ingester->span_lengths[stored], ref);
    }
    ingester->stats.known_chunks -= (uint64_t)ingester->counted;
    ingester->counted = result == HF_E_FULL ? stored : 0;
    return result;
}

/* ---- blocks ---- */

static uint32_t block_count(const hf_extent *extent) {
    return (extent->length + HF_BLOCK_BYTES - 1) / HF_BLOCK_BYTES;
}

/* The mask of the blocks that bytes [start, end) touch; start < end. */
static uint64_t blocks_of(uint32_t start, uint32_t end) {
    uint32_t first = start / HF_BLOCK_BYTES, last = (end - 1) / HF_BLOCK_BYTES;
    return (UINT64_MAX >> (63 - last)) & (UINT64_MAX << first);
}

static bool read_range(hf_extent *extent, uint8_t *bytes, uint32_t start, uint32_t end) {
    while (start < end) {
        ssize_t got =
            pread(extent->fd, bytes + start, end - start, (off_t)(extent->disk_offset + start));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        start += (uint32_t)got;
        extent->read_bytes += (uint32_t)got;
    }
    return true;
}

/* Reads those of `wanted` that are not in the buffer yet, neighbours in one go. */
static bool load_blocks(hf_extent *extent, uint8_t *bytes, uint64_t wanted) {
    uint64_t missing = wanted & ~extent->loaded;
    for (uint32_t block = 0; missing >> block != 0 && block < HF_EXTENT_BLOCKS;) {
        uint32_t after = block;
        while (after < HF_EXTENT_BLOCKS && missing >> after & 1)
            after++;
        if (after == block) {
            block++;
            continue;
        }
        uint32_t start = block * HF_BLOCK_BYTES, end = after * HF_BLOCK_BYTES;
        if (end > extent->length)
            end = extent->length;
        if (!read_range(extent, bytes, start, end))
            return false;
        block = after;
        if (block == HF_EXTENT_BLOCKS)
            break;
    }
    extent->loaded |= missing;
    return true;
}

/* Tags what is not tagged, then the extent: the tag of its blocks' tags. */
static int tag_extent(hf_ingester *ingester, hf_extent *extent, uint8_t *bytes) {
    uint32_t count = block_count(extent);
    uint64_t began = now_ns();
    for (uint32_t block = 0; block < count; block++) {
        if (extent->tagged >> block & 1)
            continue;
        uint32_t start = block * HF_BLOCK_BYTES, rest = extent->length - start;
        int result =
            extent_tag(ingester->tagger, bytes + start,
                       rest < HF_BLOCK_BYTES ? rest : HF_BLOCK_BYTES, extent->block_tags[block]);
        if (result < 0)
            return result;
        extent->tagged |= (uint64_t)1 << block;
    }
    int result = extent_tag(ingester->tagger, extent->block_tags[0], (size_t)count * HF_TAG_BYTES,
                            extent->tag);
    ingester->stats.tag_ns += now_ns() - began;
    return result;
}

static uint64_t changed_blocks(const hf_extent *extent) {
    uint64_t changed = 0;
    for (uint32_t block = 0; block < block_count(extent); block++)
        if (memcmp(extent->block_tags[block], extent->base_block_tags + block * HF_TAG_BYTES,
                   HF_TAG_BYTES) != 0)
            changed |= (uint64_t)1 << block;
    return changed;
}

/* ---- extents ---- */

static int cut(hf_ingester *ingester, const uint8_t *data, uint32_t length) {
    uint64_t began = now_ns();
    int count = gear_cut(&ingester->gear, data, length, ingester->ends, EXTENT_CHUNKS_MAX);
    ingester->stats.cut_ns += now_ns() - began;
    return count;
}

static int plan_whole(hf_ingester *ingester, const hf_extent *extent, const uint8_t *bytes,
                      hf_ref *refs) {
    int count = cut(ingester, bytes, extent->length);
    for (int i = 0; i < count; i++) {
        uint32_t start = i == 0 ? 0 : ingester->ends[i - 1];
        add_span(ingester, bytes + start, ingester->ends[i] - start, &refs[i]);
    }
    return count;
}

/* Cuts on from `start` until a base piece begins there again: gives that place, or the end. */
static int64_t cut_again(hf_ingester *ingester, hf_extent *extent, uint8_t *bytes, uint32_t start,
                         uint32_t *piece, hf_ref *refs, int *ref_count) {
    uint32_t stop = extent->length - start > HF_CHUNK_MAX ? start + HF_CHUNK_MAX : extent->length;
    if (!load_blocks(extent, bytes, blocks_of(start, stop)))
        return HF_E_IO;
    int count = cut(ingester, bytes + start, stop - start);
    uint32_t from = start;
    for (int i = 0; i < count; i++) {
        uint32_t end = start + ingester->ends[i];
        /* A cut at the end of what was looked at is one only if nothing behind could move it. */
        if (end == stop && stop < extent->length && end - from < HF_CHUNK_MAX)
            break;
        if (*ref_count == EXTENT_CHUNKS_MAX)
            return HF_E_FORMAT;
        add_span(ingester, bytes + from, end - from, &refs[(*ref_count)++]);
        from = end;
        while (*piece < extent->base_count && extent->base_ends[*piece] <= from)
            (*piece)++;
        if (*piece > 0 && extent->base_ends[*piece - 1] == from)
            break;
    }
    return from;
}

/* Refs of an extent whose base is known: pieces without changed blocks are the base's. */
static int plan_changes(hf_ingester *ingester, hf_extent *extent, uint8_t *bytes, hf_ref *refs) {
    uint64_t changed = changed_blocks(extent);
    uint32_t at = 0, piece = 0;
    int ref_count = 0;
    while (at < extent->length) {
        uint32_t began = piece == 0 ? 0 : extent->base_ends[piece - 1];
        if (began == at && piece < extent->base_count &&
            (blocks_of(at, extent->base_ends[piece]) & changed) == 0) {
            if (ref_count == EXTENT_CHUNKS_MAX)
                return HF_E_FORMAT;
            refs[ref_count++] = (hf_ref){
                .ordinal = piece, .length = extent->base_ends[piece] - at, .flag = HF_REF_BASE};
            ingester->stats.reused_chunks++;
            at = extent->base_ends[piece++];
            continue;
        }
        int64_t reached = cut_again(ingester, extent, bytes, at, &piece, refs, &ref_count);
        if (reached < 0)
            return (int)reached;
        at = (uint32_t)reached;
    }
    return ref_count;
}

static bool is_base_sane(const hf_extent *extent) {
    uint32_t before = 0;
    for (uint32_t i = 0; i < extent->base_count; before = extent->base_ends[i++])
        if (extent->base_ends[i] <= before)
            return false;
    return before == extent->length;
}

/* Everything but the storing of what is new: sets status and tag. HF_OK or an error. */
static int compare(hf_ingester *ingester, hf_extent *extent, uint8_t *bytes) {
    uint64_t all = blocks_of(0, extent->length);
    memset(extent->tag, 0, sizeof extent->tag);
    if ((extent->loaded & all) == all && is_zero(bytes, extent->length)) {
        extent->status = HF_EXTENT_ZERO;
        return HF_OK;
    }
    if (!load_blocks(extent, bytes, all & ~extent->tagged)) {
        extent->status = HF_EXTENT_UNREAD;
        return HF_OK;
    }
    int result = tag_extent(ingester, extent, bytes);
    if (result < 0)
        return result;
    extent->status = HF_EXTENT_DATA;
    if (!extent->has_base)
        return HF_OK;
    if (memcmp(extent->tag, extent->base_tag, HF_TAG_BYTES) == 0)
        extent->status = HF_EXTENT_UNCHANGED;
    else if (extent->base_ends == NULL)
        extent->status = HF_EXTENT_CHANGED;
    else if (!is_base_sane(extent))
        return HF_E_FORMAT;
    return HF_OK;
}

int hf_ingest(hf_ingester *ingester, hf_writer *writer, uint8_t *data, hf_extent *extents,
              int extent_count, hf_ref *refs, uint32_t ref_capacity, uint32_t *refs_used) {
    *refs_used = 0;
    for (int i = 0; i < extent_count; i++) {
        hf_extent *extent = &extents[i];
        uint8_t *bytes = data + extent->offset;
        if (extent->length == 0 || extent->length > HF_EXTENT_BYTES)
            return HF_E_FORMAT;
        extent->first_ref = *refs_used;
        extent->ref_count = 0;
        if (extent->status != HF_EXTENT_PENDING)
            continue;
        int result = compare(ingester, extent, bytes);
        if (result < 0)
            return result;
        if (extent->status != HF_EXTENT_DATA)
            continue;
        if (ref_capacity - *refs_used < EXTENT_CHUNKS_MAX) {
            extent->status = HF_EXTENT_PENDING;
            return i;
        }
        ingester->span_count = 0;
        hf_ref *found = refs + *refs_used;
        result = extent->has_base ? plan_changes(ingester, extent, bytes, found)
                                  : plan_whole(ingester, extent, bytes, found);
        if (result == HF_E_IO) {
            extent->status = HF_EXTENT_UNREAD;
            continue;
        }
        if (result < 0)
            return result;
        uint32_t ref_count = (uint32_t)result;
        result = store_spans(ingester, writer);
        if (result == HF_E_FULL) {
            extent->status = HF_EXTENT_PENDING;
            return i;
        }
        if (result < 0)
            return result;
        extent->ref_count = ref_count;
        *refs_used += ref_count;
    }
    return extent_count;
}
