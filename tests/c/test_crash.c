/* test_crash.c - writers killed at random moments: nothing acknowledged is lost, what is there is a prefix.
 *
 * Two child processes write to one file, each a history of its own: numbered entries, small, in
 * pieces or as a stream, one by one, through the cache or in transactions. Before each step a child notes in
 * shared memory what it is about to write, and after it what was acknowledged. The parent kills
 * both at a random moment, opens the file, verifies it, and checks that each history is there
 * without a gap up to at least what was acknowledged, every byte as written. Then it goes on with the same
 * file. KVTEST_KILLS says how often (60). KVTEST_SEED says how the dice fall. */
#include "kvtest.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kohakuvault/kohakuvault.h"

enum { WRITERS = 2, LARGE_MAX = 900000 };
enum mode { MODE_PLAIN, MODE_CACHED, MODE_TRANSACTIONS, MODE_STREAMS, MODES };

struct shared {
    _Atomic int acknowledged[WRITERS]; /* entries 0 to this - 1 are promised */
    _Atomic int failed[WRITERS];
};

static char folder[] = "/tmp/kvtest-XXXXXX";
static char path[128];
static struct shared *shared;
static int kills_asked, problems;

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* What entry `number` of a writer is: its size and its bytes follow from its name. */
static size_t entry_size(int writer, int number)
{
    uint32_t dice = (uint32_t)(number * 2 + writer) * 2654435761u >> 8;

    return dice % 16 == 0 ? 262145 + dice % (LARGE_MAX - 262145) : dice % 5000;
}

static void entry_bytes(int writer, int number, uint8_t *bytes, size_t size)
{
    uint32_t seed = (uint32_t)number * 7919u + (uint32_t)writer;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(next_random(&seed));
}

static size_t entry_key(int writer, int number, char text[32])
{
    return (size_t)snprintf(text, 32, "w%d-%08d", writer, number);
}

/* ---- the child ---- */

static kvault_status write_entry(kvault_kv *kv, int writer, int number, bool stream, uint8_t *bytes, kvault_error *err)
{
    char text[32];
    kvault_slice key = { text, entry_key(writer, number, text) };
    kvault_slice value = { bytes, entry_size(writer, number) };
    kvault_blob *blob = NULL;
    kvault_status rc;

    entry_bytes(writer, number, bytes, value.size);
    if (!stream)
        return kvault_kv_put(kv, key, value, err);
    rc = kvault_blob_open_write(kv, key, &blob, err);
    if (rc >= 0)
        rc = kvault_blob_write(blob, value, err);
    if (rc >= 0)
        rc = kvault_blob_publish(blob, err);
    kvault_blob_free(blob);
    return rc;
}

/* One step of the history: some entries, then the call that acknowledges them. */
static kvault_status step(kvault *vault, kvault_kv *kv, int writer, int *number, enum mode mode, uint8_t *bytes,
                          uint32_t *seed, kvault_error *err)
{
    int count = mode == MODE_PLAIN || mode == MODE_STREAMS ? 1 : 1 + (int)(next_random(seed) % 12);
    kvault_status rc = mode == MODE_TRANSACTIONS ? kvault_begin(vault, err) : KVAULT_OK;

    for (int i = 0; i < count && rc >= 0; i++)
        rc = write_entry(kv, writer, *number + i, mode == MODE_STREAMS, bytes, err);
    if (rc >= 0 && mode == MODE_TRANSACTIONS)
        rc = kvault_commit(vault, err);
    if (rc >= 0 && mode == MODE_CACHED)
        rc = kvault_flush(vault, NULL, err);
    *number += count;
    return rc;
}

static void child(int writer, int number, enum mode mode, uint32_t seed)
{
    kvault_cache_setting setting = { true, true, 8 << 20, 1 << 20, 0 };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_options options;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    uint8_t *bytes = malloc(LARGE_MAX);
    kvault_status rc;

    kvault_options_init(&options);
    options.busy_timeout_ms = 60000;
    rc = kvault_open(path, &options, &vault, &err);
    if (rc >= 0)
        rc = kvault_kv_open(vault, NULL, &kv, &err);
    if (rc >= 0 && mode == MODE_CACHED)
        rc = kvault_cache_set(vault, &setting, NULL, &err);
    while (rc >= 0) {
        rc = step(vault, kv, writer, &number, mode, bytes, &seed, &err);
        if (rc >= 0)
            atomic_store(&shared->acknowledged[writer], number);
    }
    printf("# writer %d: %s\n", writer, err.message);
    fflush(stdout);
    atomic_store(&shared->failed[writer], 1);
    _exit(1);
}

/* ---- the parent ---- */

static void on_problem(void *ctx, const char *where, const char *what)
{
    (void)ctx;
    printf("# %s: %s\n", where, what);
    problems++;
}

static bool entry_is_right(kvault_kv *kv, int writer, int number, uint8_t *got, uint8_t *want)
{
    kvault_error err = KVAULT_ERROR_INIT;
    char text[32];
    kvault_slice key = { text, entry_key(writer, number, text) };
    size_t size = entry_size(writer, number);
    uint64_t have = 0;

    entry_bytes(writer, number, want, size);
    if (kvault_kv_get(kv, key, got, LARGE_MAX, &have, &err) != KVAULT_OK || have != size || memcmp(got, want, size) != 0) {
        printf("# entry %s is wrong: %s\n", text, err.message);
        return false;
    }
    return true;
}

/* How far the writer's history goes: the keys are counted, so a gap shows as a number too small. */
static int history_length(kvault_kv *kv, int writer)
{
    kvault_error err = KVAULT_ERROR_INIT;
    char prefix[8];
    kvault_kv_scan_options options = { .limit = UINT64_MAX };
    kvault_kv_scan *scan = NULL;
    kvault_slice key;
    char text[32];
    int n = 0;

    options.prefix = (kvault_slice){ prefix, (size_t)snprintf(prefix, sizeof prefix, "w%d-", writer) };
    CHECK_OK(kvault_kv_scan_open(kv, &options, &scan, &err), &err);
    while (kvault_kv_scan_next(scan, &key, NULL, &err) == KVAULT_OK) {
        if (key.size != entry_key(writer, n, text) || memcmp(key.data, text, key.size) != 0)
            CHECK_NEVER("there is a gap in the history");
        n++;
    }
    kvault_kv_scan_free(scan);
    return n;
}

static void check_file(int lengths[WRITERS], bool all)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    uint8_t *got = malloc(LARGE_MAX), *want = malloc(LARGE_MAX);

    CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, NULL, &kv, &err), &err);
    CHECK_OK(kvault_verify(vault, on_problem, NULL, &err), &err);
    CHECK(problems == 0);
    for (int writer = 0; writer < WRITERS; writer++) {
        int before = lengths[writer], n = history_length(kv, writer);

        CHECK(n >= atomic_load(&shared->acknowledged[writer]));
        for (int number = all ? 0 : before; number < n; number++)
            CHECK(entry_is_right(kv, writer, number, got, want));
        lengths[writer] = n;
        atomic_store(&shared->acknowledged[writer], n);
        CHECK(!atomic_load(&shared->failed[writer]));
    }
    kvault_kv_free(kv);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
    free(got);
    free(want);
}

static void nothing_acknowledged_is_lost(void)
{
    const char *given = getenv("KVTEST_SEED");
    uint32_t seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)time(NULL);
    int lengths[WRITERS] = { 0 };

    printf("# seed %u, %d kills\n", seed, kills_asked);
    for (int kill_number = 0; kill_number < kills_asked && kvtest_ok; kill_number++) {
        pid_t pids[WRITERS];

        fflush(stdout);
        for (int writer = 0; writer < WRITERS; writer++) {
            enum mode mode = (enum mode)(next_random(&seed) % MODES);
            uint32_t own = next_random(&seed);

            pids[writer] = fork();
            if (pids[writer] == 0)
                child(writer, lengths[writer], mode, own);
        }
        (void)usleep(1000 + next_random(&seed) % 60000);
        for (int writer = 0; writer < WRITERS; writer++)
            (void)kill(pids[writer], SIGKILL); /* ours, by their ids */
        for (int writer = 0; writer < WRITERS; writer++)
            CHECK(waitpid(pids[writer], NULL, 0) == pids[writer]);
        check_file(lengths, false);
        /* The file is begun anew before it grows large, after one look at all of it. */
        if (lengths[0] + lengths[1] > 3000 || kill_number == kills_asked - 1) {
            check_file(lengths, true);
            printf("# after kill %d: %d and %d entries, nothing lost\n", kill_number + 1, lengths[0], lengths[1]);
            CHECK(unlink(path) == 0);
            for (int writer = 0; writer < WRITERS; writer++)
                atomic_store(&shared->acknowledged[writer], lengths[writer] = 0);
        }
    }
}

int main(void)
{
    const char *given = getenv("KVTEST_KILLS");
    char command[64];

    kills_asked = given ? (int)strtol(given, NULL, 10) : 60;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || !mkdtemp(folder))
        return 1;
    (void)snprintf(path, sizeof path, "%s/crash.kv", folder);
    RUN(nothing_acknowledged_is_lost);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
