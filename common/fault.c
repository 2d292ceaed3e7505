/* Faults: the trace of the last one in each thread, and words for people. */
#include "common/fault.h"
