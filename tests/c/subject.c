/* subject.c - the vault that operations are tried on. See operations.h. */
#include <stdio.h>
#include <stdlib.h>

#include "operations.h"

kvault_slice operation_bytes(size_t size, unsigned seed)
{
    static uint8_t all[8][STREAM];
    static bool made[8];

    for (size_t i = 0; i < STREAM && !made[seed]; i++)
        all[seed][i] = (uint8_t)(i * 131 + i / 251 + seed * 57);
    made[seed] = true;
    return (kvault_slice){ all[seed], size };
}

/* ---- open and close ---- */

static void free_handles(struct subject *subject)
{
    kvault_column_free(subject->numbers);
    kvault_column_free(subject->texts);
    kvault_kv_free(subject->kv);
    kvault_free(subject->vault);
    subject->numbers = subject->texts = NULL;
    subject->kv = NULL;
    subject->vault = NULL;
}

kvault_status subject_open(struct subject *subject, kvault_error *reterr)
{
    kvault_options options;
    kvault_status rc;

    kvault_options_init(&options);
    options.enable_wal = !subject->without_wal;
    options.durability = subject->durable ? KVAULT_DURABILITY_FULL : KVAULT_DURABILITY_NORMAL;
    options.busy_timeout_ms = 100;
    rc = kvault_open(subject->path, &options, &subject->vault, reterr);
    if (rc < 0)
        return rc;
    rc = kvault_kv_open(subject->vault, NULL, &subject->kv, reterr);
    STEP(kvault_column_open(subject->vault, text("numbers"), &subject->numbers, reterr));
    STEP(kvault_column_open(subject->vault, text("texts"), &subject->texts, reterr));
    if (rc >= 0)
        return KVAULT_OK;
    (void)kvault_close(subject->vault, NULL); /* nothing is pending */
    free_handles(subject);
    return rc;
}

kvault_status subject_close(struct subject *subject, kvault_error *reterr)
{
    kvault_status rc = subject->vault ? kvault_close(subject->vault, reterr) : KVAULT_OK;

    if (rc >= 0)
        free_handles(subject);
    return rc;
}

/* ---- contents ---- */

static kvault_status fill_columns(struct subject *subject, kvault_error *reterr)
{
    kvault_elements numbers = { operation_bytes(NUMBERS * 8, 0).data, NULL, NUMBERS };
    kvault_elements texts = { operation_bytes(STREAM, 1).data, NULL, TEXTS };
    uint64_t offsets[TEXTS + 1] = { 0 };
    kvault_status rc;

    for (int i = 0; i < TEXTS; i++)
        offsets[i + 1] = offsets[i] + (uint64_t)(i * 37 % 150);
    texts.offsets = offsets;
    rc = kvault_column_create(subject->vault, text("numbers"), text("i64"), NULL, &subject->numbers, reterr);
    STEP(kvault_column_append(subject->numbers, &numbers, reterr));
    STEP(kvault_column_create(subject->vault, text("texts"), text("bytes"), NULL, &subject->texts, reterr));
    STEP(kvault_column_append(subject->texts, &texts, reterr));
    return rc;
}

kvault_status subject_fill(struct subject *subject, kvault_error *reterr)
{
    kvault_status rc = kvault_begin(subject->vault, reterr);
    char key[16];

    for (int i = 0; i < SMALL_KEYS; i++) {
        (void)snprintf(key, sizeof key, "k%02d", i);
        STEP(kvault_kv_put(subject->kv, text(key), operation_bytes(SMALL + (size_t)i, 0), reterr));
    }
    STEP(kvault_kv_put(subject->kv, text("medium"), operation_bytes(MEDIUM, 1), reterr));
    STEP(kvault_kv_put(subject->kv, text("large"), operation_bytes(LARGE, 2), reterr));
    STEP(fill_columns(subject, reterr));
    STEP(kvault_commit(subject->vault, reterr));
    return rc;
}

static uint64_t mix(uint64_t hash, kvault_slice data)
{
    const uint8_t *at = data.data;

    hash = (hash ^ data.size) * 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < data.size; i++)
        hash = (hash ^ at[i]) * 0x100000001B3u;
    return hash;
}

kvault_status subject_digest_keys(kvault_kv *kv, bool reverse, uint64_t *ret_digest, kvault_error *reterr)
{
    kvault_kv_scan_options all = { .with_values = true, .reverse = reverse, .limit = UINT64_MAX };
    kvault_kv_scan *scan = NULL;
    kvault_slice key, value;
    uint64_t digest = 1;
    kvault_status rc = kvault_kv_scan_open(kv, &all, &scan, reterr);

    while (rc == KVAULT_OK) {
        rc = kvault_kv_scan_next(scan, &key, &value, reterr);
        if (rc == KVAULT_OK) /* a sum, so that the order does not matter */
            digest += mix(mix(14695981039346656037u, key), value);
    }
    kvault_kv_scan_free(scan);
    *ret_digest = digest;
    return rc < 0 ? rc : KVAULT_OK;
}

struct names {
    char names[16][32];
    int count;
};

static kvault_status note_name(void *ctx, kvault_slice name, kvault_slice dtype, uint64_t length, kvault_error *reterr)
{
    struct names *names = ctx;

    (void)dtype;
    (void)length;
    (void)reterr;
    if (names->count < 16)
        (void)snprintf(names->names[names->count++], 32, "%.*s", (int)name.size, (const char *)name.data);
    return KVAULT_OK;
}

static kvault_status digest_column(struct subject *subject, const char *name, uint64_t *digest, kvault_error *reterr)
{
    kvault_range all = { 0, INT64_MAX, 1 };
    kvault_result result = KVAULT_RESULT_INIT;
    kvault_column *column = NULL;
    kvault_status rc = kvault_column_open(subject->vault, text(name), &column, reterr);

    STEP(kvault_column_get_range(column, &all, &result, reterr));
    if (rc >= 0) {
        *digest = mix(*digest, text(name));
        *digest = mix(*digest, (kvault_slice){ result.data.data, result.data.size });
        *digest = mix(*digest, (kvault_slice){ result.offsets.data, result.offsets.size });
    }
    kvault_result_free(&result);
    kvault_column_free(column);
    return rc;
}

kvault_status subject_digest(struct subject *subject, uint64_t *ret_digest, kvault_error *reterr)
{
    struct names names = { .count = 0 };
    uint64_t digest = 0;
    kvault_status rc = subject_digest_keys(subject->kv, false, &digest, reterr);

    STEP(kvault_column_list(subject->vault, note_name, &names, reterr));
    for (int i = 0; i < names.count; i++)
        STEP(digest_column(subject, names.names[i], &digest, reterr));
    *ret_digest = digest;
    return rc;
}
