/* Shared between the source files; not for callers. */
#ifndef HF_INTERNAL_H
#define HF_INTERNAL_H

#include "holdfast.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

/* x86-64 and arm64 Linux are little-endian, as the formats are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats are little-endian");

static inline void put_u16(uint8_t *to, uint16_t value) { memcpy(to, &value, sizeof value); }
static inline void put_u32(uint8_t *to, uint32_t value) { memcpy(to, &value, sizeof value); }
static inline void put_u64(uint8_t *to, uint64_t value) { memcpy(to, &value, sizeof value); }
static inline uint16_t get_u16(const uint8_t *from) {
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}
static inline uint32_t get_u32(const uint8_t *from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}
static inline uint64_t get_u64(const uint8_t *from) {
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* libc's memcmp is the fastest zero test at hand (measured 14 GB/s): compare with itself, shifted.
 */
static inline bool is_zero(const uint8_t *data, size_t length) {
    size_t head = length < 16 ? length : 16;
    for (size_t i = 0; i < head; i++)
        if (data[i] != 0)
            return false;
    return length <= 16 || memcmp(data, data + 16, length - 16) == 0;
}

/* cut.c */
typedef struct gear_table gear_table;
/* The end of the chunk: behind the first place in [from, to) whose hash has no bit of `mask`, or
 * to + 1. The 64 bytes before `from` must exist: 32 of them are hashed. */
typedef size_t gear_scanner(const gear_table *table, const uint8_t *data, size_t from, size_t to,
                            uint32_t mask);
struct gear_table {
    uint8_t of[256];
    gear_scanner *scan; /* gear_scan, or a faster one with the same results */
};
gear_scanner gear_scan;
int gear_table_make(gear_table *table, const uint8_t cut_key[32]);
int gear_cut(const gear_table *table, const uint8_t *data, size_t length, uint32_t *ends,
             int capacity);

/* fingerprint.c */
typedef struct fingerprinter fingerprinter;
fingerprinter *fingerprinter_new(const uint8_t key[32]);
void fingerprinter_free(fingerprinter *printer);
int fingerprint(fingerprinter *printer, const uint8_t *data, size_t length, uint8_t id[32]);
/* The ids of `count` chunks, the same as `fingerprint` gives one by one; many at once are faster.
 */
int fingerprint_many(fingerprinter *printer, const uint8_t *const *data, const uint32_t *lengths,
                     uint8_t (*ids)[32], int count);
typedef struct tagger tagger;
tagger *tagger_new(const uint8_t key[32]);
void tagger_free(tagger *tagger);
int extent_tag(tagger *tagger, const uint8_t *data, size_t length, uint8_t tag[16]);

/* frame.c: what writer and reader must agree on */
enum { FRAME_ENTRY_BYTES = 24, DIRECTORY_HEAD_BYTES = 16 };
/* The directory's extension: fields of tag (2), length (2), value. */
enum { EXTENSION_LEVEL = 1, EXTENSION_LEVEL_BYTES = 5 };
typedef struct {
    uint32_t offset;
    uint32_t stored_length;
    uint32_t plain_length;
    uint32_t first_chunk;
    uint16_t chunk_count;
    uint8_t codec;
    uint32_t base; /* number in the directory's list, or NO_BASE */
} frame_entry;
#define NO_BASE UINT32_MAX
enum { FRAME_AAD_HEAD_BYTES = 72, DIRECTORY_AAD_BYTES = HF_HEADER_BYTES + 16 };
/* Size of the associated data; `aad` has room for 72 + 36 * chunk_count bytes. `bases` is the
 * directory's list. */
size_t frame_aad(uint8_t *aad, const uint8_t container_id[16], int kind, uint32_t index,
                 const frame_entry *entry, const uint8_t *ids, const uint32_t *lengths,
                 const uint8_t *bases);
void frame_nonce(uint8_t nonce[12], uint32_t index);
void directory_nonce(uint8_t nonce[12]);
void directory_aad(uint8_t aad[DIRECTORY_AAD_BYTES], const uint8_t header[HF_HEADER_BYTES],
                   uint64_t directory_offset);
/* AES-256-GCM: `out` gets length + 16 (seal) or length - 16 (open) bytes. */
int gcm_seal(EVP_CIPHER_CTX *gcm, const uint8_t key[32], const uint8_t nonce[12],
             const uint8_t *aad, size_t aad_length, const uint8_t *plain, size_t length,
             uint8_t *out);
int gcm_open(EVP_CIPHER_CTX *gcm, const uint8_t key[32], const uint8_t nonce[12],
             const uint8_t *aad, size_t aad_length, const uint8_t *sealed, size_t length,
             uint8_t *out);

/* writer.c, for ingest.c */
int writer_add(hf_writer *writer, const uint8_t id[32], const uint8_t *data, uint32_t length,
               hf_stats *stats);
uint32_t writer_slot(const hf_writer *writer);

#endif
