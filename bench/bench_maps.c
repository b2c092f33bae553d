/* bench_maps.c - a SkipList with one thread and two, beside the same list under a mutex, and beside two processes,
 * which show how much two of this machine's processors really do at once.
 *
 *     bench_maps [ROUNDS]
 *
 * Every figure is what two workers got done in the time that one needs for the same: 2 would be perfect, 1 is no
 * gain. Each round does all ways in alternation; the median of the rounds is told, with its quartiles. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kohakuvault/skiplist.h>

#define ROUNDS_MAX 200
#define BATCH 64 /* operations under one pin */

enum work { WORK_GET, WORK_GET_MANY, WORK_INSERT, WORKS };
static const char *const work_names[WORKS] = { "get", "get_many", "insert and remove" };

enum way { WAY_ONE, WAY_THREADS, WAY_MUTEX, WAY_PROCESSES, WAYS };
static const char *const way_names[WAYS] = { "one", "two threads", "two threads, a mutex", "two processes" };

struct bench {
    kvault_skiplist *list;
    size_t size;
    bool text;
    char (*texts)[32];
    pthread_mutex_t mutex;
};

struct worker {
    struct bench *bench;
    enum work work;
    bool locks;
    size_t operations;
    uint64_t random;
    int64_t own; /* keys that only this worker inserts */
    atomic_int *ready;
};

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench_maps: %s\n", what);
        exit(1);
    }
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint64_t next_random(struct worker *self)
{
    self->random ^= self->random << 13;
    self->random ^= self->random >> 7;
    self->random ^= self->random << 17;
    return self->random;
}

/* Keys are even numbers, and their texts; odd ones are inserted and removed again. */
static kvault_key key_of(const struct bench *bench, size_t number)
{
    if (bench->text)
        return (kvault_key){ .bytes = { bench->texts[number], 15 } };
    return (kvault_key){ .i64 = (int64_t)number };
}

static void get_some(struct worker *self, kvault_skiplist_pin *pin)
{
    void *value = NULL;

    for (int i = 0; i < BATCH; i++) {
        size_t number = next_random(self) % self->bench->size * 2;

        must(kvault_skiplist_get(pin, key_of(self->bench, number), &value, NULL) == KVAULT_OK, "a key is absent");
        must((uintptr_t)value == number, "a value is wrong");
    }
}

static void get_many(struct worker *self, kvault_skiplist_pin *pin)
{
    kvault_key keys[BATCH];
    size_t numbers[BATCH];
    void *values[BATCH];

    for (int i = 0; i < BATCH; i++) {
        numbers[i] = next_random(self) % self->bench->size * 2;
        keys[i] = key_of(self->bench, numbers[i]);
    }
    must(kvault_skiplist_get_many(pin, keys, BATCH, NULL, values, NULL) == KVAULT_OK, "get_many");
    for (int i = 0; i < BATCH; i++)
        must((uintptr_t)values[i] == numbers[i], "a value is wrong");
}

/* Half of a batch is inserted, then removed again. Each worker has every other odd number. */
static void insert_some(struct worker *self, kvault_skiplist_pin *pin)
{
    size_t numbers[BATCH / 2];

    for (int i = 0; i < BATCH / 2; i++) {
        numbers[i] = next_random(self) % (self->bench->size / 2) * 4 + 1 + 2 * (size_t)self->own;
        must(kvault_skiplist_set(pin, key_of(self->bench, numbers[i]), NULL, NULL, NULL) >= 0, "set");
    }
    for (int i = 0; i < BATCH / 2; i++)
        must(kvault_skiplist_remove(pin, key_of(self->bench, numbers[i]), NULL, NULL) >= 0, "remove");
}

static void *work(void *argument)
{
    struct worker *self = argument;

    atomic_fetch_add(self->ready, 1);
    while (atomic_load(self->ready) < 2)
        sched_yield(); /* both begin at once */
    for (size_t done = 0; done < self->operations; done += BATCH) {
        kvault_skiplist_pin pin;

        if (self->locks)
            pthread_mutex_lock(&self->bench->mutex);
        must(kvault_skiplist_enter(self->bench->list, &pin, NULL) == KVAULT_OK, "enter");
        (self->work == WORK_GET ? get_some : self->work == WORK_GET_MANY ? get_many : insert_some)(self, &pin);
        kvault_skiplist_leave(&pin);
        if (self->locks)
            pthread_mutex_unlock(&self->bench->mutex);
    }
    return NULL;
}

/* Seconds for both workers to be done. */
static double run_threads(struct worker *workers)
{
    pthread_t thread;
    double began = now_s();

    must(pthread_create(&thread, NULL, work, &workers[1]) == 0, "pthread_create");
    work(&workers[0]);
    must(pthread_join(thread, NULL) == 0, "pthread_join");
    return now_s() - began;
}

static double run_processes(struct worker *workers)
{
    double began = now_s();
    pid_t child = fork();
    int status = 0;

    must(child >= 0, "fork");
    if (child == 0) {
        work(&workers[1]);
        _exit(0);
    }
    work(&workers[0]);
    must(waitpid(child, &status, 0) == child && status == 0, "the child");
    return now_s() - began;
}

static double run(struct bench *bench, enum work what, enum way way, size_t operations)
{
    /* Seen by both processes. */
    atomic_int *ready = mmap(NULL, sizeof *ready, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct worker workers[2];
    double took;

    must(ready != MAP_FAILED, "mmap");
    atomic_init(ready, way == WAY_ONE ? 1 : 0);
    for (int i = 0; i < 2; i++)
        workers[i] = (struct worker){ bench,  what, way == WAY_MUTEX, operations, 88172645463325252u + (uint64_t)i,
                                      (int64_t)i, ready };
    if (way == WAY_ONE) {
        double began = now_s();
        work(&workers[0]);
        took = now_s() - began;
    } else {
        took = way == WAY_PROCESSES ? run_processes(workers) : run_threads(workers);
    }
    munmap(ready, sizeof *ready);
    return took;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct bench *bench, enum work what, int rounds)
{
    static double gains[WAYS][ROUNDS_MAX], alone[ROUNDS_MAX];
    size_t operations = BATCH * 64;

    while (run(bench, what, WAY_ONE, operations) < 0.08)
        operations *= 2;
    for (int round = 0; round < rounds; round++) {
        alone[round] = run(bench, what, WAY_ONE, operations);
        for (enum way way = WAY_THREADS; way < WAYS; way++)
            gains[way][round] = 2 * alone[round] / run(bench, what, way, operations);
    }
    qsort(alone, (size_t)rounds, sizeof alone[0], compare_doubles);
    printf("| %s, %s, %zu | %.0f |", work_names[what], bench->text ? "bytes" : "int", bench->size,
           alone[rounds / 2] / (double)operations * 1e9);
    for (enum way way = WAY_THREADS; way < WAYS; way++) {
        qsort(gains[way], (size_t)rounds, sizeof gains[way][0], compare_doubles);
        printf(" %.2f (%.2f to %.2f) |", gains[way][rounds / 2], gains[way][rounds / 4], gains[way][rounds * 3 / 4]);
    }
    printf("\n");
    fflush(stdout);
}

static void fill(struct bench *bench)
{
    kvault_skiplist_pin pin;

    must(kvault_skiplist_new(bench->text ? KVAULT_KEY_BYTES : KVAULT_KEY_I64, NULL, &bench->list, NULL) == KVAULT_OK,
         "new");
    bench->texts = bench->text ? malloc(2 * bench->size * sizeof *bench->texts) : NULL;
    must(!bench->text || bench->texts, "out of memory");
    for (size_t number = 0; bench->text && number < 2 * bench->size; number++)
        snprintf(bench->texts[number], sizeof bench->texts[number], "key%012zu", number);
    must(kvault_skiplist_enter(bench->list, &pin, NULL) == KVAULT_OK, "enter");
    /* In an order that is not that of the keys, so that neighbours do not lie side by side. */
    for (size_t i = 0, number = 0; i < bench->size; i++, number = (number + 618034) % bench->size)
        must(kvault_skiplist_insert(&pin, key_of(bench, 2 * number), (void *)(2 * number), NULL, NULL) == KVAULT_OK,
             "insert");
    kvault_skiplist_leave(&pin);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = { 10007, 100003, 1000003 }; /* primes, for the order in fill() */
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 20;

    must(rounds > 0 && rounds <= ROUNDS_MAX, "want 1 to 200 rounds");
    printf("| work | one thread, ns |");
    for (enum way way = WAY_THREADS; way < WAYS; way++)
        printf(" %s |", way_names[way]);
    printf("\n|---|---|---|---|---|\n");
    for (int text = 0; text < 2; text++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct bench bench = { .size = sizes[i], .text = text };

            pthread_mutex_init(&bench.mutex, NULL);
            fill(&bench);
            for (enum work what = WORK_GET; what < WORKS; what++)
                measure(&bench, what, rounds);
            kvault_skiplist_free(bench.list);
            free(bench.texts);
        }
    return 0;
}
