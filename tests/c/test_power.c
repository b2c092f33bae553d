/* test_power.c - the power is cut at every sync: what is found afterwards is a prefix of the commits.
 *
 * A history of commits of every kind, to keys and to columns, runs on a file that the fault VFS follows. Before each
 * sync, truncation and deletion, and after each step, the folder is written down as a cut at that moment
 * may leave it: without what was not synced, with all of it, or with torn parts of it. Each such
 * folder is then opened, as after a reboot: it must verify clean, take a write, and hold what
 * the vault held after some commit of the history: with durability "normal" any since the last
 * checkpoint, with "full" (and without a WAL) the last one acknowledged, or the one that
 * was being made. Now and then the history goes on with what a cut left.
 * KVTEST_CUTS says how many folders are looked at (300). The dice follow KVTEST_SEED. */
#include "kvtest.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fault_vfs.h"
#include "operations.h"
#include "power_cut.h"

enum { STEPS_MAX = 40, CUTS_WAITING_MAX = 2000, VALUE_MAX = 600000 };

static char folder[64], watched[96], cuts[96];
static uint32_t seed;
static long cuts_wanted, cuts_made;
static uint8_t bytes[VALUE_MAX];

/* One history. */
static struct subject subject;
static uint64_t digests[STEPS_MAX + 1]; /* what the vault holds after that many commits */
static int acknowledged, promised;      /* commits; `promised` of them survive every cut */
static bool keeps_all;                  /* what is acknowledged is promised */

/* The folders not looked at yet, and what may be in them. */
static struct cut {
    int promised, begun;
    enum power_rest rest;
    const char *moment;
} waiting[CUTS_WAITING_MAX];
static int waiting_count;

static uint32_t dice(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* ---- folders ---- */

static void name_cut(char *ret_path, size_t size, int number)
{
    (void)snprintf(ret_path, size, "%s/%d", cuts, number);
}

static void empty_folder(const char *path)
{
    DIR *open = opendir(path);
    struct dirent *entry;
    char name[400];

    while (open && (entry = readdir(open)))
        if (entry->d_name[0] != '.') {
            (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            (void)unlink(name);
        }
    if (open)
        (void)closedir(open);
}

static void remove_folder(const char *path)
{
    empty_folder(path);
    (void)rmdir(path);
}

/* ---- cuts ---- */

/* Every second moment, so that a history goes further for the same number of cuts. */
static void cut_now(void *ctx, const char *moment)
{
    int begun = *(int *)ctx;
    enum power_rest rest = (enum power_rest)(dice(4) % 3); /* dropped a little more often than the rest */
    char path[128];

    if (waiting_count == CUTS_WAITING_MAX || dice(2))
        return;
    name_cut(path, sizeof path, waiting_count);
    CHECK(mkdir(path, 0700) == 0 && power_cut(path, rest, dice(1u << 24)));
    waiting[waiting_count++] = (struct cut){ promised, begun, rest, moment };
}

static void on_problem(void *ctx, const char *where, const char *what)
{
    printf("# %s: %s\n", where, what);
    ++*(int *)ctx;
}

static void check_opened(struct subject *found, const struct cut *cut)
{
    kvault_slice key = { "after the cut", 13 };
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t digest = 0;
    int problems = 0, commits = cut->begun;

    CHECK_OK(subject_digest(found, &digest, &err), &err);
    while (commits >= cut->promised && digests[commits] != digest)
        commits--;
    CHECK(commits >= cut->promised);
    CHECK_OK(kvault_verify(found->vault, on_problem, &problems, &err), &err);
    CHECK(problems == 0);
    CHECK_OK(kvault_kv_put(found->kv, key, key, &err), &err);
}

static void check_cut(int number)
{
    static const char *const rests[] = { "dropped", "kept", "torn" };
    const struct cut *cut = &waiting[number];
    struct subject found = { .without_wal = subject.without_wal, .durable = subject.durable };
    kvault_error err = KVAULT_ERROR_INIT;
    char path[128];
    bool good = kvtest_ok;

    kvtest_ok = true;
    name_cut(path, sizeof path, number);
    (void)snprintf(found.path, sizeof found.path, "%s/vault.kv", path);
    CHECK_OK(subject_open(&found, &err), &err);
    if (found.vault) {
        check_opened(&found, cut);
        CHECK_OK(subject_close(&found, &err), &err);
    }
    if (!kvtest_ok)
        printf("# cut at %s, the rest %s, %d to %d commits\n", cut->moment, rests[cut->rest], cut->promised,
               cut->begun);
    kvtest_ok &= good;
    remove_folder(path);
    cuts_made++;
}

static void check_cuts(void)
{
    for (int i = 0; i < waiting_count; i++)
        check_cut(i);
    waiting_count = 0;
}

/* ---- the history ---- */

static kvault_slice value_of(size_t size)
{
    bytes[dice(VALUE_MAX)]++; /* another one each time */
    return (kvault_slice){ bytes + dice(100), size };
}

static kvault_slice some_key(char text[8])
{
    return (kvault_slice){ text, (size_t)snprintf(text, 8, "k%u", dice(8)) };
}

static kvault_status put_some(int count, size_t size_max, kvault_error *err)
{
    char key[8];
    kvault_status rc = KVAULT_OK;

    for (int i = 0; i < count && rc >= 0; i++)
        rc = kvault_kv_put(subject.kv, some_key(key), value_of(1 + dice((uint32_t)size_max)), err);
    return rc;
}

static kvault_status put_in_transaction(kvault_error *err)
{
    kvault_status rc = kvault_begin(subject.vault, err);

    if (rc >= 0)
        rc = put_some(2, 100000, err);
    if (rc >= 0)
        rc = kvault_begin(subject.vault, err);
    if (rc >= 0)
        rc = put_some(1, 5000, err);
    if (rc >= 0)
        rc = dice(2) ? kvault_rollback(subject.vault, err) : kvault_commit(subject.vault, err);
    return rc >= 0 ? kvault_commit(subject.vault, err) : rc;
}

static kvault_status put_through_cache(kvault_error *err)
{
    kvault_cache_setting on = { true, true, 8 << 20, 4 << 20, 0 }, off = { 0 };
    kvault_status rc = kvault_cache_set(subject.vault, &on, NULL, err);

    if (rc >= 0)
        rc = put_some(5, 20000, err);
    if (rc >= 0)
        rc = kvault_flush(subject.vault, NULL, err);
    return rc >= 0 ? kvault_cache_set(subject.vault, &off, NULL, err) : rc;
}

static kvault_status write_stream(bool append, kvault_error *err)
{
    kvault_blob *blob = NULL;
    bool opened;
    char key[8];
    kvault_status rc = append ? kvault_blob_open_append(subject.kv, some_key(key), &blob, err)
                              : kvault_blob_open_write(subject.kv, some_key(key), &blob, err);

    for (int i = 0; i < 3 && rc >= 0; i++)
        rc = kvault_blob_write(blob, value_of(100000), err);
    if (rc >= 0)
        rc = kvault_blob_publish(blob, err);
    opened = blob != NULL;
    kvault_blob_free(blob);
    /* The machine died with an appender at work, whose mark keeps others away for an hour. */
    return append && !opened && rc == KVAULT_E_BUSY ? KVAULT_OK : rc;
}

static kvault_status checkpoint(kvault_error *err)
{
    kvault_status rc = kvault_checkpoint(subject.vault, err);

    if (rc >= 0 && !subject.without_wal)
        promised = acknowledged; /* copied into the file, and synced */
    return rc;
}

static kvault_status reopen(kvault_error *err)
{
    kvault_status rc = subject_close(&subject, err);

    return rc >= 0 ? subject_open(&subject, err) : rc;
}

static kvault_status change_column(kvault_error *err)
{
    kvault_elements numbers = { value_of(8 * 300).data, NULL, 300 };
    const uint64_t offsets[] = { 0, 10, 10 + dice(3000) };
    kvault_elements texts = { value_of(offsets[2]).data, offsets, 2 };
    kvault_range range = { dice(300), dice(300), 1 + dice(5) };

    switch (dice(6)) {
    case 0:
        return kvault_column_append(subject.numbers, &numbers, err);
    case 1:
        return kvault_column_insert(subject.numbers, dice(10000), &numbers, err);
    case 2:
        return kvault_column_delete_range(subject.numbers, &range, err);
    case 3:
        return kvault_column_append(subject.texts, &texts, err);
    case 4:
        return kvault_column_insert(subject.texts, dice(500), &texts, err);
    default:
        return kvault_column_delete_range(subject.texts, &range, err);
    }
}

/* At most one visible commit. */
static kvault_status step(kvault_error *err)
{
    char key[8];

    if (!subject.numbers)
        return subject_fill(&subject, err);
    switch (dice(15)) {
    case 0:
        return kvault_kv_put(subject.kv, some_key(key), value_of(262145 + dice(20000)), err);
    case 1:
        return kvault_kv_delete(subject.kv, some_key(key), err);
    case 2:
        return put_in_transaction(err);
    case 3:
        return put_through_cache(err);
    case 4:
        return write_stream(false, err);
    case 5:
        return write_stream(true, err);
    case 6:
    case 7:
        return checkpoint(err);
    case 8:
        return reopen(err);
    case 9:
        return dice(4) ? put_some(1, 100, err) : kvault_kv_clear(subject.kv, err);
    case 10:
    case 11:
    case 12:
        return change_column(err);
    default:
        return put_some(1, 9000, err);
    }
}

static void run_steps(int count)
{
    kvault_error err = KVAULT_ERROR_INIT;
    int begun = 0;

    acknowledged = promised = 0;
    power_watch(watched);
    power_on_moment(cut_now, &begun);
    CHECK_OK(subject_open(&subject, &err), &err);
    if (subject.vault)
        CHECK_OK(subject_digest(&subject, &digests[0], &err), &err);
    for (int i = 0; i < count && kvtest_ok; i++) {
        begun = acknowledged + 1;
        CHECK(step(&err) >= 0 || (printf("# %s\n", err.message), false));
        CHECK_OK(subject_digest(&subject, &digests[begun], &err), &err);
        acknowledged = begun;
        if (keeps_all)
            promised = acknowledged;
        cut_now(&begun, "the end of a step");
    }
    check_cuts();
}

/* The power is cut for good: the history goes on with what is left. */
static void go_on_with_what_is_left(void)
{
    kvault_error err = KVAULT_ERROR_INIT;
    char left[128], from[160], to[160];
    static const char *const parts[] = { "vault.kv", "vault.kv-wal", "vault.kv-journal" };

    power_on_moment(NULL, NULL);
    (void)snprintf(left, sizeof left, "%s/left", folder);
    CHECK(mkdir(left, 0700) == 0 && power_cut(left, (enum power_rest)dice(3), dice(1u << 24)));
    CHECK_OK(subject_close(&subject, &err), &err);
    empty_folder(watched);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(from, sizeof from, "%s/%s", left, parts[i]);
        (void)snprintf(to, sizeof to, "%s/%s", watched, parts[i]);
        (void)rename(from, to); /* not each is there */
    }
    remove_folder(left);
}

static void cut_histories(bool without_wal, bool durable)
{
    long until = cuts_made + cuts_wanted / 4;

    subject = (struct subject){ .without_wal = without_wal, .durable = durable };
    (void)snprintf(subject.path, sizeof subject.path, "%s/vault.kv", watched);
    keeps_all = durable;
    for (int number = 0; cuts_made < until && kvtest_ok; number++) {
        if (number % 4 == 0)
            empty_folder(watched);
        run_steps(5 + (int)dice(STEPS_MAX - 5));
        if (kvtest_ok)
            go_on_with_what_is_left();
    }
    power_unwatch();
}

static void with_normal_durability_a_cut_leaves_a_prefix(void)
{
    cut_histories(false, false);
}

static void with_full_durability_it_leaves_all_that_was_acknowledged(void)
{
    cut_histories(false, true);
}

static void without_a_wal_it_leaves_a_prefix(void)
{
    cut_histories(true, false);
}

static void without_a_wal_and_full_durability_it_leaves_all(void)
{
    cut_histories(true, true);
}

int main(void)
{
    const char *wanted = getenv("KVTEST_CUTS"), *given = getenv("KVTEST_SEED");
    char command[96];

    cuts_wanted = wanted ? strtol(wanted, NULL, 10) : 300;
    seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)time(NULL);
    printf("# seed %u, %ld cuts\n", seed, cuts_wanted);
    (void)snprintf(folder, sizeof folder, "%s/kvtest-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    (void)snprintf(watched, sizeof watched, "%s/watched", folder);
    (void)snprintf(cuts, sizeof cuts, "%s/cuts", folder);
    if (mkdir(watched, 0700) != 0 || mkdir(cuts, 0700) != 0)
        return 1;
    fault_vfs_install();
    RUN(with_normal_durability_a_cut_leaves_a_prefix);
    RUN(with_full_durability_it_leaves_all_that_was_acknowledged);
    RUN(without_a_wal_it_leaves_a_prefix);
    RUN(without_a_wal_and_full_durability_it_leaves_all);
    fault_vfs_remove();
    printf("# %ld cuts\n", cuts_made);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
