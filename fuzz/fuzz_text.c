/* fuzz_text.c - any bytes are text of an encoding that converts and comes back, or are refused where they are
 * wrong. The first byte says which encodings, the second how long an element is. */
#include "fuzz.h"

#include <string.h>

#include "kohakuvault/packer.h"
#include "codec/text.h"

#define ENCODINGS 5

static void conversion_comes_back(kvault_encoding from, kvault_slice text, kvault_encoding to)
{
    kvault_error err = KVAULT_ERROR_INIT;
    size_t size = 0, back = 0, written = 0;
    kvault_status rc = kvault_text_measure(from, text, to, &size, &err);
    uint8_t *there, *again;

    if (rc < 0) {
        HOLDS(rc == KVAULT_E_CORRUPT || rc == KVAULT_E_INVALID);
        HOLDS(err.position >= 0 && (size_t)err.position < text.size && err.message[0]);
        HOLDS(rc == KVAULT_E_INVALID || kvault_text_measure(from, text, from, &back, NULL) == KVAULT_E_CORRUPT);
        return;
    }
    there = malloc(size + 1);
    again = malloc(text.size + 1);
    if (!there || !again)
        abort();
    HOLDS(size <= 2 * text.size);
    HOLDS(kvault_text_convert(from, text, to, there, size, &written, &err) == KVAULT_OK && written == size);
    HOLDS(kvault_text_convert(to, (kvault_slice){ there, size }, from, again, text.size, &back, &err) == KVAULT_OK);
    HOLDS(back == text.size && (back == 0 || memcmp(again, text.data, back) == 0));
    HOLDS(size == 0 || kvault_text_convert(from, text, to, there, size - 1, &written, NULL) == KVAULT_E_TOOBIG);
    free(there);
    free(again);
}

/* What an element of str:N takes comes back without the NULs at its end. */
static void element_comes_back(kvault_encoding encoding, kvault_slice text, uint32_t size_bytes)
{
    kvault_dtype dtype = { KVAULT_STR, encoding, size_bytes };
    kvault_token token = { .kind = KVAULT_TOKEN_TEXT, .bytes = text }, read;
    kvault_slice want = kvault_text_trim(KVAULT_UTF8, text);
    uint8_t *element = malloc(size_bytes), *back = malloc(text.size + 1);
    size_t size = 0;

    if (!element || !back)
        abort();
    if (kvault_fixed_write(&dtype, &token, element, NULL) == KVAULT_OK) {
        HOLDS(kvault_fixed_read(&dtype, (kvault_slice){ element, size_bytes }, &read, NULL) == KVAULT_OK);
        HOLDS(kvault_text_convert(encoding, read.bytes, KVAULT_UTF8, back, text.size, &size, NULL) == KVAULT_OK);
        HOLDS(size == want.size && (size == 0 || memcmp(back, want.data, size) == 0));
    }
    free(element);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kvault_slice text;
    size_t whole = 0;

    if (size < 2)
        return 0;
    text = (kvault_slice){ data + 2, size - 2 };
    conversion_comes_back((kvault_encoding)(data[0] % ENCODINGS), text,
                          (kvault_encoding)(data[0] / ENCODINGS % ENCODINGS));
    element_comes_back((kvault_encoding)(data[0] % ENCODINGS), text, 2 * (uint32_t)(1 + data[1] % 64));
    HOLDS((kvault_text_measure(KVAULT_UTF8, text, KVAULT_UTF8, &whole, NULL) == KVAULT_OK) ==
          (kvault__utf8_prefix(text) == text.size));
    return 0;
}
