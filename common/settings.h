/* Settings: one table that parses, defaults, checks, and prints its own JSON Schema and documentation.
 *
 *     struct calendar_config { const char *schedule; int64_t interval_ns; … };
 *     static const struct gw_setting calendar_settings[] = {
 *         {.name = "schedule", .kind = GW_SETTING_TEXT, .offset = offsetof(struct calendar_config, schedule),
 *          .help = "five or six cron fields"},
 *         {0},
 *     };
 *
 * Names are matched ASCII case-insensitively, as Argo did; an unknown one is a problem that names the nearest
 * known. */
#ifndef GW_SETTINGS_H
#define GW_SETTINGS_H

#include "common/fault.h"
#include "common/node.h"

enum gw_setting_kind {
    GW_SETTING_TEXT, /* const char *; NULL when absent and without default. A number is taken as its text */
    GW_SETTING_BOOL, /* bool */
    GW_SETTING_INTEGER,  /* int64_t, within [min, max] when max > min; quoted digits are taken too */
    GW_SETTING_NUMBER,   /* double */
    GW_SETTING_DURATION, /* int64_t nanoseconds; Go duration text; within [min, max] when max > min (ns) */
    GW_SETTING_SIZE,     /* uint64_t bytes; number or "64Ki" text; within [min, max] when max > min */
    GW_SETTING_TEXTS,    /* struct gw_setting_texts; one text is taken as a list of one */
    GW_SETTING_PAIRS,    /* struct gw_setting_pairs; a mapping of text to text, order kept */
    GW_SETTING_SECRET,   /* struct gw_setting_secret: {name, key} */
    GW_SETTING_NODE,     /* const struct gw_node *: any value as it is; NULL when absent */
    GW_SETTING_SECTION,  /* a struct described by `table`, inline at `offset`; `present` tells if it was given
                          */
    GW_SETTING_SECTIONS, /* struct gw_setting_sections: a list of structs described by `table`, `size` bytes
                            each */
};

struct gw_setting_texts {
    const char **items;
    size_t count;
};
struct gw_setting_pair {
    const char *name, *value;
};
struct gw_setting_pairs {
    struct gw_setting_pair *items;
    size_t count;
};
struct gw_setting_secret {
    const char *name, *key; /* both NULL when absent */
};
struct gw_setting_sections {
    void *items;
    size_t count;
};

struct gw_setting {
    const char *name; /* NULL ends the table */
    enum gw_setting_kind kind;
    size_t offset;         /* of the value in the config struct */
    const char *otherwise; /* default, written as in YAML; NULL: zero/absent. SECTION: defaults of its table
                            * apply even when the section is absent */
    const char *help;      /* one sentence for people */
    const char *const *choices;     /* TEXT, TEXTS: the only values, ended by NULL; matched exactly */
    const struct gw_setting *table; /* SECTION, SECTIONS */
    size_t size;                    /* SECTIONS: of one struct */
    size_t present; /* SECTION: offset + 1 of a bool in the config struct, set if given; 0: none */
    int64_t min, max;
    bool required;
    const char *alias; /* an older name that means the same; giving both is a problem */
    bool numeric;      /* TEXT that people write as a whole number, too: a port */
};

/* Fills `config` (zeroed by this call, `config_size` bytes) from a MAP or NULL node; everything it points to
 * lives in `arena` or in the tree. What has a default has it also where a wrong value was given. Problems carry paths relative to the node, prefixed by `path` when that is
 * not "". 0 also when problems were added: look at them. < 0: no memory. */
int gw_settings_load(const struct gw_setting *table, const struct gw_node *node, const char *path,
                     void *config, size_t config_size, struct gw_arena *arena,
                     struct gw_problems *problems) GW_MUST_CHECK;

/* What a DURATION and a SIZE look like, for schemas (ECMA 262). */
#define GW_SETTING_DURATION_PATTERN                                                                          \
    "^[+-]?(0|(([0-9]+([.][0-9]*)?|[.][0-9]+)(ns|us|\xC2\xB5s|\xCE\xBCs|ms|s|m|h))+)$"
#define GW_SETTING_SIZE_PATTERN "^[0-9]+([kKMG]|[KMG]i|[KMG]iB)?$"
/* JSON Schema (draft 2020-12) of the table as an object. */
void gw_settings_schema(const struct gw_setting *table, const char *title, struct gw_bytes *out);
/* The table as a structural schema of Kubernetes (OpenAPI v3), in YAML, all of it `indent` columns in. */
void gw_settings_openapi(const struct gw_setting *table, int indent, struct gw_bytes *out);
/* A Markdown table: setting, kind, default, meaning; sections as "hook.port". */
void gw_settings_markdown(const struct gw_setting *table, struct gw_bytes *out);

#endif
