/* Inside a selector: what its notations share. */
#ifndef RESOURCE_SELECTOR_PARTS_H
#define RESOURCE_SELECTOR_PARTS_H

#include "gateway-servers/resource/selector.h"

struct selector_reading {
    enum selector_of of;
    struct gw_arena *arena;
    struct gw_problems *problems;
    struct selector *selector;
    char path[256]; /* of what is being read, and its line */
    int line;
};

void selector_complain(struct selector_reading *reading, const char *format, ...) GW_PRINTF(2, 3);
bool selector_operation_named(struct gw_view name, enum selector_operation *ret_operation);
/* Checks the term, and takes it if it is good; complains otherwise. < 0: no memory. */
int selector_add(struct selector_reading *reading, struct selector_term term) GW_MUST_CHECK;
/* selector_text.c: "team in (billing,shop),!legacy". */
int selector_read_text(struct selector_reading *reading, const char *text) GW_MUST_CHECK;

#endif
