/* Holdfast's hot data paths: cut, fingerprint, compress, seal, and the reverse.
 *
 * The Python side (appliance/native) is the only caller. Every call that takes long touches no
 * Python object, so it runs without the interpreter's lock. Formats: docs/format/.
 * Nothing here opens files by name, prints, or keeps global state, but for the choice of kernels
 * (HOLDFAST_KERNELS, src/kernels.c) that the first call makes.
 */
#ifndef HOLDFAST_H
#define HOLDFAST_H

#include <stddef.h>
#include <stdint.h>

#define HF_API __attribute__((visibility("default")))

enum {
    HF_ID_BYTES = 32,
    HF_KEY_BYTES = 32,
    HF_TAG_BYTES = 16,
    HF_HEADER_BYTES = 64,
    HF_TRAILER_BYTES = 32,
    HF_CONTAINER_BYTES = 32 << 20,
    HF_EXTENT_BYTES = 4 << 20,
    HF_BLOCK_BYTES = 64 << 10, /* an extent's blocks are tagged one by one */
    HF_EXTENT_BLOCKS = 64,
    HF_FRAME_TARGET = 256 << 10,
    HF_PAGE_FRAME_TARGET = 32 << 10, /* pages are read one by one and hardly compress */
    HF_FRAME_MAX = 1 << 20,
    HF_CHUNK_MIN = 16 << 10,
    HF_CHUNK_MEAN = 64 << 10,
    HF_CHUNK_MAX = 256 << 10,
};

/* Results below zero are errors. */
enum {
    HF_OK = 0,
    HF_E_MEMORY = -1,
    HF_E_CRYPTO = -2, /* the crypto or compression library failed */
    HF_E_AUTH = -3,   /* a tag does not verify */
    HF_E_FORMAT = -4, /* bytes do not follow the format */
    HF_E_IO = -5,     /* read or write failed; errno is kept */
    HF_E_SHORT = -6,  /* the file ends too early */
    HF_E_ID = -7,     /* another chunk lies at that ordinal */
    HF_E_FULL = -8,   /* no room in the container or the caller's array */
    HF_E_BASE = -9,   /* the frame decodes with its base chunk only: hf_read_delta */
};

enum { HF_KIND_DATA = 1, HF_KIND_PAGE = 2, HF_KIND_DELTA = 3 };
enum { HF_CODEC_STORED = 0, HF_CODEC_ZSTD = 1, HF_CODEC_DELTA = 2 };
enum { HF_FEATURES = 6 };
enum {
    HF_EXTENT_PENDING = 0, /* in: to be done; every other status is passed over */
    HF_EXTENT_ZERO = 1,
    HF_EXTENT_DATA = 2,
    HF_EXTENT_UNCHANGED = 3,
    HF_EXTENT_CHANGED = 4, /* differs from the base: say its pieces (base_ends) and come again */
    HF_EXTENT_UNREAD = 5,  /* a block could not be read from fd */
};
enum { HF_REF_ZERO = 0, HF_REF_DATA = 1, HF_REF_BASE = 2 /* the base's piece number `ordinal` */ };

/* ---- index: chunk id -> (slot of a container, ordinal); see index.c, index_run.c ---- */
typedef struct hf_index hf_index;
HF_API hf_index *hf_index_new(void);
HF_API void hf_index_free(hf_index *index);
/* Maps run file `fd` (it may be closed afterwards). Gives the run's number or an error. */
HF_API int hf_index_add_run(hf_index *index, int fd);
/* Puts run file `fd`, just written by hf_index_write, in the place of runs first_run.. and of the
 * memory table. */
HF_API int hf_index_replace(hf_index *index, int first_run, int fd);
HF_API uint64_t hf_index_run_entries(const hf_index *index, int run);
/* Slots stand for containers: known by name, or open and named later. -1 = no memory. */
HF_API int64_t hf_index_slot_of(hf_index *index, const uint8_t name[32]);
HF_API int hf_index_knows(hf_index *index, const uint8_t name[32]);
/* known[i] = 1 if names[i] has a slot; then `seen` is 1 at that slot, if it is that long. */
HF_API void hf_index_mark_known(hf_index *index, const uint8_t *names, uint32_t count,
                                uint8_t *known, uint8_t *seen, uint32_t seen_count);
HF_API int64_t hf_index_open_slot(hf_index *index);
HF_API int hf_index_name_slot(hf_index *index, uint32_t slot, const uint8_t name[32]);
/* Hits on a dead slot count as new from now on, and it is left out of written runs. */
HF_API void hf_index_kill_slot(hf_index *index, uint32_t slot);
HF_API int hf_index_slot_name(hf_index *index, uint32_t slot, uint8_t name[32]);
HF_API uint32_t hf_index_slot_count(const hf_index *index);
/* 1 = found, 0 = not. */
HF_API int hf_index_find(hf_index *index, const uint8_t id[32], uint32_t *slot, uint32_t *ordinal);
/* 1 = found elsewhere (slot and ordinal are changed to it), 0 = it is now where the caller says. */
HF_API int hf_index_claim(hf_index *index, const uint8_t id[32], uint32_t *slot, uint32_t *ordinal);
/* Claims `count` ids of 32 bytes for `slot`, with ordinals from 0 on. */
HF_API int hf_index_learn(hf_index *index, uint32_t slot, const uint8_t *ids, uint32_t count);
HF_API uint64_t hf_index_pending(const hf_index *index);
/* Writes one sorted run of the memory table and runs first_run.. to `fd`, without dead slots.
 * Others may look up and claim meanwhile; one thread at a time writes, replaces and adds runs. */
HF_API int hf_index_write(hf_index *index, int first_run, int fd);
/* 1 = a page of a run turned out unreadable or altered: what it held counts as unknown. */
HF_API int hf_index_damaged(const hf_index *index, int run);
typedef struct {
    uint64_t filters, marks, table, containers; /* bytes */
} hf_memory;
HF_API void hf_index_memory(const hf_index *index, hf_memory *memory);

/* ---- writing ---- */
typedef struct hf_writer hf_writer;
HF_API hf_writer *hf_writer_new(int kind, const uint8_t container_id[16],
                                const uint8_t container_key[32], uint32_t slot, int level);
HF_API void hf_writer_free(hf_writer *writer);
/* 1 = chunks of so many bytes together certainly fit. */
HF_API int hf_writer_has_room(const hf_writer *writer, size_t plain_bytes);
HF_API uint32_t hf_writer_chunks(const hf_writer *writer);
/* Seals the container. *data stays valid until hf_writer_free. */
HF_API int hf_writer_finish(hf_writer *writer, uint8_t name[32], const uint8_t **data,
                            size_t *length);

typedef struct {
    uint8_t id[32];
    uint32_t slot;
    uint32_t ordinal;
    uint32_t length;
    uint32_t flag; /* HF_REF_* */
} hf_ref;

/* One extent on its way in. Blocks are the units of comparison with the base: bit b of a mask
 * stands for block b. A caller that knows what changed tags the other blocks as the base has them,
 * loads nothing, and gives `fd`: only what is needed is read then. */
typedef struct {
    uint64_t offset; /* in the data buffer, where there is room for `length` bytes */
    uint64_t disk_offset;
    uint32_t length;
    int32_t fd;      /* where blocks that are not loaded are read from */
    uint64_t loaded; /* in and out: blocks that are in the buffer */
    uint64_t tagged; /* in and out: blocks whose block_tags are known */
    const uint8_t *base_block_tags;
    const uint32_t *base_ends; /* ends of the base's pieces, NULL when not known */
    uint32_t base_count;
    uint32_t has_base; /* base_tag is the extent's tag in the base point */
    uint8_t base_tag[16];
    uint8_t tag[16]; /* out */
    uint32_t status; /* in and out: HF_EXTENT_* */
    uint32_t first_ref;
    uint32_t ref_count;
    uint32_t read_bytes; /* out: bytes read from fd */
    uint8_t block_tags[HF_EXTENT_BLOCKS][16];
} hf_extent;

typedef struct {
    uint64_t tag_ns, cut_ns, fingerprint_ns, lookup_ns, compress_ns, seal_ns;
    uint64_t new_bytes, new_chunks, known_chunks, reused_chunks;
} hf_stats;

typedef struct hf_ingester hf_ingester;
HF_API hf_ingester *hf_ingester_new(hf_index *index, const uint8_t id_key[32],
                                    const uint8_t cut_key[32], const uint8_t tag_key[32]);
HF_API void hf_ingester_free(hf_ingester *ingester);
HF_API void hf_ingester_stats(const hf_ingester *ingester, hf_stats *stats);
/* Extents -> refs; new chunks go to `writer`. Gives the number of extents done: fewer than asked
 * when the container or the refs array is full. `refs_used` counts what was filled. Chunks of the
 * next extent may be in the full container: come again with it and another writer. */
HF_API int hf_ingest(hf_ingester *ingester, hf_writer *writer, uint8_t *data, hf_extent *extents,
                     int extent_count, hf_ref *refs, uint32_t ref_capacity, uint32_t *refs_used);
/* One chunk as it is (a page, or a chunk that moves). HF_E_FULL: seal and come again. */
HF_API int hf_ingest_chunk(hf_ingester *ingester, hf_writer *writer, const uint8_t *data,
                           uint32_t length, hf_ref *ref);
HF_API int hf_chunk_id(const uint8_t id_key[32], const uint8_t *data, size_t length,
                       uint8_t id[32]);
/* The ends of the chunks of `data`; gives their number or HF_E_FULL. */
HF_API int hf_cut(const uint8_t cut_key[32], const uint8_t *data, size_t length, uint32_t *ends,
                  int capacity);

/* Writes the names of the fast kernels in use to `text` ("scalar": none), and gives the number of
 * those that failed their self-test and are therefore not used. */
HF_API int hf_kernels(char *text, size_t size);

/* Into a container of kind HF_KIND_DELTA: a chunk that the caller knows the id of, alone or packed
 * by hf_delta_pack against a base. */
HF_API int hf_writer_put(hf_writer *writer, const uint8_t id[32], const uint8_t *data,
                         uint32_t length);
HF_API int hf_writer_put_delta(hf_writer *writer, const uint8_t id[32], uint32_t length,
                               const uint8_t base_id[32], const uint8_t *packed,
                               uint32_t packed_length);

/* ---- what resembles what; see delta.c ---- */
typedef struct hf_delta hf_delta;
HF_API hf_delta *hf_delta_new(const uint8_t key[32], int level);
HF_API void hf_delta_free(hf_delta *delta);
/* Chunks that share one of these features probably have much in common. */
HF_API void hf_delta_sketch(const hf_delta *delta, const uint8_t *data, size_t length,
                            uint64_t features[HF_FEATURES]);
/* Compresses `data` with `base` (NULL: without any) as prefix; gives the packed length, HF_E_FULL
 * if it takes more than `capacity`. */
HF_API int hf_delta_pack(hf_delta *delta, const uint8_t *base, size_t base_length,
                         const uint8_t *data, size_t length, uint8_t *out, size_t capacity);

/* ---- reading ---- */
typedef struct hf_directory hf_directory;
HF_API hf_directory *hf_directory_open(const uint8_t header[64], const uint8_t *sealed,
                                       size_t sealed_length, uint64_t directory_offset,
                                       const uint8_t container_key[32], int *error);
HF_API void hf_directory_free(hf_directory *directory);
HF_API int hf_directory_kind(const hf_directory *directory);
/* The compression level that the container was written with; 0 when it does not say. */
HF_API int hf_directory_level(const hf_directory *directory);
HF_API uint32_t hf_directory_chunks(const hf_directory *directory);
HF_API uint32_t hf_directory_frames(const hf_directory *directory);
HF_API const uint8_t *hf_directory_ids(const hf_directory *directory);
HF_API const uint32_t *hf_directory_lengths(const hf_directory *directory);
/* The number of the frame that each chunk lies in. */
HF_API const uint32_t *hf_directory_chunk_frames(const hf_directory *directory);
/* Where a frame lies in the file of its container. */
HF_API int hf_directory_frame(const hf_directory *directory, uint32_t frame, uint32_t *offset,
                              uint32_t *stored_length);
/* 1 = the frame has a base, whose id is given; 0 = it has none. */
HF_API int hf_directory_base(const hf_directory *directory, uint32_t frame, uint8_t id[32]);
/* Where chunk `id` lies; `ordinal` is tried first (pass UINT32_MAX to search). */
HF_API int hf_directory_locate(const hf_directory *directory, const uint8_t id[32],
                               uint32_t *ordinal, uint32_t *frame, uint32_t *offset,
                               uint32_t *length, uint32_t *frame_length);

typedef struct hf_reader hf_reader; /* one per thread: contexts and the last few frames */
HF_API hf_reader *hf_reader_new(void);
HF_API void hf_reader_free(hf_reader *reader);
/* Decodes one frame into `out` (frame_length bytes, as located). */
HF_API int hf_read_frame(hf_reader *reader, const hf_directory *directory, int fd, uint32_t frame,
                         uint8_t *out, size_t capacity);
/* The same for a frame that has a base: its chunk, of which nothing was checked here. */
HF_API int hf_read_delta(hf_reader *reader, const hf_directory *directory, int fd, uint32_t frame,
                         const uint8_t *base, size_t base_length, uint8_t *out, size_t capacity);

/* One chunk, wherever its container has it (`ordinal` is tried first), into `out`. */
HF_API int hf_read_chunk(hf_reader *reader, const hf_directory *directory, int fd,
                         const uint8_t id[32], uint32_t ordinal, uint8_t *out, size_t capacity,
                         uint32_t *length);

typedef struct {
    const hf_directory *directory;
    int32_t fd;
    uint32_t ordinal;
    uint8_t id[32];
    uint64_t out_offset;
    uint32_t length;
    int32_t result; /* out: HF_OK or the error of this item */
} hf_item;
/* Reads many chunks into `out`; gives the number of items that failed, or HF_E_MEMORY. */
HF_API int hf_read(hf_reader *reader, hf_item *items, int count, uint8_t *out, size_t capacity);
/* Reads, authenticates and re-hashes a whole container: bad[ordinal] = 1 for damaged chunks.
 * Gives the number of damaged chunks, or an error. */
HF_API int hf_verify(hf_reader *reader, const hf_directory *directory, int fd,
                     const uint8_t id_key[32], uint8_t *bad);

/* For ever and for all threads to come: this process computes and uses the descriptors it has, and
 * nothing else (see confine.c). HF_E_IO: the kernel has no such filter. */
HF_API int hf_confine(void);

#endif
