/* GB/s of one core for everything that touches every byte, kernel by kernel, as a table.
 *
 * Rows take turns (A B C A B C ...), so that a busy machine is unfair to all alike; each figure is
 * the median. "again": the same bytes again and again; "fresh": through 64 MiB.
 */
#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXTENT = HF_EXTENT_BYTES, TOTAL = 16 * EXTENT, ROUNDS = 9, ROWS_MAX = 16 };
enum { CHUNKS_MAX = TOTAL / HF_CHUNK_MIN + 16 };
static const uint8_t KEY[32] = {1};

typedef struct row row;
struct row {
    char name[48];
    void (*run)(const row *row, const uint8_t *data, size_t length);
    size_t call; /* bytes in one call: an extent, or some of them */
    kernels kernels;
    gear_table table;
    fingerprinter *printer;
    tagger *tagger;
    double again[ROUNDS], fresh[ROUNDS]; /* GB/s */
};

static void must(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "bench: %s failed\n", what);
        exit(1);
    }
}

static void run_zero(const row *row, const uint8_t *data, size_t length) {
    (void)row;
    must(is_zero(data, length), "is_zero");
}

static void run_tag(const row *row, const uint8_t *data, size_t length) {
    uint8_t tag[16];
    must(extent_tag(row->tagger, data, length, tag) == HF_OK, "extent_tag");
}

static void run_cut(const row *row, const uint8_t *data, size_t length) {
    uint32_t ends[EXTENT / HF_CHUNK_MIN + 1];
    must(gear_cut(&row->table, data, length, ends, EXTENT / HF_CHUNK_MIN + 1) > 0, "gear_cut");
}

/* The chunks of all extents, cut once. */
static struct {
    const uint8_t *data[CHUNKS_MAX + 1];
    uint32_t lengths[CHUNKS_MAX];
    uint8_t ids[CHUNKS_MAX][32];
    int count;
} chunks;

static void cut_all(const uint8_t *data) {
    gear_table table;
    must(gear_table_make(&table, KEY) == HF_OK, "gear_table_make");
    for (const uint8_t *extent = data; extent < data + TOTAL; extent += EXTENT) {
        uint32_t ends[EXTENT / HF_CHUNK_MIN + 1], start = 0;
        int count = gear_cut(&table, extent, EXTENT, ends, EXTENT / HF_CHUNK_MIN + 1);
        for (int i = 0; i < count; start = ends[i++]) {
            chunks.data[chunks.count] = extent + start;
            chunks.lengths[chunks.count++] = ends[i] - start;
        }
    }
    chunks.data[chunks.count] = data + TOTAL;
}

/* All chunks of `length` bytes in one call. */
static void run_fingerprint(const row *row, const uint8_t *data, size_t length) {
    int first = 0, count = 0;
    while (chunks.data[first] < data)
        first++;
    while (chunks.data[first + count] < data + length)
        count++;
    must(fingerprint_many(row->printer, chunks.data + first, chunks.lengths + first, chunks.ids,
                          count) == HF_OK,
         "fingerprint_many");
}

static double measure(const row *row, const uint8_t *data, size_t step) {
    uint64_t began = now_ns();
    for (size_t at = 0; at < TOTAL; at += row->call)
        row->run(row, data + at * step, row->call);
    return (double)TOTAL / (double)(now_ns() - began);
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double values[ROUNDS]) {
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

static row *add_row(row *rows, int *count, const char *what, const char *kernel_name,
                    kernels kernels, void (*run)(const row *, const uint8_t *, size_t)) {
    must(*count < ROWS_MAX, "the table");
    row *row = &rows[(*count)++];
    snprintf(row->name, sizeof row->name, "%-12s %s", what, kernel_name);
    row->run = run;
    row->call = EXTENT;
    row->kernels = kernels;
    row->printer = fingerprinter_with(KEY, &row->kernels);
    row->tagger = tagger_new(KEY);
    must(row->printer != NULL && row->tagger != NULL && gear_table_make(&row->table, KEY) == HF_OK,
         "set-up");
    row->table.scan = kernels.scan;
    return row;
}

static int add_rows(row *rows) {
    int count = 0;
    const kernels scalar = kernels_choose(KERNELS, 0, NULL);
    const kernels all = kernels_choose(KERNELS, KERNEL_COUNT, NULL);
    add_row(rows, &count, "zero test", "memcmp", scalar, run_zero);
    add_row(rows, &count, "tag", "OpenSSL GMAC", scalar, run_tag);
    add_row(rows, &count, "cut", "scalar", scalar, run_cut);
    for (int i = 0; i < KERNEL_COUNT; i++)
        if (KERNELS[i].scan != NULL && KERNELS[i].is_supported())
            add_row(rows, &count, "cut", KERNELS[i].name, kernels_choose(&KERNELS[i], 1, NULL),
                    run_cut);
    add_row(rows, &count, "fingerprint", "OpenSSL", scalar, run_fingerprint);
    for (int i = 0; i < KERNEL_COUNT; i++)
        if (KERNELS[i].scan == NULL && KERNELS[i].is_supported())
            add_row(rows, &count, "fingerprint", KERNELS[i].name,
                    kernels_choose(&KERNELS[i], 1, NULL), run_fingerprint);
    add_row(rows, &count, "fingerprint", "all, 4 MiB a call", all, run_fingerprint);
    add_row(rows, &count, "fingerprint", "all, 16 MiB a call", all, run_fingerprint)->call =
        4 * EXTENT;
    return count;
}

static void fill_noise(uint8_t *noise) {
    uint64_t state = 88172645463325252u; /* xorshift64 */
    for (size_t at = 0; at < TOTAL; at += 8) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        put_u64(noise + at, state);
    }
}

int main(void) {
    static row rows[ROWS_MAX];
    static uint8_t zeros[TOTAL], noise[TOTAL];
    int count = add_rows(rows);
    fill_noise(zeros);
    memset(zeros, 0, sizeof zeros); /* pages of its own: untouched ones share one page of zeros */
    fill_noise(noise);
    cut_all(noise);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < count; i++) {
            const uint8_t *data = rows[i].run == run_zero ? zeros : noise;
            rows[i].again[round] = measure(&rows[i], data, 0);
            rows[i].fresh[round] = measure(&rows[i], data, 1);
        }
    char text[128];
    hf_kernels(text, sizeof text);
    printf("kernels in use: %s\n%-34s %8s %8s  GB/s of one core\n", text, "", "again", "fresh");
    for (int i = 0; i < count; i++) {
        printf("%-34s %8.2f %8.2f\n", rows[i].name, median(rows[i].again), median(rows[i].fresh));
        fingerprinter_free(rows[i].printer);
        tagger_free(rows[i].tagger);
    }
    return 0;
}
