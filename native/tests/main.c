/* Runs all tests, or those whose name contains the argument. No test, or a failed one: exit 1. */
#define _GNU_SOURCE
#include "check.h"

#include <sys/mman.h>
#include <unistd.h>

_Noreturn void check_failed(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: failed: %s (HF_FUZZ_SEED=%llu)\n", file, line, what,
            (unsigned long long)fuzz_seed());
    exit(1);
}

uint64_t chance_next(chance *chance) {
    uint64_t mixed = chance->state += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
}

uint32_t chance_below(chance *chance, uint32_t limit) {
    return (uint32_t)(chance_next(chance) % limit);
}

void chance_fill(chance *chance, uint8_t *to, size_t length) {
    for (size_t at = 0; at < length; at += 8) {
        uint64_t number = chance_next(chance);
        memcpy(to + at, &number, length - at < 8 ? length - at : 8);
    }
}

int file_of(const void *data, size_t length) {
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK(fd >= 0);
    for (size_t done = 0; done < length;) {
        ssize_t wrote = write(fd, (const uint8_t *)data + done, length - done);
        CHECK(wrote > 0);
        done += (size_t)wrote;
    }
    return fd;
}

static uint64_t setting(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 10);
}

uint64_t fuzz_seed(void) { return setting("HF_FUZZ_SEED", 20261121); }
uint64_t fuzz_count(void) { return setting("HF_FUZZ_COUNT", 100000); }

int main(int count, char **arguments) {
    const test *tables[] = {CUT_TESTS,       KERNEL_TESTS,       FINGERPRINT_TESTS, CONTAINER_TESTS,
                            FORGED_TESTS,    INGEST_TESTS,       CHANGES_TESTS,     INDEX_TESTS,
                            INDEX_RUN_TESTS, INDEX_FILTER_TESTS, DELTA_TESTS,       SMART_TESTS,
                            FUZZ_TESTS};
    const char *wanted = count > 1 ? arguments[1] : "";
    int ran = 0;
    uint64_t began = now_ns();
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const test *test = tables[i]; test->name != NULL; test++) {
            if (strstr(test->name, wanted) == NULL)
                continue;
            uint64_t start = now_ns();
            printf("%s ... ", test->name);
            fflush(stdout);
            test->run();
            printf("%.2f s\n", (double)(now_ns() - start) / 1e9);
            ran++;
        }
    printf("%d tests passed in %.1f s\n", ran, (double)(now_ns() - began) / 1e9);
    return ran == 0;
}
