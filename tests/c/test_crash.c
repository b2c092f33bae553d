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
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "history.h"

enum { WRITERS = 2 };

struct shared {
    _Atomic int acknowledged[WRITERS]; /* entries 0 to this - 1 are promised */
    _Atomic int rows[WRITERS];         /* and so are these numbers in the columns */
    _Atomic int failed[WRITERS];
};

static char folder[] = "/tmp/kvtest-XXXXXX";
static char path[128];
static struct shared *shared;
static int kills_asked, problems;

static void child(int writer, int number, enum history_mode mode, uint32_t seed)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    uint8_t *bytes = malloc(HISTORY_VALUE_MAX);
    kvault_status rc = history_open(path, mode, &vault, &kv, &err);

    if (rc >= 0)
        rc = history_catch_up(vault, writer, number, &err);
    while (rc >= 0) {
        rc = history_step(vault, kv, writer, &number, mode, bytes, &seed, &err);
        if (rc >= 0)
            atomic_store(&shared->acknowledged[writer], number);
        if (rc >= 0)
            atomic_store(&shared->rows[writer], number);
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

static void check_file(int lengths[WRITERS], bool all)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    uint8_t *got = malloc(HISTORY_VALUE_MAX), *want = malloc(HISTORY_VALUE_MAX);

    CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, NULL, &kv, &err), &err);
    CHECK_OK(kvault_verify(vault, on_problem, NULL, &err), &err);
    CHECK(problems == 0);
    for (int writer = 0; writer < WRITERS; writer++) {
        int before = lengths[writer], n = history_length(kv, writer, 0), rows = atomic_load(&shared->rows[writer]);

        CHECK(n >= atomic_load(&shared->acknowledged[writer]));
        CHECK(history_columns_are_right(vault, writer, &rows, n));
        atomic_store(&shared->rows[writer], rows);
        for (int number = all ? 0 : before; number < n; number++)
            CHECK(history_entry_is_right(kv, writer, number, got, want));
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
            enum history_mode mode = (enum history_mode)(history_random(&seed) % HISTORY_MODES);
            uint32_t own = history_random(&seed);

            pids[writer] = fork();
            if (pids[writer] == 0)
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it would write for ever */
            if (pids[writer] == 0)
                child(writer, lengths[writer], mode, own);
        }
        (void)usleep(1000 + history_random(&seed) % 60000);
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
            for (int writer = 0; writer < WRITERS; writer++)
                atomic_store(&shared->rows[writer], 0);
        }
    }
}

/* ---- a large transaction ---- */

enum { ROWS = 400, INNER_ROWS = 25000, ROW_BYTES = 100, INNER_BYTES = 4000 /* 100 MB, which outgrow the page cache */ };

static kvault_status put_rows(kvault_kv *kv, char kind, int count, size_t size, kvault_error *err)
{
    static uint8_t bytes[INNER_BYTES];
    kvault_status rc = KVAULT_OK;
    char key[32];

    memset(bytes, ++bytes[0], size); /* SQLite does not write a page again that is as it was */
    for (int i = 0; i < count && rc >= 0; i++) {
        kvault_slice name = { key, (size_t)snprintf(key, sizeof key, "%c%06d", kind, i) };

        rc = kvault_kv_put(kv, name, (kvault_slice){ bytes, size }, err);
    }
    return rc;
}

/* Rows, an inner block that writes much, and all of it again, and is undone, one more row, commit. A snapshot keeps the
 * log from being copied. What the process was told goes into `shared`. */
static void die_after_a_large_transaction(void)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL, *snapshot = NULL;
    kvault_kv *kv = NULL;
    kvault_status rc = history_open(path, HISTORY_PLAIN, &vault, &kv, &err);

    if (rc >= 0)
        rc = put_rows(kv, 'a', ROWS, ROW_BYTES, &err);
    if (rc >= 0)
        rc = kvault_snapshot(vault, &snapshot, &err);
    if (rc >= 0)
        rc = kvault_begin(vault, &err);
    if (rc >= 0)
        rc = put_rows(kv, 'b', ROWS, ROW_BYTES, &err);
    if (rc >= 0)
        rc = kvault_begin(vault, &err);
    for (int i = 0; i < 2 && rc >= 0; i++)
        rc = put_rows(kv, 'i', INNER_ROWS, INNER_BYTES, &err);
    if (rc < 0)
        _exit(1);
    (void)kvault_rollback(vault, &err); /* undoes everything, and says so: see test_kv.c */
    (void)put_rows(kv, 'c', 1, ROW_BYTES, &err);
    atomic_store(&shared->acknowledged[0], kvault_commit(vault, &err) == KVAULT_OK);
    atomic_store(&shared->acknowledged[1], put_rows(kv, 'd', 1, ROW_BYTES, &err) == KVAULT_OK);
    (void)kill(getpid(), SIGKILL);
}

static int count_rows(kvault_kv *kv, const char *kind)
{
    kvault_kv_scan_options options = { .prefix = { kind, 1 }, .limit = UINT64_MAX };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_kv_scan *scan = NULL;
    kvault_slice key;
    int n = 0;

    CHECK_OK(kvault_kv_scan_open(kv, &options, &scan, &err), &err);
    while (kvault_kv_scan_next(scan, &key, NULL, &err) == KVAULT_OK)
        n++;
    kvault_kv_scan_free(scan);
    return n;
}

/* SQLite 3.40 loses committed rows when a transaction that spilled its page cache undoes a savepoint,
 * commits, and the process dies before a checkpoint; the integrity check is then content. */
static void a_large_transaction_that_undid_a_block_leaves_all_or_nothing(void)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    int status = 0, want;
    pid_t pid;

    (void)snprintf(path, sizeof path, "%s/large.kv", folder);
    fflush(stdout);
    pid = fork();
    if (pid == 0)
        die_after_a_large_transaction();
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    CHECK_OK(history_open(path, HISTORY_PLAIN, &vault, &kv, &err), &err);
    want = atomic_load(&shared->acknowledged[0]);
    CHECK(count_rows(kv, "a") == ROWS && count_rows(kv, "i") == 0);
    CHECK(count_rows(kv, "b") == want * ROWS && count_rows(kv, "c") == want);
    CHECK(atomic_load(&shared->acknowledged[1]) && count_rows(kv, "d") == 1);
    CHECK_OK(kvault_verify(vault, on_problem, NULL, &err), &err);
    CHECK(problems == 0);
    kvault_kv_free(kv);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
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
    RUN(a_large_transaction_that_undid_a_block_leaves_all_or_nothing);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
