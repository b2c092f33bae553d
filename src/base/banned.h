/* banned.h - included last by every .c file but alloc.c: what must not be called
 * becomes a compile error. */
#ifndef KVAULT_BASE_BANNED_H
#define KVAULT_BASE_BANNED_H

#if defined(__GNUC__)
#pragma GCC poison malloc calloc realloc free strdup strndup
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok
#pragma GCC poison atoi atol rand srand
#endif

#endif
