/* Command-line flags: one table that parses and prints its own --help. "--name value" and "--name=value"; a bool has no value. */
#ifndef GW_FLAGS_H
#define GW_FLAGS_H

#include "common/fault.h"

enum gw_flag_kind {
    GW_FLAG_TEXT,
    GW_FLAG_TEXTS,
    GW_FLAG_BOOL,
    GW_FLAG_INTEGER,
    GW_FLAG_DURATION,
    GW_FLAG_NUMBER
};
enum { GW_FLAG_TEXTS_MAX = 32 };

struct gw_flag {
    const char *name; /* without "--"; NULL ends the table */
    enum gw_flag_kind kind;
    void *
        value; /* const char **, const char *[GW_FLAG_TEXTS_MAX + 1], bool *, int64_t *, int64_t * ms, double * */
    const char *placeholder; /* "FILE" */
    const char *help;
    const char *environment; /* variable that gives the default; NULL: none. A flag wins over it */
};

/* Reads argv[1…]; words that are not flags are moved to the front of argv[1…], *ret_words says how many.
 * Verdict GW_FLAGS_HELP: --help was given. -EINVAL with words (unknown flag: the nearest known). Values are borrowed from argv. */
enum { GW_FLAGS_HELP = 1 };
int gw_flags_read(const struct gw_flag *flags, int argc, char **argv, int *ret_words,
                  struct gw_reason *reason) GW_MUST_CHECK;
/* The list of flags, two columns, on standard output. */
void gw_flags_print(const struct gw_flag *flags);

/* Exit codes of all programs. */
enum {
    GW_EXIT_OK = 0,
    GW_EXIT_FAULT = 1,         /* something failed; the message says what */
    GW_EXIT_USAGE = 2,         /* wrong flags or words on the command line */
    GW_EXIT_CONFIGURATION = 3, /* a configuration that cannot work */
};

#endif
