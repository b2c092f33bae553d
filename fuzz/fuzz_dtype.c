/* fuzz_dtype.c - any text is a dtype that survives being written and parsed, or is refused with words. */
#include "fuzz.h"

#include <string.h>

#include "kohakuvault/dtype.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kvault_error err = KVAULT_ERROR_INIT;
    char text[KVAULT_DTYPE_TEXT_MAX + 1];
    kvault_dtype dtype, again;
    size_t length;

    if (kvault_dtype_parse((kvault_slice){ data, size }, &dtype, &err) < 0) {
        HOLDS(err.status == KVAULT_E_INVALID);
        HOLDS(strncmp(err.message, "Unknown dtype", 13) == 0);
        return 0;
    }
    HOLDS(dtype.size_bytes <= KVAULT_DTYPE_SIZE_MAX);
    length = kvault_dtype_text(&dtype, text);
    HOLDS(length == strlen(text) && length <= KVAULT_DTYPE_TEXT_MAX); /* an alias may be shorter than the name */
    HOLDS(kvault_dtype_parse((kvault_slice){ text, length }, &again, &err) == KVAULT_OK);
    HOLDS(kvault_dtype_equal(&dtype, &again));
    return 0;
}
