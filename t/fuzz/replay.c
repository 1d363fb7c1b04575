/*
 * replay.c - runs a fuzz target over its corpus, with any compiler.
 *
 * "make fuzz" searches for new inputs with clang's libFuzzer; this main()
 * makes sure that what was found once stays found.  Every file of
 * t/fuzz/corpus/TARGET is run whole, cut at every length, and with some of
 * its bytes changed by a fixed generator, so that every run is the same.
 *
 * usage: TARGET [FILE or FOLDER]...
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX  (1u << 20) /* bytes of one corpus file */
#define CUTS_MAX   512        /* lengths tried of one file */
#define CHANGES    200        /* changed copies tried of one file */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t files_run, inputs_run;

/* The input is copied to a block of exactly its size, so that a read past its end is seen. */
static void
input_run(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    if (!copy) {
        perror("malloc");
        exit(2);
    }
    memcpy(copy, bytes, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    inputs_run++;
}

static uint32_t
random_next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void
input_run_variants(uint8_t *bytes, size_t len)
{
    uint32_t state = 2463534242u;
    size_t step = len / CUTS_MAX + 1;

    input_run(bytes, len);
    for (size_t cut = 0; cut < len; cut += step) {
        input_run(bytes, cut);
    }
    for (unsigned i = 0; i < CHANGES && len > 0; i++) {
        size_t at = random_next(&state) % len;
        uint8_t was = bytes[at];

        bytes[at] = (uint8_t)random_next(&state);
        input_run(bytes, len);
        if (i % 2 == 0) { /* the others pile up */
            bytes[at] = was;
        }
    }
}

static int
file_run(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    size_t len;

    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    len = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    printf("%s\n", path);
    fflush(stdout); /* so that the last line names the input that crashed */
    input_run_variants(bytes, len);
    files_run++;
    return 0;
}

static int
path_run(const char *path)
{
    struct stat st;
    struct dirent *entry;
    DIR *folder;
    int failed = 0;

    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    if (!S_ISDIR(st.st_mode)) {
        return file_run(path);
    }
    folder = opendir(path);
    if (!folder) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    while ((entry = readdir(folder))) {
        char inside[4096];

        if (entry->d_name[0] != '.') {
            snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
            failed |= path_run(inside);
        }
    }
    closedir(folder);
    return failed;
}

int
main(int argc, char **argv)
{
    const char *root = getenv("top_srcdir");
    const char *name = strrchr(argv[0], '/');
    char corpus[4096];
    int failed = 0;

    if (argc == 1) {
        snprintf(corpus, sizeof corpus, "%s/t/fuzz/corpus/%s", root ? root : ".",
                 name ? name + 1 : argv[0]);
        failed = path_run(corpus);
    }
    for (int i = 1; i < argc; i++) {
        failed |= path_run(argv[i]);
    }
    printf("%zu files, %zu inputs\n", files_run, inputs_run);
    if (files_run == 0) {
        fprintf(stderr, "no input: an empty corpus proves nothing\n");
        failed = 1;
    }
    return failed;
}
