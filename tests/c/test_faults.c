/* test_faults.c - every public operation with each call to the disk, and each allocation, going wrong once.
 *
 * An operation is first run undisturbed: what the vault holds before and after, and how many
 * calls of each kind it makes. Then it is run again for the 1st, 2nd, 3rd... call of each kind failing, being
 * short, torn or busy, once or from then on; and the same for the allocations of ours and of SQLite's. Afterwards, with
 * the disk well again:
 *   - it failed with words, or succeeded and did what it says;
 *   - the open handle sees what was there before or what is there after, nothing between;
 *   - it can be used: the next write succeeds, and so does closing;
 *   - nothing leaked: memory of ours, memory of SQLite, files;
 *   - the file opens, verifies clean, and holds what the handle saw.
 * KVTEST_FAULTS says how many faults of each operation are tried (6); "all": every one. The
 * dice that choose follow KVTEST_SEED. */
#include "kvtest.h"

#include <sqlite3.h>
#include <time.h>
#include <unistd.h>

#include "fault_vfs.h"
#include "operations.h"
#include "sqlite_heap.h"

/* Behind the calls to the disk. */
enum { HEAP_OURS = FAULT_CALLS, HEAP_SQLITE, KINDS };

static char folder[64];
static bool without_wal;
static long faults_wanted; /* of an operation; 0: all */
static uint32_t seed;
static long long faults_tried, faults_failed;

/* ---- files ---- */

static void name_file(char *ret_path, const char *name)
{
    (void)snprintf(ret_path, 256, "%s/%s%s", folder, name, without_wal ? ".journal" : ".wal");
}

/* Copy a file; one that is not there leaves none. */
static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 16];
    FILE *in = fopen(from, "rb"), *out;
    size_t size;

    (void)unlink(to);
    if (!in)
        return;
    out = fopen(to, "wb");
    CHECK(out != NULL);
    while (out && (size = fread(bytes, 1, sizeof bytes, in)) > 0)
        CHECK(fwrite(bytes, 1, size, out) == size);
    CHECK(out && fclose(out) == 0);
    (void)fclose(in);
}

static void copy_database(const char *from, const char *to)
{
    static const char *const parts[] = { "", "-wal", "-journal", "-shm" };
    char source[300], target[300];

    for (int i = 0; i < 4; i++) {
        (void)snprintf(source, sizeof source, "%s%s", from, parts[i]);
        (void)snprintf(target, sizeof target, "%s%s", to, parts[i]);
        if (i < 3)
            copy_file(source, target);
        else
            (void)unlink(target); /* a crash of the machine takes it, and so does the last close */
    }
}

/* The file that operations start with, and one as a dead process left it. */
static void make_templates(void)
{
    kvault_error err = KVAULT_ERROR_INIT;
    struct subject subject = { .without_wal = without_wal };
    char crashed[256];

    name_file(subject.path, "template");
    name_file(crashed, "crashed");
    (void)unlink(subject.path); /* of an earlier pass */
    CHECK_OK(subject_open(&subject, &err), &err);
    CHECK_OK(subject_fill(&subject, &err), &err);
    copy_database(subject.path, crashed);
    CHECK_OK(subject_close(&subject, &err), &err);
}

static struct subject begin(const struct operation *operation, kvault_error *reterr)
{
    struct subject subject = { .without_wal = without_wal };
    char from[256];

    name_file(from, operation->from_nothing ? "nothing" : operation->from_crash ? "crashed" : "template");
    name_file(subject.path, "subject");
    name_file(subject.backup_path, "backup");
    (void)unlink(subject.backup_path);
    copy_database(from, subject.path);
    if (!operation->from_closed)
        CHECK_OK(subject_open(&subject, reterr), reterr);
    if (operation->prepare)
        CHECK_OK(operation->prepare(&subject, reterr), reterr);
    return subject;
}

/* ---- what is right afterwards ---- */

static void on_problem(void *ctx, const char *where, const char *what)
{
    printf("# %s: %s\n", where, what);
    ++*(int *)ctx;
}

static uint64_t digest(struct subject *subject)
{
    kvault_error err = KVAULT_ERROR_INIT;
    uint64_t now = 0;

    if (!subject->vault)
        CHECK_OK(subject_open(subject, &err), &err);
    if (subject->vault)
        CHECK_OK(subject_digest(subject, &now, &err), &err);
    return now;
}

static void check_file(const char *path, uint64_t want)
{
    struct subject subject = { .without_wal = without_wal };
    kvault_error err = KVAULT_ERROR_INIT;
    int problems = 0;

    (void)snprintf(subject.path, sizeof subject.path, "%s", path);
    CHECK(digest(&subject) == want);
    if (!subject.vault)
        return;
    CHECK_OK(kvault_verify(subject.vault, on_problem, &problems, &err), &err);
    CHECK(problems == 0);
    CHECK_OK(subject_close(&subject, &err), &err);
}

/* A backup is whole or not there. */
static void check_backup(const struct subject *subject, bool made, uint64_t want)
{
    bool there = access(subject->backup_path, F_OK) == 0;

    CHECK(there || !made);
    if (there)
        check_file(subject->backup_path, want);
}

static void check_usable(struct subject *subject)
{
    kvault_slice key = { "afterwards", 10 };
    kvault_error err = KVAULT_ERROR_INIT;
    char got[16];
    uint64_t size = 0;

    CHECK(kvault_depth(subject->vault) == 0);
    CHECK_OK(kvault_kv_put(subject->kv, key, (kvault_slice){ "well", 4 }, &err), &err);
    CHECK_OK(kvault_kv_get(subject->kv, key, got, sizeof got, &size, &err), &err);
    CHECK(size == 4 && memcmp(got, "well", 4) == 0);
}

struct clean_run {
    uint64_t before, after;
    long counts[KINDS];
};

struct fault {
    int kind, how;
    bool stays;
    long nth;
};

static bool applies(int kind, int how, bool stays)
{
    if (kind == HEAP_OURS) /* alloc_fault.c knows no other way */
        return how == FAULT_FAILS && stays;
    if (kind == HEAP_SQLITE)
        return how == FAULT_FAILS;
    /* A lock that stays busy is another program's, and other tests wait for one. */
    return fault_vfs_applies(kind, how) && !(stays && (how == FAULT_BUSY || how == FAULT_SHORT));
}

static void arm(struct fault fault)
{
    if (fault.kind == HEAP_OURS)
        kvtest_alloc_fail_at(fault.nth);
    else if (fault.kind == HEAP_SQLITE)
        sqlite_heap_fail_at(fault.nth, fault.stays);
    else
        fault_vfs_arm(fault.kind, fault.nth, fault.how, fault.stays);
}

/* Nothing goes wrong any more, and counting begins anew. */
static void disarm(void)
{
    kvtest_alloc_fail_at(0);
    sqlite_heap_fail_at(0, false);
    fault_vfs_disarm();
}

static long count_of(int kind)
{
    return kind == HEAP_OURS ? kvtest_alloc_count() : kind == HEAP_SQLITE ? sqlite_heap_count() : fault_vfs_count(kind);
}

static const char *text_of(int kind)
{
    return kind == HEAP_OURS ? "allocation" : kind == HEAP_SQLITE ? "allocation of SQLite" : fault_vfs_call_text(kind);
}

static struct clean_run run_clean(const struct operation *operation)
{
    kvault_error err = KVAULT_ERROR_INIT;
    struct subject subject = begin(operation, &err);
    struct clean_run clean = { 0 };

    if (!operation->from_nothing)
        clean.before = digest(&subject);
    if (operation->from_closed)
        CHECK_OK(subject_close(&subject, &err), &err);
    if (operation->from_crash) /* looking at it has repaired it */
        subject = begin(operation, &err);
    disarm();
    CHECK(operation->run(&subject, &err) >= 0);
    for (int kind = 0; kind < KINDS; kind++)
        clean.counts[kind] = count_of(kind);
    CHECK(!subject.wrong);
    clean.after = digest(&subject);
    if (operation->from_nothing)
        clean.before = clean.after;
    check_backup(&subject, false, clean.before);
    check_usable(&subject);
    CHECK_OK(subject_close(&subject, &err), &err);
    return clean;
}

/* ---- one fault ---- */

static void after_fault(struct subject *subject, const struct clean_run *clean, kvault_status rc,
                        const kvault_error *err)
{
    kvault_error ending = KVAULT_ERROR_INIT;
    uint64_t now;

    if (rc < 0) {
        faults_failed++;
        CHECK(err->status == rc && strlen(err->message) > 10);
    }
    CHECK(rc < 0 || !subject->wrong);
    now = digest(subject);
    CHECK(now == clean->after || (rc < 0 && now == clean->before));
    if (!subject->vault)
        return;
    check_usable(subject);
    now = digest(subject);
    CHECK_OK(subject_close(subject, &ending), &ending);
    check_file(subject->path, now);
    check_backup(subject, false, clean->before);
}

static void run_fault(const struct operation *operation, const struct clean_run *clean, struct fault fault)
{
    kvault_error err = KVAULT_ERROR_INIT;
    struct subject subject = begin(operation, &err);
    kvault_status rc;

    arm(fault);
    rc = operation->run(&subject, &err);
    disarm();
    faults_tried++;
    after_fault(&subject, clean, rc, &err);
    CHECK(fault_vfs_open_files() == 0);
    if (!kvtest_ok)
        printf("# %s: %s %ld %s%s: status %d: %s\n", operation->name, text_of(fault.kind), fault.nth,
               fault_vfs_how_text(fault.how), fault.stays ? ", and every later one" : "", rc, err.message);
}

/* ---- all of them, or some ---- */

static uint32_t dice(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static size_t list_faults(const struct clean_run *clean, int first, int end, struct fault *faults)
{
    size_t count = 0;

    for (int kind = first; kind < end; kind++)
        for (int how = 0; how < FAULT_HOWS; how++)
            for (int stays = 0; stays < 2; stays++)
                for (long nth = 1; applies(kind, how, stays) && nth <= clean->counts[kind]; nth++)
                    faults[count++] = (struct fault){ kind, how, stays, nth };
    return count;
}

/* The kinds from `first` to `end`, excluded. */
static void try_operation(const struct operation *operation, int first, int end)
{
    static struct fault faults[65536];
    struct clean_run clean = run_clean(operation);
    size_t count = list_faults(&clean, first, end, faults), wanted = faults_wanted ? (size_t)faults_wanted : count;
    long live = kvtest_alloc_live();
    sqlite3_int64 used = sqlite3_memory_used();
    bool good = kvtest_ok;
    int bad = 0;

    for (size_t i = 0; i < count && i < wanted; i++) {
        size_t chosen = i + (faults_wanted ? dice() % (count - i) : 0);
        struct fault fault = faults[chosen];

        faults[chosen] = faults[i];
        kvtest_ok = true;
        run_fault(operation, &clean, fault);
        CHECK(kvtest_alloc_live() == live && sqlite3_memory_used() == used);
        good &= kvtest_ok;
        bad += !kvtest_ok;
        if (bad > 4)
            break;
    }
    kvtest_ok = good;
    printf("# %s: %zu of %zu faults\n", operation->name, count < wanted ? count : wanted, count);
    fflush(stdout);
}

static void try_all(int first, int end)
{
    const char *only = getenv("KVTEST_OPERATION");
    bool good = true;

    make_templates();
    for (int i = 0; i < kv_operation_count + column_operation_count; i++) {
        const struct operation *operation =
            i < kv_operation_count ? &kv_operations[i] : &column_operations[i - kv_operation_count];

        if (only && strcmp(only, operation->name) != 0)
            continue;
        kvtest_ok = true;
        try_operation(operation, first, end);
        good &= kvtest_ok;
    }
    kvtest_ok = good;
}

static void every_fault_is_an_error_with_words_and_harms_nothing(void)
{
    without_wal = false;
    try_all(0, FAULT_CALLS);
}

static void so_it_is_without_a_wal(void)
{
    without_wal = true;
    try_all(0, FAULT_CALLS);
}

static void so_it_is_when_memory_runs_out(void)
{
    without_wal = false;
    try_all(HEAP_OURS, KINDS);
}

int main(void)
{
    const char *faults = getenv("KVTEST_FAULTS"), *given = getenv("KVTEST_SEED");
    char command[96];

    faults_wanted = faults ? strtol(faults, NULL, 10) : 6; /* "all" is 0 */
    seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)time(NULL);
    printf("# seed %u\n", seed);
    /* In memory where there is such a folder: what a disk does is the VFS's part here. */
    (void)snprintf(folder, sizeof folder, "%s/kvtest-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    sqlite_heap_install();
    fault_vfs_install();
    RUN(every_fault_is_an_error_with_words_and_harms_nothing);
    RUN(so_it_is_without_a_wal);
    RUN(so_it_is_when_memory_runs_out);
    fault_vfs_remove();
    printf("# %lld faults, %lld of them failed the operation\n", faults_tried, faults_failed);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
