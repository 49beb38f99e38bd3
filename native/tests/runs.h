/* Run files of the index for tests: made by the library itself, then altered and signed again. */
#ifndef HF_TEST_RUNS_H
#define HF_TEST_RUNS_H

#include "check.h"
#include "index.h"

/* A file with all that `index` holds in memory and in runs from `first_run` on. */
int written(hf_index *index, int first_run);
/* The bytes of such a file; free them. */
uint8_t *bytes_of(int fd, size_t *length);
/* Makes every checksum right again that the numbers in the head lead to. */
void sign_run(uint8_t *bytes, size_t length);

#endif
