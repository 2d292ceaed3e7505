/* This process as the kernel sees it: for its metrics. */
#ifndef GW_PROCESS_H
#define GW_PROCESS_H

#include "common/base.h"

struct gw_process {
    double cpu_seconds; /* user and system */
    double resident_bytes;
    double open_files, max_files;
};

/* What cannot be read is NaN. */
void gw_process_read(struct gw_process *ret_process);
/* Since 1970-01-01T00:00:00Z. */
double gw_process_start_seconds(void);

#endif
