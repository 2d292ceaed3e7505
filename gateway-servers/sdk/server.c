/* The server process. */
#include "gateway-servers/sdk/module.h"
