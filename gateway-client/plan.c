/* The plan: the difference between two sets of event sources. */
#include "gateway-client/plan.h"
