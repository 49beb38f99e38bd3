/* What every test file shares: CHECK, the table of tests, and numbers from a seed. */
#ifndef HF_CHECK_H
#define HF_CHECK_H

#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Says where and what, and ends the program: after a failure nothing can be relied on. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_failed(__FILE__, __LINE__, #condition);                                          \
    } while (0)
_Noreturn void check_failed(const char *file, int line, const char *what);

typedef struct {
    const char *name;
    void (*run)(void);
} test;
/* One table per file, ended by an entry without a name. */
extern const test CUT_TESTS[], KERNEL_TESTS[], FINGERPRINT_TESTS[], CONTAINER_TESTS[],
    FORGED_TESTS[], INGEST_TESTS[], CHANGES_TESTS[], INDEX_TESTS[], INDEX_RUN_TESTS[],
    INDEX_FILTER_TESTS[], DELTA_TESTS[], SMART_TESTS[], FUZZ_TESTS[];

/* splitmix64: the same numbers everywhere from one seed. */
typedef struct {
    uint64_t state;
} chance;
uint64_t chance_next(chance *chance);
uint32_t chance_below(chance *chance, uint32_t limit);
void chance_fill(chance *chance, uint8_t *to, size_t length);

/* An unlinked file in memory that holds `data`. */
int file_of(const void *data, size_t length);
/* HF_FUZZ_SEED and HF_FUZZ_COUNT, or what make test uses. */
uint64_t fuzz_seed(void);
uint64_t fuzz_count(void);

#endif
