/* test_disk_full.c - a disk without room: an error with words, nothing lost, and on it goes once there is room.
 *
 * Twice: on a tmpfs of 6 MiB, in a mount namespace of the process's own (for root alone), and under a limit for
 * the size of files, which is another error of the system. A file of ballast, or the limit, takes the
 * room away and gives it back. */
#include "kvtest.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kohakuvault/kohakuvault.h"

enum { DISK_BYTES = 6 << 20, VALUE_BYTES = 100000, STREAM_BYTES = 3 << 20 };

static char folder[64], path[96], ballast[96];
static bool by_limit;
static uint8_t bytes[STREAM_BYTES];
static kvault_error err;

struct fixture {
    kvault *vault;
    kvault_kv *kv;
};

static kvault_slice s(const char *text)
{
    return (kvault_slice){ text, strlen(text) };
}

/* ---- room ---- */

static void limit_files(rlim_t size)
{
    struct rlimit limit;

    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = size;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* Leave the files of the vault hardly any room to grow. */
static void take_room(void)
{
    static char block[65536];
    FILE *out;

    if (by_limit) {
        limit_files(1 << 20);
        return;
    }
    out = fopen(ballast, "wb");
    CHECK(out != NULL);
    while (out && fwrite(block, 1, sizeof block, out) == sizeof block)
        continue;
    if (out)
        (void)fclose(out); /* it is full: the last bytes may be missing */
}

static void give_room(void)
{
    if (by_limit)
        limit_files(RLIM_INFINITY);
    else
        CHECK(unlink(ballast) == 0);
}

/* ---- the vault ---- */

static struct fixture start(void)
{
    struct fixture f = { NULL, NULL };

    CHECK_OK(kvault_open(path, NULL, &f.vault, &err), &err);
    CHECK_OK(kvault_kv_open(f.vault, NULL, &f.kv, &err), &err);
    CHECK_OK(kvault_kv_clear(f.kv, &err), &err);
    CHECK_OK(kvault_kv_put(f.kv, s("before"), s("old"), &err), &err);
    CHECK_OK(kvault_checkpoint(f.vault, &err), &err);
    return f;
}

static bool holds(kvault_kv *kv, const char *key, const void *want, size_t size)
{
    uint8_t *got = malloc(size + 1);
    uint64_t have = 0;
    bool same = kvault_kv_get(kv, s(key), got, size + 1, &have, &err) == KVAULT_OK && have == size &&
                memcmp(got, want, size) == 0;

    free(got);
    return same;
}

static void on_problem(void *ctx, const char *where, const char *what)
{
    printf("# %s: %s\n", where, what);
    ++*(int *)ctx;
}

static void finish(struct fixture *f)
{
    int problems = 0;

    kvault_kv_free(f->kv);
    CHECK_OK(kvault_close(f->vault, &err), &err);
    kvault_free(f->vault);
    CHECK_OK(kvault_open(path, NULL, &f->vault, &err), &err);
    CHECK_OK(kvault_verify(f->vault, on_problem, &problems, &err), &err);
    CHECK(problems == 0);
    CHECK_OK(kvault_close(f->vault, &err), &err);
    kvault_free(f->vault);
}

static void check_words(kvault_status rc)
{
    CHECK(rc == KVAULT_E_IO);
    CHECK_MESSAGE(&err, path);
    if (!by_limit)
        CHECK_MESSAGE(&err, "the disk is full");
    else
        CHECK(err.os_code == EFBIG || strstr(err.message, "full") != NULL);
}

static kvault_status put_until_full(struct fixture *f, int *ret_count)
{
    kvault_status rc = KVAULT_OK;
    char key[16];

    for (*ret_count = 0; rc >= 0 && *ret_count < 1000; *ret_count += rc >= 0) {
        (void)snprintf(key, sizeof key, "k%d", *ret_count);
        rc = kvault_kv_put(f->kv, s(key), (kvault_slice){ bytes, VALUE_BYTES }, &err);
    }
    return rc;
}

static void what_was_acknowledged_stays_and_the_next_write_works(void)
{
    struct fixture f = start();
    char key[16];
    int count = 0;

    take_room();
    check_words(put_until_full(&f, &count));
    CHECK(holds(f.kv, "before", "old", 3));
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        CHECK(holds(f.kv, key, bytes, VALUE_BYTES));
    }
    (void)snprintf(key, sizeof key, "k%d", count);
    CHECK_STATUS(kvault_kv_exists(f.kv, s(key), &err), KVAULT_NOT_FOUND, &err);
    give_room();
    CHECK_OK(kvault_kv_put(f.kv, s(key), (kvault_slice){ bytes, VALUE_BYTES }, &err), &err);
    CHECK(holds(f.kv, key, bytes, VALUE_BYTES));
    finish(&f);
}

static void pending_writes_stay_and_the_next_flush_works(void)
{
    kvault_cache_setting on = { true, false, 8 << 20, 8 << 20, 0 };
    struct fixture f = start();
    kvault_stats stats;
    int count = 0;

    take_room();
    check_words(put_until_full(&f, &count)); /* not even for a little more */
    CHECK_OK(kvault_cache_set(f.vault, &on, NULL, &err), &err);
    for (int i = 0; i < 20; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "p%d", i);
        CHECK_OK(kvault_kv_put(f.kv, s(key), (kvault_slice){ bytes, VALUE_BYTES }, &err), &err);
    }
    check_words(kvault_flush(f.vault, NULL, &err));
    check_words(kvault_flush(f.vault, NULL, &err));
    check_words(kvault_close(f.vault, &err)); /* it stays open */
    CHECK(holds(f.kv, "p0", bytes, VALUE_BYTES) && holds(f.kv, "p19", bytes, VALUE_BYTES));
    CHECK_OK(kvault_get_stats(f.vault, &stats, &err), &err);
    CHECK(stats.pending_entries == 20);
    give_room();
    CHECK_OK(kvault_flush(f.vault, NULL, &err), &err);
    CHECK_OK(kvault_get_stats(f.vault, &stats, &err), &err);
    CHECK(stats.pending_entries == 0 && holds(f.kv, "p19", bytes, VALUE_BYTES));
    finish(&f);
}

static void a_stream_that_finds_no_room_leaves_the_old_value(void)
{
    struct fixture f = start();
    kvault_blob *blob = NULL;
    kvault_status rc;

    take_room();
    rc = kvault_blob_open_write(f.kv, s("before"), &blob, &err);
    if (rc >= 0)
        rc = kvault_blob_write(blob, (kvault_slice){ bytes, STREAM_BYTES }, &err);
    if (rc >= 0)
        rc = kvault_blob_publish(blob, &err);
    check_words(rc);
    kvault_blob_free(blob);
    CHECK(holds(f.kv, "before", "old", 3));
    give_room();
    CHECK_OK(kvault_kv_put(f.kv, s("before"), s("new"), &err), &err);
    finish(&f);
}

static void a_transaction_that_finds_no_room_is_undone(void)
{
    struct fixture f = start();
    kvault_status rc;
    int count = 0;

    take_room();
    CHECK_OK(kvault_begin(f.vault, &err), &err);
    rc = put_until_full(&f, &count);
    if (rc >= 0)
        rc = kvault_commit(f.vault, &err);
    check_words(rc);
    if (kvault_depth(f.vault))
        (void)kvault_rollback(f.vault, &err); /* there may be nothing left to undo */
    CHECK(kvault_depth(f.vault) == 0);
    CHECK_STATUS(kvault_kv_exists(f.kv, s("k0"), &err), KVAULT_NOT_FOUND, &err);
    give_room();
    CHECK_OK(kvault_kv_put(f.kv, s("k0"), s("new"), &err), &err);
    finish(&f);
}

static void a_checkpoint_and_a_backup_that_find_no_room_harm_nothing(void)
{
    struct fixture f = start();
    char dest[128];
    int count = 0;

    (void)snprintf(dest, sizeof dest, "%s/backup.kv", folder);
    CHECK_OK(kvault_kv_put(f.kv, s("large"), (kvault_slice){ bytes, 1500000 }, &err), &err);
    take_room();
    (void)put_until_full(&f, &count); /* under a limit the log may already be longer than it */
    CHECK(kvault_backup(f.vault, dest, NULL, NULL, &err) < 0 && access(dest, F_OK) != 0);
    if (kvault_checkpoint(f.vault, &err) < 0)
        CHECK(strlen(err.message) > 10);
    CHECK(holds(f.kv, "large", bytes, 1500000));
    give_room();
    CHECK_OK(kvault_checkpoint(f.vault, &err), &err);
    CHECK(holds(f.kv, "large", bytes, 1500000));
    finish(&f);
}

static void run_all(void)
{
    (void)snprintf(path, sizeof path, "%s/full.kv", folder);
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", folder);
    RUN(what_was_acknowledged_stays_and_the_next_write_works);
    RUN(pending_writes_stay_and_the_next_flush_works);
    RUN(a_stream_that_finds_no_room_leaves_the_old_value);
    RUN(a_transaction_that_finds_no_room_is_undone);
    RUN(a_checkpoint_and_a_backup_that_find_no_room_harm_nothing);
}

/* The mount is seen by nobody else, and goes with the process. */
static bool mount_small_disk(void)
{
    char size[32];

    (void)snprintf(size, sizeof size, "size=%d", DISK_BYTES);
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("kvtest", folder, "tmpfs", 0, size) == 0;
}

int main(void)
{
    char command[96];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 255);
    (void)snprintf(folder, sizeof folder, "%s/kvtest-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    (void)signal(SIGXFSZ, SIG_IGN); /* the write fails instead */
    by_limit = true;
    run_all();
    by_limit = false;
    if (mount_small_disk())
        run_all();
    else
        SKIP("the same on a small disk", "a tmpfs cannot be mounted here");
    (void)umount2(folder, MNT_DETACH);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
