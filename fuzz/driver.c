/* driver.c - runs a fuzz target without libFuzzer, the same inputs every time.
 *
 *     fuzz_dtype CORPUS_FOLDER [ROUNDS]
 *
 * First each file of the corpus as it is, then ROUNDS inputs from a seeded
 * generator: three in four are a file of the corpus with a few bytes changed,
 * removed or added, the others are random bytes. Each input lies in a block of
 * exactly its size. When a property does not hold, the input is written to
 * crash-TARGET in the current folder; it becomes a file of the corpus. */
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX 65536
#define ROUNDS_DEFAULT 100000

struct input {
    uint8_t *bytes;
    size_t size;
};

struct corpus {
    struct input *inputs;
    size_t count;
};

/* What a signal handler must reach; the program has one thread. */
static struct {
    const uint8_t *bytes;
    size_t size;
    char path[64];
} running;

static void save_and_die(int signal_number)
{
    FILE *file = fopen(running.path, "wb");

    if (file) {
        (void)fwrite(running.bytes, 1, running.size, file);
        (void)fclose(file);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void *must(void *block)
{
    if (!block) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return block;
}

static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = must(malloc(size ? size : 1));

    memcpy(exact, bytes, size);
    running.bytes = exact;
    running.size = size;
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

/* A multiplication, a shift and an xor over a counter: every state differs, and each is well mixed. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15;

    x = (x ^ x >> 32) * 0xd6e8feb86659fd93;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93;
    return x ^ x >> 32;
}

static size_t below(uint64_t *state, size_t limit)
{
    return (size_t)(next_random(state) % limit);
}

static int add_file(struct corpus *corpus, const char *folder, const char *name)
{
    char path[4096];
    struct input input = { must(malloc(INPUT_MAX)), 0 };
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (!file) {
        perror(path);
        free(input.bytes);
        return 1;
    }
    input.size = fread(input.bytes, 1, INPUT_MAX, file);
    (void)fclose(file);
    corpus->inputs = must(realloc(corpus->inputs, (corpus->count + 1) * sizeof input));
    corpus->inputs[corpus->count++] = input;
    return 0;
}

/* The order in a folder differs between machines; by contents it does not. */
static int compare_inputs(const void *a, const void *b)
{
    const struct input *left = a, *right = b;
    size_t common = left->size < right->size ? left->size : right->size;
    int order = memcmp(left->bytes, right->bytes, common);

    return order ? order : (left->size > right->size) - (left->size < right->size);
}

static int load(struct corpus *corpus, const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int failed = 0;

    if (!dir) {
        perror(folder);
        return 1;
    }
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            failed |= add_file(corpus, folder, entry->d_name);
    (void)closedir(dir);
    if (corpus->count)
        qsort(corpus->inputs, corpus->count, sizeof corpus->inputs[0], compare_inputs);
    return failed;
}

/* One small change. Most bytes that mean something are near a limit or a power of two. */
static void change(struct input *input, uint64_t *state)
{
    static const uint8_t telling[] = { 0x00, 0x01, 0x7f, 0x80, 0x9f, 0xbf, 0xc0, 0xc1, 0xd9, 0xdf, 0xfb, 0xff };
    size_t at = input->size ? below(state, input->size) : 0;
    size_t kind = input->size ? below(state, 5) : 4;

    switch (kind) {
    case 0:
        input->bytes[at] ^= (uint8_t)(1u << below(state, 8));
        break;
    case 1:
        input->bytes[at] = telling[below(state, sizeof telling)];
        break;
    case 2:
        input->size = at;
        break;
    case 3:
        memmove(input->bytes + at, input->bytes + at + 1, input->size - at - 1);
        input->size--;
        break;
    default:
        if (input->size == INPUT_MAX)
            break;
        memmove(input->bytes + at + 1, input->bytes + at, input->size - at);
        input->bytes[at] = (uint8_t)next_random(state);
        input->size++;
    }
}

static void make_input(const struct corpus *corpus, uint64_t *state, struct input *ret_input)
{
    if (corpus->count && below(state, 4)) {
        const struct input *from = &corpus->inputs[below(state, corpus->count)];

        memcpy(ret_input->bytes, from->bytes, from->size);
        ret_input->size = from->size;
        for (size_t left = 1 + below(state, 6); left; left--)
            change(ret_input, state);
        return;
    }
    ret_input->size = below(state, 1 + below(state, 300));
    for (size_t i = 0; i < ret_input->size; i++)
        ret_input->bytes[i] = (uint8_t)next_random(state);
}

int main(int argc, char **argv)
{
    struct corpus corpus = { NULL, 0 };
    struct input input = { must(malloc(INPUT_MAX)), 0 };
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : ROUNDS_DEFAULT;
    uint64_t state = 1;
    int failed;

    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER [ROUNDS]\n", name);
        return 2;
    }
    (void)snprintf(running.path, sizeof running.path, "crash-%s", name);
    signal(SIGABRT, save_and_die);
    signal(SIGSEGV, save_and_die);
    failed = load(&corpus, argv[1]);
    for (size_t i = 0; i < corpus.count; i++)
        run(corpus.inputs[i].bytes, corpus.inputs[i].size);
    for (long i = 0; i < rounds; i++) {
        make_input(&corpus, &state, &input);
        run(input.bytes, input.size);
    }
    printf("%zu files and %ld inputs, every property holds\n", corpus.count, rounds);
    for (size_t i = 0; i < corpus.count; i++)
        free(corpus.inputs[i].bytes);
    free(corpus.inputs);
    free(input.bytes);
    return failed;
}
