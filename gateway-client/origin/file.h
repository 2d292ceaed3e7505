/* A file as a whole, for configuration: bounded, with words when it cannot be read. */
#ifndef GWC_FILE_H
#define GWC_FILE_H

#include "common/bytes.h"
#include "common/fault.h"

/* At most GW_YAML_TEXT_MAX bytes. Verdict GWC_FILE_BAD: a problem says why. Blocks. */
enum { GWC_FILE_BAD = 1 };
int gwc_file_read(const char *path, struct gw_bytes *ret_text, struct gw_problems *problems) GW_MUST_CHECK;

#endif
