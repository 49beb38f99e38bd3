/* Sealed containers back to bytes. Everything that comes from a file is hostile until its tag
 * verifies, and is range-checked even then.
 */
#include "internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

enum { CACHED_FRAMES = 8 };

struct hf_directory {
    uint64_t serial; /* unlike the address, never used again */
    uint8_t container_id[16];
    uint8_t key[HF_KEY_BYTES];
    int kind, level;
    uint32_t frame_count, chunk_count, base_count;
    frame_entry *frames;
    uint8_t *bases; /* 32 bytes each */
    uint8_t *ids;
    uint32_t *lengths;
    uint32_t *frame_of; /* chunk -> frame */
};

static atomic_uint_fast64_t next_serial = 1;

void hf_directory_free(hf_directory *directory) {
    if (directory == NULL)
        return;
    OPENSSL_cleanse(directory->key, sizeof directory->key);
    free(directory->frames);
    free(directory->bases);
    free(directory->ids);
    free(directory->lengths);
    free(directory->frame_of);
    free(directory);
}

static void parse_frame(const uint8_t *at, frame_entry *entry) {
    *entry = (frame_entry){
        .offset = get_u32(at),
        .stored_length = get_u32(at + 4),
        .plain_length = get_u32(at + 8),
        .first_chunk = get_u32(at + 12),
        .chunk_count = get_u16(at + 16),
        .codec = at[18],
        .base = get_u32(at + 20),
    };
}

/* A base goes with its codec, and both with one chunk in a container of deltas. */
static bool base_valid(const hf_directory *directory, const frame_entry *entry) {
    if (entry->codec != HF_CODEC_DELTA)
        return entry->base == NO_BASE;
    return directory->kind == HF_KIND_DELTA && entry->base < directory->base_count &&
           entry->chunk_count == 1 && entry->stored_length < entry->plain_length + HF_TAG_BYTES;
}

/* Rules 3 to 5 of docs/format/container.md for one frame. */
static bool frame_valid(const hf_directory *directory, const frame_entry *entry, uint64_t offset,
                        uint32_t first_chunk) {
    if (entry->offset != offset || entry->first_chunk != first_chunk || entry->chunk_count == 0 ||
        entry->chunk_count > directory->chunk_count - first_chunk ||
        entry->plain_length > HF_FRAME_MAX || entry->stored_length <= HF_TAG_BYTES ||
        entry->codec > HF_CODEC_DELTA || !base_valid(directory, entry) ||
        entry->stored_length > ZSTD_compressBound(HF_FRAME_MAX) + HF_TAG_BYTES)
        return false;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < entry->chunk_count; i++) {
        if (directory->lengths[first_chunk + i] == 0)
            return false;
        sum += directory->lengths[first_chunk + i];
    }
    return sum == entry->plain_length &&
           (entry->codec != HF_CODEC_STORED ||
            entry->stored_length == entry->plain_length + HF_TAG_BYTES);
}

static int parse_frames(hf_directory *directory, const uint8_t *at, uint64_t directory_offset) {
    uint64_t offset = HF_HEADER_BYTES;
    uint32_t chunk = 0;
    for (uint32_t i = 0; i < directory->frame_count; i++, at += FRAME_ENTRY_BYTES) {
        frame_entry *entry = &directory->frames[i];
        parse_frame(at, entry);
        if (at[19] != 0 || !frame_valid(directory, entry, offset, chunk))
            return HF_E_FORMAT;
        offset += entry->stored_length;
        for (uint32_t n = 0; n < entry->chunk_count; n++)
            directory->frame_of[chunk++] = i;
    }
    return offset == directory_offset && chunk == directory->chunk_count ? HF_OK : HF_E_FORMAT;
}

/* The field LEVEL of the extension; unknown fields are passed over, and so is what is cut off. */
static int parse_level(const uint8_t *extension, size_t length) {
    for (size_t at = 0; length - at >= 4;) {
        uint16_t tag = get_u16(extension + at), size = get_u16(extension + at + 2);
        if (size > length - at - 4)
            return 0;
        if (tag == EXTENSION_LEVEL && size == 1)
            return extension[at + 4];
        at += 4 + (size_t)size;
    }
    return 0;
}

static int parse_directory(hf_directory *directory, const uint8_t *plain, size_t length,
                           uint64_t directory_offset) {
    if (length < DIRECTORY_HEAD_BYTES)
        return HF_E_FORMAT;
    uint64_t frames = get_u32(plain), chunks = get_u32(plain + 4);
    uint64_t bases = get_u32(plain + 8), extension = get_u32(plain + 12);
    if (chunks == 0 || (bases != 0 && directory->kind != HF_KIND_DELTA) ||
        DIRECTORY_HEAD_BYTES + frames * FRAME_ENTRY_BYTES + chunks * (HF_ID_BYTES + 4) +
                bases * HF_ID_BYTES + extension !=
            length)
        return HF_E_FORMAT;
    directory->frame_count = (uint32_t)frames;
    directory->chunk_count = (uint32_t)chunks;
    directory->base_count = (uint32_t)bases;
    directory->frames = calloc(frames + 1, sizeof *directory->frames);
    directory->bases = malloc(bases * HF_ID_BYTES + 1);
    directory->ids = malloc(chunks * HF_ID_BYTES);
    directory->lengths = malloc(chunks * sizeof *directory->lengths);
    directory->frame_of = malloc(chunks * sizeof *directory->frame_of);
    if (directory->frames == NULL || directory->bases == NULL || directory->ids == NULL ||
        directory->lengths == NULL || directory->frame_of == NULL)
        return HF_E_MEMORY;
    const uint8_t *ids = plain + DIRECTORY_HEAD_BYTES + frames * FRAME_ENTRY_BYTES;
    memcpy(directory->ids, ids, chunks * HF_ID_BYTES);
    memcpy(directory->lengths, ids + chunks * HF_ID_BYTES, chunks * sizeof(uint32_t));
    const uint8_t *base_ids = ids + chunks * (HF_ID_BYTES + 4);
    memcpy(directory->bases, base_ids, bases * HF_ID_BYTES);
    directory->level = parse_level(base_ids + bases * HF_ID_BYTES, extension);
    return parse_frames(directory, plain + DIRECTORY_HEAD_BYTES, directory_offset);
}

static int open_directory(hf_directory *directory, const uint8_t header[64], const uint8_t *sealed,
                          size_t sealed_length, uint64_t directory_offset) {
    if (memcmp(header, "HFCONT01", 8) != 0 || get_u16(header + 8) != 1 ||
        header[10] < HF_KIND_DATA || header[10] > HF_KIND_DELTA || header[11] != 0)
        return HF_E_FORMAT;
    if (sealed_length < HF_TAG_BYTES || sealed_length > HF_CONTAINER_BYTES)
        return HF_E_FORMAT;
    uint8_t *plain = malloc(sealed_length);
    EVP_CIPHER_CTX *gcm = EVP_CIPHER_CTX_new();
    int result = HF_E_MEMORY;
    if (plain != NULL && gcm != NULL) {
        uint8_t nonce[12], aad[DIRECTORY_AAD_BYTES];
        directory_nonce(nonce);
        directory_aad(aad, header, directory_offset);
        result =
            gcm_open(gcm, directory->key, nonce, aad, sizeof aad, sealed, sealed_length, plain);
        if (result == HF_OK)
            result =
                parse_directory(directory, plain, sealed_length - HF_TAG_BYTES, directory_offset);
    }
    EVP_CIPHER_CTX_free(gcm);
    free(plain);
    return result;
}

hf_directory *hf_directory_open(const uint8_t header[64], const uint8_t *sealed,
                                size_t sealed_length, uint64_t directory_offset,
                                const uint8_t container_key[32], int *error) {
    hf_directory *directory = calloc(1, sizeof *directory);
    *error = HF_E_MEMORY;
    if (directory == NULL)
        return NULL;
    directory->serial = atomic_fetch_add(&next_serial, 1);
    directory->kind = header[10];
    memcpy(directory->container_id, header + 16, 16);
    memcpy(directory->key, container_key, HF_KEY_BYTES);
    *error = open_directory(directory, header, sealed, sealed_length, directory_offset);
    if (*error == HF_OK)
        return directory;
    hf_directory_free(directory);
    return NULL;
}

int hf_directory_kind(const hf_directory *directory) { return directory->kind; }
int hf_directory_level(const hf_directory *directory) { return directory->level; }
uint32_t hf_directory_chunks(const hf_directory *directory) { return directory->chunk_count; }
uint32_t hf_directory_frames(const hf_directory *directory) { return directory->frame_count; }
const uint8_t *hf_directory_ids(const hf_directory *directory) { return directory->ids; }
const uint32_t *hf_directory_lengths(const hf_directory *directory) { return directory->lengths; }
const uint32_t *hf_directory_chunk_frames(const hf_directory *directory) {
    return directory->frame_of;
}

int hf_directory_frame(const hf_directory *directory, uint32_t frame, uint32_t *offset,
                       uint32_t *stored_length) {
    if (frame >= directory->frame_count)
        return HF_E_FULL;
    *offset = directory->frames[frame].offset;
    *stored_length = directory->frames[frame].stored_length;
    return HF_OK;
}

int hf_directory_base(const hf_directory *directory, uint32_t frame, uint8_t id[32]) {
    if (frame >= directory->frame_count || directory->frames[frame].base == NO_BASE)
        return 0;
    memcpy(id, directory->bases + (size_t)directory->frames[frame].base * HF_ID_BYTES, HF_ID_BYTES);
    return 1;
}

static bool id_at(const hf_directory *directory, uint32_t ordinal, const uint8_t id[32]) {
    return ordinal < directory->chunk_count &&
           memcmp(directory->ids + (size_t)ordinal * HF_ID_BYTES, id, HF_ID_BYTES) == 0;
}

int hf_directory_locate(const hf_directory *directory, const uint8_t id[32], uint32_t *ordinal,
                        uint32_t *frame, uint32_t *offset, uint32_t *length,
                        uint32_t *frame_length) {
    if (!id_at(directory, *ordinal, id)) {
        uint32_t at = 0;
        while (at < directory->chunk_count && !id_at(directory, at, id))
            at++;
        if (at == directory->chunk_count)
            return HF_E_ID;
        *ordinal = at;
    }
    *frame = directory->frame_of[*ordinal];
    *offset = 0;
    for (uint32_t i = directory->frames[*frame].first_chunk; i < *ordinal; i++)
        *offset += directory->lengths[i];
    *length = directory->lengths[*ordinal];
    *frame_length = directory->frames[*frame].plain_length;
    return HF_OK;
}

/* ---- frames ---- */

typedef struct {
    uint64_t directory; /* serial; 0 = empty */
    uint32_t frame;
    uint64_t used_at;
    uint8_t *plain;
    size_t capacity;
} cached_frame;

struct hf_reader {
    EVP_CIPHER_CTX *gcm;
    ZSTD_DCtx *zstd;
    uint8_t *sealed, *opened, *aad;
    size_t sealed_capacity, opened_capacity, aad_capacity;
    cached_frame cache[CACHED_FRAMES];
    uint64_t clock;
};

hf_reader *hf_reader_new(void) {
    hf_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return NULL;
    reader->gcm = EVP_CIPHER_CTX_new();
    reader->zstd = ZSTD_createDCtx();
    if (reader->gcm != NULL && reader->zstd != NULL)
        return reader;
    hf_reader_free(reader);
    return NULL;
}

void hf_reader_free(hf_reader *reader) {
    if (reader == NULL)
        return;
    EVP_CIPHER_CTX_free(reader->gcm);
    ZSTD_freeDCtx(reader->zstd);
    free(reader->sealed);
    free(reader->opened);
    free(reader->aad);
    for (int i = 0; i < CACHED_FRAMES; i++)
        free(reader->cache[i].plain);
    free(reader);
}

static int reserve(uint8_t **buffer, size_t *capacity, size_t needed) {
    if (needed <= *capacity)
        return HF_OK;
    free(*buffer);
    *buffer = malloc(needed);
    *capacity = *buffer == NULL ? 0 : needed;
    return *buffer == NULL ? HF_E_MEMORY : HF_OK;
}

static int read_exactly(int fd, uint8_t *to, size_t length, uint64_t offset) {
    for (size_t done = 0; done < length;) {
        ssize_t got = pread(fd, to + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return HF_E_IO;
        if (got == 0)
            return HF_E_SHORT;
        done += (size_t)got;
    }
    return HF_OK;
}

static int decompress(hf_reader *reader, const frame_entry *entry, uint8_t *out) {
    size_t length = entry->stored_length - HF_TAG_BYTES;
    /* Alone, the decoder would take several frames in a row. */
    if (ZSTD_findFrameCompressedSize(reader->opened, length) != length)
        return HF_E_FORMAT;
    size_t got =
        ZSTD_decompressDCtx(reader->zstd, out, entry->plain_length, reader->opened, length);
    return got == entry->plain_length ? HF_OK : HF_E_FORMAT;
}

/* Reads and authenticates a frame into `opened`. */
static int open_frame(hf_reader *reader, const hf_directory *directory, int fd, uint32_t frame) {
    const frame_entry *entry = &directory->frames[frame];
    size_t aad_needed = FRAME_AAD_HEAD_BYTES + (size_t)entry->chunk_count * (HF_ID_BYTES + 4);
    if (reserve(&reader->sealed, &reader->sealed_capacity, entry->stored_length) < 0 ||
        reserve(&reader->opened, &reader->opened_capacity, entry->stored_length) < 0 ||
        reserve(&reader->aad, &reader->aad_capacity, aad_needed) < 0)
        return HF_E_MEMORY;
    int result = read_exactly(fd, reader->sealed, entry->stored_length, entry->offset);
    if (result < 0)
        return result;
    uint8_t nonce[12];
    frame_nonce(nonce, frame);
    size_t aad_length = frame_aad(reader->aad, directory->container_id, directory->kind, frame,
                                  entry, directory->ids + (size_t)entry->first_chunk * HF_ID_BYTES,
                                  directory->lengths + entry->first_chunk, directory->bases);
    return gcm_open(reader->gcm, directory->key, nonce, reader->aad, aad_length, reader->sealed,
                    entry->stored_length, reader->opened);
}

int hf_read_frame(hf_reader *reader, const hf_directory *directory, int fd, uint32_t frame,
                  uint8_t *out, size_t capacity) {
    if (frame >= directory->frame_count || capacity < directory->frames[frame].plain_length)
        return HF_E_FULL;
    const frame_entry *entry = &directory->frames[frame];
    if (entry->codec == HF_CODEC_DELTA)
        return HF_E_BASE;
    int result = open_frame(reader, directory, fd, frame);
    if (result < 0)
        return result;
    if (entry->codec == HF_CODEC_ZSTD)
        return decompress(reader, entry, out);
    memcpy(out, reader->opened, entry->plain_length);
    return HF_OK;
}

int hf_read_delta(hf_reader *reader, const hf_directory *directory, int fd, uint32_t frame,
                  const uint8_t *base, size_t base_length, uint8_t *out, size_t capacity) {
    if (frame >= directory->frame_count || capacity < directory->frames[frame].plain_length)
        return HF_E_FULL;
    const frame_entry *entry = &directory->frames[frame];
    if (entry->codec != HF_CODEC_DELTA)
        return HF_E_FORMAT;
    int result = open_frame(reader, directory, fd, frame);
    if (result < 0)
        return result;
    if (ZSTD_isError(ZSTD_DCtx_refPrefix(reader->zstd, base, base_length)))
        return HF_E_CRYPTO;
    result = decompress(reader, entry, out);
    ZSTD_DCtx_reset(reader->zstd, ZSTD_reset_session_only);
    ZSTD_DCtx_refDDict(reader->zstd, NULL); /* no prefix is left for what comes next */
    return result;
}

static int cached(hf_reader *reader, const hf_directory *directory, int fd, uint32_t frame,
                  const uint8_t **plain) {
    cached_frame *oldest = &reader->cache[0];
    for (int i = 0; i < CACHED_FRAMES; i++) {
        cached_frame *cell = &reader->cache[i];
        if (cell->directory == directory->serial && cell->frame == frame) {
            cell->used_at = ++reader->clock;
            *plain = cell->plain;
            return HF_OK;
        }
        if (cell->used_at < oldest->used_at)
            oldest = cell;
    }
    oldest->directory = 0;
    oldest->used_at = 0;
    int result = reserve(&oldest->plain, &oldest->capacity, directory->frames[frame].plain_length);
    if (result == HF_OK)
        result = hf_read_frame(reader, directory, fd, frame, oldest->plain, oldest->capacity);
    if (result < 0)
        return result;
    oldest->directory = directory->serial;
    oldest->frame = frame;
    oldest->used_at = ++reader->clock;
    *plain = oldest->plain;
    return HF_OK;
}

static int read_item(hf_reader *reader, hf_item *item, uint8_t *out, size_t capacity) {
    uint32_t frame, offset, length, frame_length;
    int result = hf_directory_locate(item->directory, item->id, &item->ordinal, &frame, &offset,
                                     &length, &frame_length);
    if (result < 0)
        return result;
    if (length != item->length)
        return HF_E_FORMAT;
    if (item->out_offset > capacity || length > capacity - item->out_offset)
        return HF_E_FULL;
    const uint8_t *plain;
    result = cached(reader, item->directory, item->fd, frame, &plain);
    if (result == HF_OK)
        memcpy(out + item->out_offset, plain + offset, length);
    return result;
}

int hf_read_chunk(hf_reader *reader, const hf_directory *directory, int fd, const uint8_t id[32],
                  uint32_t ordinal, uint8_t *out, size_t capacity, uint32_t *length) {
    uint32_t frame, offset, frame_length;
    int result =
        hf_directory_locate(directory, id, &ordinal, &frame, &offset, length, &frame_length);
    if (result < 0)
        return result;
    if (*length > capacity)
        return HF_E_FULL;
    const uint8_t *plain;
    result = cached(reader, directory, fd, frame, &plain);
    if (result == HF_OK)
        memcpy(out, plain + offset, *length);
    return result;
}

int hf_read(hf_reader *reader, hf_item *items, int count, uint8_t *out, size_t capacity) {
    int failed = 0;
    for (int i = 0; i < count; i++) {
        items[i].result = read_item(reader, &items[i], out, capacity);
        failed += items[i].result < 0;
    }
    return failed;
}

static int verify_frame(hf_reader *reader, const hf_directory *directory, int fd, uint32_t frame,
                        fingerprinter *printer, uint8_t *bad) {
    static const uint32_t CAPACITY = HF_FRAME_MAX;
    const frame_entry *entry = &directory->frames[frame];
    cached_frame *cell = &reader->cache[0];
    cell->directory = 0;
    int result = reserve(&cell->plain, &cell->capacity, CAPACITY);
    if (result < 0)
        return result;
    result = hf_read_frame(reader, directory, fd, frame, cell->plain, cell->capacity);
    if (result == HF_E_MEMORY || result == HF_E_CRYPTO)
        return result;
    bool readable = result == HF_OK;
    const uint8_t *at = cell->plain;
    int damaged = 0;
    for (uint32_t i = entry->first_chunk; i < entry->first_chunk + entry->chunk_count; i++) {
        uint8_t id[HF_ID_BYTES];
        bad[i] = 1;
        if (readable) {
            result = fingerprint(printer, at, directory->lengths[i], id);
            if (result < 0)
                return result;
            bad[i] = id_at(directory, i, id) ? 0 : 1;
        }
        at += directory->lengths[i];
        damaged += bad[i];
    }
    return damaged;
}

int hf_verify(hf_reader *reader, const hf_directory *directory, int fd, const uint8_t id_key[32],
              uint8_t *bad) {
    fingerprinter *printer = fingerprinter_new(id_key);
    if (printer == NULL)
        return HF_E_MEMORY;
    int damaged = 0;
    for (uint32_t frame = 0; frame < directory->frame_count && damaged >= 0; frame++) {
        int result = verify_frame(reader, directory, fd, frame, printer, bad);
        damaged = result < 0 ? result : damaged + result;
    }
    fingerprinter_free(printer);
    return damaged;
}
