/* text.h - text inside the library. The public functions are in packer.h. */
#ifndef KVAULT_CODEC_TEXT_H
#define KVAULT_CODEC_TEXT_H

#include "base/fail.h"
#include "kohakuvault/packer.h"

/* How many bytes at the front of `text` are whole characters of UTF-8; all of them
 * if it is valid. Surrogates, overlong forms and what lies above U+10FFFF are not. */
size_t kvault__utf8_prefix(kvault_slice text);

#endif
