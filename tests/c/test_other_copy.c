/* test_other_copy.c - a second SQLite in the process is found and told once, whatever its names are. */
#include "kvtest.h"

#include <dlfcn.h>
#include <sqlite3.h>
#include <unistd.h>

#include "kohakuvault/kohakuvault.h"

static char folder[] = "/tmp/kvtest-XXXXXX";
static kvault_error err;
static int warnings;
static char last_warning[512];

static void on_warning(void *ctx, const char *message)
{
    (void)ctx;
    warnings++;
    (void)snprintf(last_warning, sizeof last_warning, "%s", message);
}

static void open_and_close(const char *name, bool listens)
{
    kvault_options options;
    kvault *vault = NULL;
    char path[128];

    kvault_options_init(&options);
    options.warn = listens ? on_warning : NULL;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK_OK(kvault_open(path, &options, &vault, &err), &err);
    CHECK_OK(kvault_close(vault, &err), &err);
    kvault_free(vault);
}

/* Load the SQLite that we are linked with a second time, from a file of another name. */
static void load_copy(const char *copy)
{
    char command[1200];
    Dl_info ours;

    CHECK(dladdr(sqlite3_libversion(), &ours) != 0);
    (void)snprintf(command, sizeof command, "cp %s %s", ours.dli_fname, copy);
    CHECK(system(command) == 0 && dlopen(copy, RTLD_NOW | RTLD_LOCAL) != NULL);
}

static void one_sqlite_is_no_reason_to_warn(void)
{
    open_and_close("a.kv", true);
    CHECK(warnings == 0);
}

static void a_second_one_is_named_once(void)
{
    char copy[128];

    (void)snprintf(copy, sizeof copy, "%s/other.so", folder);
    load_copy(copy);
    open_and_close("a.kv", false); /* nobody listens: it is not told */
    open_and_close("a.kv", true);
    CHECK(warnings == 1 && strstr(last_warning, copy) && strstr(last_warning, "a second copy of SQLite"));
    open_and_close("b.kv", true);
    CHECK(warnings == 1);
}

int main(void)
{
    char command[64];

    if (!mkdtemp(folder))
        return 1;
    RUN(one_sqlite_is_no_reason_to_warn);
    RUN(a_second_one_is_named_once);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || kvtest_end();
}
