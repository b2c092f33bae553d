/* test_vault_threads.c - many threads on one file: writers with and without the cache, transactions,
 * readers, scans, snapshots, flushes, checkpoints. Nothing acknowledged is lost, no error reaches anyone. */
#include "kvtest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "kohakuvault/kohakuvault.h"

enum { WRITERS = 3, ROUNDS = 400 };

static char folder[] = "/tmp/kvtest-XXXXXX";
static char path[128];
static atomic_int failures;

static void fail(const char *what, const kvault_error *err)
{
    if (atomic_fetch_add(&failures, 1) < 5)
        printf("# %s: %s\n", what, err->message);
}

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        if ((call) < 0)                                                                                                \
            fail(#call, &err);                                                                                         \
    } while (0)

struct job {
    kvault *vault;
    int number;
    bool cached;
};

static size_t name_key(char *text, size_t size, int writer, int round)
{
    return (size_t)snprintf(text, size, "w%d-%06d", writer, round);
}

static void *write_keys(void *argument)
{
    struct job *job = argument;
    kvault_cache_setting setting = { true, true, 1 << 16, 1 << 14, 0 };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    char key[32];

    MUST(kvault_dup(job->vault, &vault, &err));
    MUST(kvault_kv_open(vault, NULL, &kv, &err));
    if (job->cached)
        MUST(kvault_cache_set(vault, &setting, NULL, &err));
    for (int round = 0; round < ROUNDS; round++) {
        size_t size = name_key(key, sizeof key, job->number, round);
        bool transaction = !job->cached && round % 16 == 0;

        if (transaction)
            MUST(kvault_begin(vault, &err));
        MUST(kvault_kv_put(kv, (kvault_slice){ key, size }, (kvault_slice){ key, size }, &err));
        if (kvault_kv_exists(kv, (kvault_slice){ key, size }, &err) != KVAULT_OK)
            fail("a thread does not see its own write", &err);
        if (transaction)
            MUST(kvault_commit(vault, &err));
        if (job->cached && round % 100 == 99)
            MUST(kvault_flush(vault, NULL, &err));
        if (round % 150 == 149)
            MUST(kvault_checkpoint(vault, &err));
    }
    kvault_kv_free(kv);
    MUST(kvault_close(vault, &err));
    kvault_free(vault);
    return NULL;
}

/* In a scan the keys of each writer come without a gap: they were written in order. */
static void *scan_keys(void *argument)
{
    struct job *job = argument;
    kvault_kv_scan_options all = { .with_values = true, .limit = UINT64_MAX };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_slice key, value;
    uint64_t count = 0;

    for (int round = 0; round < 20; round++) {
        kvault *snapshot = NULL;
        kvault_kv_scan *scan = NULL;
        kvault_kv *kv = NULL;
        uint64_t seen = 0;

        MUST(kvault_snapshot(job->vault, &snapshot, &err));
        MUST(kvault_kv_open(snapshot, NULL, &kv, &err));
        MUST(kvault_kv_scan_open(kv, &all, &scan, &err));
        while (kvault_kv_scan_next(scan, &key, &value, &err) == KVAULT_OK) {
            if (key.size != value.size || memcmp(key.data, value.data, key.size) != 0)
                fail("a value belongs to another key", &err);
            seen++;
        }
        MUST(kvault_kv_count(kv, &count, &err));
        if (count != seen)
            fail("a snapshot changed", &err);
        kvault_kv_scan_free(scan);
        kvault_kv_free(kv);
        MUST(kvault_close(snapshot, &err));
        kvault_free(snapshot);
    }
    return NULL;
}

static void threads_share_one_file(void)
{
    pthread_t threads[WRITERS + 1];
    struct job jobs[WRITERS + 1];
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_options options;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    uint64_t count = 0;

    kvault_options_init(&options);
    options.busy_timeout_ms = 60000; /* a slow machine under a sanitizer is no failure */
    CHECK_OK(kvault_open(path, &options, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, NULL, &kv, &err), &err);
    for (int i = 0; i <= WRITERS; i++) {
        jobs[i] = (struct job){ vault, i, i == 1 };
        CHECK(pthread_create(&threads[i], NULL, i < WRITERS ? write_keys : scan_keys, &jobs[i]) == 0);
    }
    for (int i = 0; i <= WRITERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(atomic_load(&failures) == 0);
    CHECK_OK(kvault_kv_count(kv, &count, &err), &err);
    CHECK(count == WRITERS * ROUNDS);
    for (int writer = 0; writer < WRITERS; writer++) {
        for (int round = 0; round < ROUNDS; round++) {
            char key[32];
            size_t size = name_key(key, sizeof key, writer, round);

            if (kvault_kv_exists(kv, (kvault_slice){ key, size }, &err) != KVAULT_OK)
                CHECK_NEVER("an acknowledged write is missing");
        }
    }
    kvault_kv_free(kv);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
}

/* With auto_flush off and an interval the flusher commits by itself; wait for the outcome, not for a time. */
static void the_flusher_flushes_in_the_background(void)
{
    kvault_cache_setting setting = { true, false, 1 << 20, 0, 20 };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    int waited = 0;

    CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, NULL, &kv, &err), &err);
    CHECK_OK(kvault_cache_set(vault, &setting, NULL, &err), &err);
    CHECK_OK(kvault_kv_put(kv, (kvault_slice){ "k", 1 }, (kvault_slice){ "v", 1 }, &err), &err);
    CHECK(kvault_has_pending(vault));
    while (kvault_has_pending(vault) && waited++ < 6000)
        (void)usleep(10000);
    CHECK(!kvault_has_pending(vault));
    kvault_kv_free(kv);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
}

static void a_handle_freed_with_writes_pending_loses_nothing(void)
{
    kvault_cache_setting setting = { true, false, 1 << 20, 0, 0 };
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;

    CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, NULL, &kv, &err), &err);
    CHECK_OK(kvault_cache_set(vault, &setting, NULL, &err), &err);
    CHECK_OK(kvault_kv_put(kv, (kvault_slice){ "freed", 5 }, (kvault_slice){ "v", 1 }, &err), &err);
    kvault_kv_free(kv);
    kvault_free(vault); /* as a finalizer does: no close before */
    CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, NULL, &kv, &err), &err);
    CHECK_OK(kvault_kv_exists(kv, (kvault_slice){ "freed", 5 }, &err), &err);
    kvault_kv_free(kv);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
}

/* ---- a vault is closed while other threads are in it ---- */

enum { CLOSE_ROUNDS = 30, CLOSE_THREADS = 4 };

struct closing_job {
    kvault_kv *kv;
    int number;
    uint32_t acknowledged; /* puts that returned KVAULT_OK */
};

/* Puts and gets until the vault is closed; nothing but that may end it. */
static void *work_until_closed(void *argument)
{
    struct closing_job *job = argument;
    kvault_error err = KVAULT_ERROR_INIT;
    kvault_status rc = KVAULT_OK;
    char key[32], value[64];
    uint64_t size;

    for (uint32_t round = 0; rc >= 0; round++) {
        size_t key_size = name_key(key, sizeof key, job->number, (int)round);

        rc = kvault_kv_put(job->kv, (kvault_slice){ key, key_size }, (kvault_slice){ "value", 5 }, &err);
        job->acknowledged += rc == KVAULT_OK;
        if (rc >= 0)
            rc = kvault_kv_get(job->kv, (kvault_slice){ key, key_size }, value, sizeof value, &size, &err);
    }
    if (rc != KVAULT_E_CLOSED)
        atomic_fetch_add(&failures, 1);
    return NULL;
}

static void check_acknowledged(const struct closing_job *jobs)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    char key[32];

    CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, "closing", &kv, &err), &err);
    for (int i = 0; i < CLOSE_THREADS; i++) {
        for (uint32_t round = 0; round < jobs[i].acknowledged; round++) {
            size_t size = name_key(key, sizeof key, jobs[i].number, (int)round);

            if (kvault_kv_exists(kv, (kvault_slice){ key, size }, &err) != KVAULT_OK)
                CHECK_NEVER("a write acknowledged before the close is missing");
        }
    }
    CHECK_OK(kvault_kv_clear(kv, &err), &err);
    kvault_kv_free(kv);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
}

static void the_last_handle_closes_under_working_threads(void)
{
    kvault_cache_setting setting = { true, true, 1 << 20, 4096, 0 };
    struct closing_job jobs[CLOSE_THREADS];
    pthread_t threads[CLOSE_THREADS];
    kvault_error err = KVAULT_ERROR_INIT;

    for (int round = 0; round < CLOSE_ROUNDS; round++) {
        kvault *vault = NULL;
        kvault_kv *kv = NULL;

        CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
        CHECK_OK(kvault_kv_open(vault, "closing", &kv, &err), &err);
        if (round % 2)
            CHECK_OK(kvault_cache_set(vault, &setting, NULL, &err), &err);
        for (int i = 0; i < CLOSE_THREADS; i++) {
            jobs[i] = (struct closing_job){ kv, i, 0 };
            CHECK(pthread_create(&threads[i], NULL, work_until_closed, &jobs[i]) == 0);
        }
        (void)usleep((useconds_t)(500 * round));
        CHECK_OK(kvault_close(vault, &err), &err);
        for (int i = 0; i < CLOSE_THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(strcmp(kvault_kv_table(kv), "closing") == 0); /* what it was, and where, can still be asked */
        CHECK(strcmp(kvault_path(vault), path) == 0);
        kvault_kv_free(kv);
        kvault_free(vault);
        check_acknowledged(jobs);
    }
    CHECK(atomic_load(&failures) == 0);
}

/* ---- stamps: what a cache gives out was never replaced before it asked ---- */

enum { STAMP_KEYS = 3, STAMP_ROUNDS = 3000, STAMP_READERS = 2 };

static _Atomic uint64_t acknowledged[STAMP_KEYS]; /* the newest value that a write call has returned for */
static atomic_bool stamps_done;
static _Atomic uint64_t stamp_hits;

struct kept {
    kvault_stamp stamp;
    uint64_t value;
    bool there;
};

/* One read by way of a cache of one value a key. */
static uint64_t read_by_cache(kvault_kv *kv, struct kept *kept, kvault_slice key, uint64_t hash)
{
    kvault_error err = KVAULT_ERROR_INIT;
    bool keep;
    uint64_t value = 0, size;

    if (kept->there && kvault_kv_is_current(kv, &kept->stamp)) {
        atomic_fetch_add(&stamp_hits, 1);
        return kept->value;
    }
    keep = kvault_kv_stamp(kv, hash, &kept->stamp);
    MUST(kvault_kv_get(kv, key, &value, sizeof value, &size, &err));
    kept->value = value;
    kept->there = keep;
    return value;
}

static void *read_with_stamps(void *argument)
{
    kvault_kv *kv = argument;
    struct kept kept[STAMP_KEYS] = { 0 };
    uint64_t newest[STAMP_KEYS] = { 0 };

    while (!atomic_load(&stamps_done)) {
        for (uint32_t i = 0; i < STAMP_KEYS; i++) {
            kvault_slice key = { &i, sizeof i };
            uint64_t before = atomic_load(&acknowledged[i]);
            uint64_t value = read_by_cache(kv, &kept[i], key, kvault_kv_hash(kv, key));

            if (value < before || value < newest[i])
                atomic_fetch_add(&failures, 1);
            newest[i] = value;
        }
    }
    return NULL;
}

/* Every way that a value gets into the table; one of them is undone. */
static void write_one_way(kvault *vault, kvault_kv *kv, uint32_t key, uint64_t value, int way)
{
    kvault_cache_setting on = { true, false, 1 << 20, 0, 0 }, off = { 0 };
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t lie = UINT64_MAX;
    kvault_kv_pair pair = { { &key, sizeof key }, { &value, sizeof value } };

    switch (way) {
    case 0:
        MUST(kvault_kv_put(kv, pair.key, pair.value, &err));
        break;
    case 1:
        MUST(kvault_cache_set(vault, &on, NULL, &err));
        MUST(kvault_kv_put(kv, pair.key, pair.value, &err));
        break;
    case 2:
        MUST(kvault_cache_set(vault, &off, NULL, &err));
        MUST(kvault_flush(vault, NULL, &err));
        MUST(kvault_kv_put_many(kv, &pair, 1, &err));
        break;
    case 3:
        MUST(kvault_begin(vault, &err));
        MUST(kvault_kv_put(kv, pair.key, (kvault_slice){ &lie, sizeof lie }, &err));
        MUST(kvault_kv_put(kv, pair.key, pair.value, &err));
        MUST(kvault_commit(vault, &err));
        break;
    default:
        MUST(kvault_begin(vault, &err));
        MUST(kvault_kv_put(kv, pair.key, (kvault_slice){ &lie, sizeof lie }, &err));
        MUST(kvault_rollback(vault, &err));
        MUST(kvault_kv_put(kv, pair.key, pair.value, &err));
    }
}

static void stamps_are_never_stale(void)
{
    pthread_t threads[STAMP_READERS];
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;

    CHECK_OK(kvault_open(path, NULL, &vault, &err), &err);
    CHECK_OK(kvault_kv_open(vault, "stamps", &kv, &err), &err);
    for (uint32_t i = 0; i < STAMP_KEYS; i++)
        write_one_way(vault, kv, i, 1, 0);
    for (int i = 0; i < STAMP_READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, read_with_stamps, kv) == 0);
    for (uint64_t round = 2; round < STAMP_ROUNDS; round++) {
        for (uint32_t i = 0; i < STAMP_KEYS; i++) {
            write_one_way(vault, kv, i, round, (int)((round / 7 + i) % 5));
            atomic_store(&acknowledged[i], round);
        }
        if (round % 16 == 0)
            (void)usleep(200); /* so that something stays current for a while */
    }
    atomic_store(&stamps_done, true);
    for (int i = 0; i < STAMP_READERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(atomic_load(&failures) == 0);
    CHECK(atomic_load(&stamp_hits) > 0);
    kvault_kv_free(kv);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
}

int main(void)
{
    char command[64];

    if (!mkdtemp(folder))
        return 1;
    (void)snprintf(path, sizeof path, "%s/threads.kv", folder);
    RUN(threads_share_one_file);
    RUN(the_flusher_flushes_in_the_background);
    RUN(a_handle_freed_with_writes_pending_loses_nothing);
    RUN(the_last_handle_closes_under_working_threads);
    RUN(stamps_are_never_stale);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
