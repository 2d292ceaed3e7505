/* Words that every file of the house uses. */
#ifndef GW_BASE_H
#define GW_BASE_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_MUST_CHECK          __attribute__((warn_unused_result))
#define GW_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define GW_SENTINEL            __attribute__((sentinel))
#define GW_NORETURN            __attribute__((noreturn))
#define GW_UNUSED              __attribute__((unused))
#define GW_COUNT_OF(array)     (sizeof(array) / sizeof((array)[0]))
#define GW_MIN(a, b)           ((a) < (b) ? (a) : (b))
#define GW_MAX(a, b)           ((a) > (b) ? (a) : (b))

/* The struct that holds `member`, from a pointer to it. */
#define GW_CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Ends the variable by `done(&variable)` when its scope ends. */
#define GW_AUTO(done) __attribute__((cleanup(done)))

/* Hands ownership over: the value of `pointer`, which is NULL afterwards. */
#define GW_TAKE(pointer)                                                                                     \
    __extension__({                                                                                          \
        __typeof__(pointer) take_ = (pointer);                                                               \
        (pointer) = NULL;                                                                                    \
        take_;                                                                                               \
    })

/* Defines `<ending>p`, the form of an ending that GW_AUTO calls. */
#define GW_DEFINE_CLEANUP(type, ending)                                                                      \
    static inline GW_UNUSED void ending##p(type *pointer)                                                    \
    {                                                                                                        \
        if (*pointer != NULL)                                                                                \
            ending(*pointer);                                                                                \
    }

/* free() as a GW_AUTO ending for any pointer. */
void gw_freep(void *pointer);

#endif
