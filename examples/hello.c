/* hello.c - a vault from C: put, get, a range of a large value, an ordered scan.
 *
 *     cc hello.c $(pkg-config --cflags --libs kohakuvault) && ./a.out hello.kv */
#include <stdio.h>
#include <string.h>

#include <kohakuvault/kohakuvault.h>

static kvault_slice text(const char *bytes)
{
    return (kvault_slice){ bytes, strlen(bytes) };
}

static int run(kvault_kv *kv, kvault_error *err)
{
    kvault_kv_scan_options all = { .prefix = text("greeting:"), .with_values = true, .limit = UINT64_MAX };
    kvault_kv_scan *scan = NULL;
    kvault_slice key, value;
    char word[16];
    uint64_t size = 0;

    if (kvault_kv_put(kv, text("greeting:en"), text("hello"), err) < 0 ||
        kvault_kv_put(kv, text("greeting:ja"), text("konnichiwa"), err) < 0 ||
        kvault_kv_get(kv, text("greeting:en"), word, sizeof word, &size, err) != KVAULT_OK)
        return 1;
    printf("%.*s, vault\n", (int)size, word);
    if (kvault_kv_scan_open(kv, &all, &scan, err) < 0)
        return 1;
    while (kvault_kv_scan_next(scan, &key, &value, err) == KVAULT_OK)
        printf("%.*s = %.*s\n", (int)key.size, (const char *)key.data, (int)value.size, (const char *)value.data);
    kvault_kv_scan_free(scan);
    return 0;
}

int main(int argc, char **argv)
{
    kvault_error err = KVAULT_ERROR_INIT;
    kvault *vault = NULL;
    kvault_kv *kv = NULL;
    int failed = 1;

    if (kvault_open(argc > 1 ? argv[1] : ":memory:", NULL, &vault, &err) >= 0 &&
        kvault_kv_open(vault, NULL, &kv, &err) >= 0)
        failed = run(kv, &err);
    kvault_kv_free(kv);
    if (vault && kvault_close(vault, &err) < 0)
        failed = 1;
    kvault_free(vault);
    if (failed)
        fprintf(stderr, "hello: %s\n", err.message);
    return failed;
}
